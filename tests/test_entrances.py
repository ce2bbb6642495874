"""What comes in by files, options and streams, broken on purpose: one line and an exit code each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bnn2fpga.build.compiler import Options
from bnn2fpga.build.config import BuildConfig
from bnn2fpga.build.dataset import correct_labels, load_dataset
from bnn2fpga.errors import BuildError, ConfigError
from bnn2fpga.files.arrays import read_arrays
from bnn2fpga.files.output_folder import claim
from bnn2fpga.files.settings import LARGEST, read_settings
from bnn2fpga.files.writing import check_writable, write_whole
from bnn2fpga.planning.exploration.explore import Space
from bnn2fpga.training.checkpoint import CHECKPOINT, Checkpoint
from bnn2fpga.training.config import TrainConfig
from bnn2fpga.training.data import IDX, load_images
from bnn2fpga.training.models import build_model

COMMAND = [sys.executable, "-m", "bnn2fpga", "boards"]
FULL = Path("/dev/full")


def run(**how: Any) -> subprocess.CompletedProcess[str]:
    """A short command with streams of its own."""
    return subprocess.run(COMMAND, stderr=subprocess.PIPE, text=True, timeout=120, check=False, **how)


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
def test_a_full_standard_output() -> None:
    with FULL.open("w") as full:
        done = run(stdout=full)
    assert done.returncode == 1
    assert done.stderr == (
        "error: writing: No space left on device; free or choose another place, and run it again\n"
    )


def test_a_closed_standard_output() -> None:
    done = run(stdout=None, preexec_fn=lambda: os.close(1))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_terminal_of_ascii() -> None:
    done = run(stdout=subprocess.PIPE, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0 and "pynq-z2" in done.stdout and done.stdout.isascii()


@pytest.mark.parametrize("name", [".lock", ".bnn2fpga"])
def test_a_link_in_an_output_folder_is_not_followed(tmp_path: Path, name: str) -> None:
    folder, kept = tmp_path / "build", tmp_path / "kept"
    claim(folder).close()
    kept.write_text("mine")
    (folder / name).unlink()
    (folder / name).symlink_to(kept)
    with pytest.raises(ConfigError, match=rf"output folder {folder}: .*{name} is a link, remove it"):
        claim(folder)
    assert kept.read_text() == "mine"


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    write_whole(tmp_path / "a", "é")
    assert (tmp_path / "a").read_bytes() == "é".encode()
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigError, match="folder: Is a directory; choose another file"):
        write_whole(tmp_path / "folder", b"")
    with pytest.raises(ConfigError, match="No such file or directory; choose another file"):
        write_whole(tmp_path / "absent" / "a", b"")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "folder"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a = " + b"[" * 20_000, "nested too deeply"),
        (b"#" * (LARGEST + 1), "it is no file of settings"),
        (b'model = "\xff"', "byte 9 is no UTF-8"),
        (b"frames = " + b"9" * 5000, "not valid TOML"),
        (b'model = "a"\nmax_bram = nan', "max_bram: Input should be a finite number"),
        (b'model = "a"\nfps = inf', "fps: Input should be a finite number"),
        (b'model = "a"\nframes = 0', "frames: Input should be greater than or equal to 1"),
        (b'model = "a"\n[openxc7]\nseed = -1\nmargin = 2', "openxc7.*seed: .*margin: "),
        (b'model = "a"\nflow = "other"', "flow: Input should be"),
    ],
)
def test_settings_of_a_build(tmp_path: Path, text: bytes, message: str) -> None:
    path = tmp_path / "build.toml"
    path.write_bytes(text)
    with pytest.raises(ConfigError, match=message) as caught:
        read_settings(path, BuildConfig)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [
        {"learning_rate": float("inf")},
        {"learning_rate": 1e38},
        {"seed": 1 << 62},
        {"epochs": 10**12},
        {"batch": 10**12},
        {"temperature": float("nan")},
    ],
)
def test_settings_of_a_training(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(values))):
        TrainConfig(model="mlp", data=Path("data.npz"), **values)


def test_settings_from_python_are_a_build_error() -> None:
    with pytest.raises(BuildError, match="fps: "):
        Options(fps="fast")
    with pytest.raises(BuildError, match="nonsense: "):
        Options().replaced(nonsense=1)


@pytest.mark.parametrize(
    "kept",
    [
        [1, 2],
        {},
        {"config": "{}", "network": {}, "optimizer": {}},
        {"config": "{}", "network": [], "optimizer": {}, "epochs": []},
        {"config": "{}", "network": {}, "optimizer": {}, "epochs": [{"number": 1}]},
        {"config": 1, "network": {}, "optimizer": {}, "epochs": []},
    ],
)
def test_broken_checkpoints(tmp_path: Path, kept: object) -> None:
    torch.save(kept, tmp_path / CHECKPOINT)
    with pytest.raises(ConfigError, match="not a checkpoint of a run"):
        Checkpoint.read(tmp_path)


def test_a_checkpoint_of_another_network(tmp_path: Path) -> None:
    kept = {"config": json.dumps({}), "network": {}, "optimizer": {}, "epochs": []}
    torch.save(kept, tmp_path / CHECKPOINT)
    with pytest.raises(ConfigError, match="another version's network"):
        Checkpoint.read(tmp_path).fill(torch.nn.Linear(2, 2))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([0, -1]), "train labels from -1 to 0; legal: 0 to 65535"),
        (np.array([0, 10**12]), "train labels from 0 to 1000000000000"),
        (np.array([0.5, 1.0]), "train labels of type float64; legal: integers"),
        (np.array(["a", "b"]), "train labels of type <U1"),
    ],
)
def test_labels_to_train_with(tmp_path: Path, labels: np.ndarray, message: str) -> None:
    images = np.zeros((2, 4, 4), np.uint8)
    np.savez(
        tmp_path / "data.npz", train_image=images, train_label=labels, test_image=images, test_label=[0, 1]
    )
    with pytest.raises(ConfigError, match=message):
        load_images(tmp_path / "data.npz")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"hidden": [10**9]}, r"model mlp: [\d,]+ weights; legal: up to 100,000,000"),
        ({"hidden": [0]}, "model mlp: its parameters make no network"),
        ({"hidden": [-1]}, "model mlp: its parameters make no network"),
        ({"hidden": "wide"}, "model mlp: its parameters make no network"),
        ({"hidden": [10**30]}, "model mlp: its parameters make no network"),
    ],
)
def test_parameters_of_a_network(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        build_model("mlp", (1, 8, 8), 10, parameters)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
def test_a_device_is_not_replaced_by_a_file() -> None:
    for write in (lambda: write_whole(FULL, b"a"), lambda: check_writable(FULL)):
        with pytest.raises(
            ConfigError, match="output file /dev/full: Is no regular file; choose another file"
        ):
            write()
    assert FULL.is_char_device()


def test_a_file_that_will_be_written(tmp_path: Path) -> None:
    check_writable(tmp_path / "a.vcd")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ConfigError, match="No such file or directory"):
        check_writable(tmp_path / "absent" / "a.vcd")


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="this system has no /dev/zero")
def test_a_device_is_no_data() -> None:
    with pytest.raises(ConfigError, match=r"/dev/zero: not a readable .* \(not a file\)"):
        read_arrays(Path("/dev/zero"))


@pytest.mark.parametrize(
    ("arrays", "divide", "message"),
    [
        ({"labels": np.array([0, -1])}, 1, "labels from -1 to 0; legal: 0 to 65535"),
        ({"labels": np.array([0, 10**12])}, 1, "labels from 0 to 1000000000000"),
        ({"labels": np.array([0.5, 1])}, 1, "labels that are no integers"),
        (
            {"brevitas_scores": np.zeros((3, 2))},
            1,
            r"brevitas_scores of shape \(3, 2\), float64, for 2 frames",
        ),
        ({"brevitas_scores": np.array(["a", "b"])}, 1, "brevitas_scores of shape"),
        ({"images": np.full((2, 4), 1e300)}, 1, "numbers that float32 does not"),
        ({}, 1e-320, "numbers that float32 does not"),
        ({}, float("nan"), "divide=nan; legal: numbers but 0"),
        ({"images": np.full((2, 4), np.nan)}, 1, "values that are not finite"),
        ({"images": np.zeros((2, 4), complex)}, 1, "values of type complex128"),
    ],
)
def test_data_to_verify_with(tmp_path: Path, arrays: dict[str, Any], divide: float, message: str) -> None:
    np.savez(tmp_path / "data.npz", **{"images": np.ones((2, 4))} | arrays)
    with pytest.raises(ConfigError, match=message) as caught:
        load_dataset(tmp_path / "data.npz", (4,), divide)
    assert "\n" not in str(caught.value)


def test_a_label_that_the_network_does_not_know() -> None:
    assert correct_labels(np.eye(3), np.array([0, 1, 0])) == 2
    assert correct_labels(np.array([[7], [9]]), np.array([7, 8])) == 1
    with pytest.raises(ConfigError, match="label 3 of the data; legal: 0 to 2"):
        correct_labels(np.eye(3), np.array([0, 1, 3]))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"train_image": np.zeros(2, np.uint8)}, r"train images of shape \(2,\)"),
        ({"train_image": np.zeros((2, 0, 4), np.uint8)}, r"train images of shape \(2, 1, 0, 4\)"),
        ({"train_jpeg": np.zeros(9, np.uint8), "train_end": np.array([4.5, 9])}, "that end at float64"),
        ({"train_jpeg": np.array(["a"]), "train_end": np.array([1, 2])}, "JPEG images of type <U1"),
    ],
)
def test_images_to_train_with(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    images, labels = np.zeros((2, 4, 4), np.uint8), np.array([0, 1])
    whole = {"train_image": images, "train_label": labels, "test_image": images, "test_label": labels}
    np.savez(tmp_path / "data.npz", **whole | arrays)
    with pytest.raises(ConfigError, match=message):
        load_images(tmp_path / "data.npz")


@pytest.mark.parametrize("axes", [0, 5, 255])
def test_an_idx_file_of_many_axes(tmp_path: Path, axes: int) -> None:
    for name in IDX.values():
        (tmp_path / name).write_bytes(bytes([0, 0, 8, axes]) + bytes([0, 0, 0, 1]) * axes + b"\0")
    with pytest.raises(ConfigError, match=f"{axes} axes; legal: 1 to 4"):
        load_images(tmp_path)


def test_frame_rates_and_points_have_bounds() -> None:
    with pytest.raises(ConfigError, match=r"points=100,000,000; legal: 1 to 10,000"):
        Space.of(["pynq-z2"], points=10**8)
