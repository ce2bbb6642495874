"""The Python API: compile, simulate, run, write, verify."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import bnn2fpga
from bnn2fpga import driver, training
from bnn2fpga.build.compiler import Options, Pipeline
from bnn2fpga.build.dataset import fit_frames, load_dataset
from bnn2fpga.build.ladder import Difference, compare_integers, compare_outputs
from bnn2fpga.errors import ConfigError, MismatchError
from bnn2fpga.frontend import load
from tests.models import SHAPE, float_onnx, random_data, small_net, small_onnx


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(1).random((20, *SHAPE), np.float32)


def test_path_wrapper_and_module_give_the_same_design(tmp_path: Path, images: np.ndarray) -> None:
    path = small_onnx(tmp_path)
    net = small_net()
    designs = [
        bnn2fpga.compile(path),
        bnn2fpga.compile(load(path)),
        bnn2fpga.compile(net, example_input=torch.zeros(1, *SHAPE)),
    ]
    expected = net(torch.from_numpy(images)).detach().numpy()
    for design in designs:
        np.testing.assert_array_equal(design.run(images), expected)
        assert [node.name for node in design.nodes] == [node.name for node in designs[0].nodes]


def test_run_keeps_the_graphs_shape_and_type(tmp_path: Path, images: np.ndarray) -> None:
    design = bnn2fpga.compile(small_onnx(tmp_path))
    result = design.run(images[:3])
    assert result.shape == (3, 4) and result.dtype == np.float32
    assert design.run(images[:0]).shape == (0, 4)
    with pytest.raises(bnn2fpga.BuildError, match=r"input of shape \(2, 3, 6, 6\) does not fit the network"):
        design.run(np.zeros((2, 3, 6, 6), np.float32))


def test_integer_core_is_what_runs_between_encode_and_decode(tmp_path: Path, images: np.ndarray) -> None:
    design = bnn2fpga.compile(small_onnx(tmp_path))
    integers = design.host.encode(images)
    assert integers.min() >= 0 and integers.max() <= 31
    scores = design.simulate(integers)
    np.testing.assert_array_equal(design.host.decode(scores), design.run(images))


def test_write_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    design = bnn2fpga.compile(small_onnx(tmp_path))
    folder = bnn2fpga.write_hls(design, tmp_path / "hls")
    assert (folder / "top.cpp").exists() and (folder / "vitis_hls.tcl").exists()
    with pytest.raises(bnn2fpga.BuildError, match="is in use; choose a new or an empty folder"):
        bnn2fpga.write_hls(design, folder)

    def full(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(bnn2fpga.BuildError, match="No space left on device; choose another folder"):
        bnn2fpga.write_hls(design, tmp_path / "second")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hls", "small.onnx"]


def test_verify_a_module_compares_all_levels(images: np.ndarray) -> None:
    seen = []
    ladder = bnn2fpga.verify(
        small_net(), images, example_input=images[:1], cpp_frames=5, on_level=seen.append
    )
    assert ladder.ok and tuple(seen) == ladder.levels
    assert [(level.name, level.reference, level.frames) for level in ladder.levels] == [
        ("QONNX", "Brevitas", 20),
        ("streamlined", "QONNX", 20),
        ("numpy", "streamlined", 20),
        ("numpy", "QONNX", 20),
        ("packed", "numpy", 20),
        ("C++", "numpy", 5),
        ("RTL", "numpy", 20),
    ]


def test_levels_count_frames_and_name_the_first_difference() -> None:
    expected = np.arange(12).reshape(4, 3)
    found = expected.copy()
    found[2, 1] += 5
    found[3] = 0
    level = compare_integers("C++", "numpy", expected, found)
    assert (level.equal, level.frames, level.ok) == (2, 4, False)
    assert level.difference == Difference(2, (1,), 7.0, 12.0)
    assert str(level.difference) == "frame 2, place [1]: 12 instead of 7"
    floats = expected.astype(np.float32)
    assert compare_outputs("a", "b", floats, floats * np.float32(1 + 1e-7)).ok
    assert not compare_outputs("a", "b", floats, floats + 0.01).ok
    assert not compare_outputs("a", "b", floats, np.full_like(floats, np.nan)).ok


def test_dataset_reads_npy_and_npz(tmp_path: Path) -> None:
    data = load_dataset(random_data(tmp_path), SHAPE)
    assert data.frames.shape == (12, *SHAPE) and data.labels is not None
    pixels = np.arange(72, dtype=np.uint8).reshape(2, 6, 6)
    np.save(tmp_path / "pixels.npy", pixels)
    scaled = load_dataset(tmp_path / "pixels.npy", SHAPE, 255)
    np.testing.assert_array_equal(scaled.frames[:, 0], (pixels / 255).astype(np.float32))
    assert scaled.labels is None
    assert data.first(3).labels is not None and len(data.first(3).frames) == 3


def test_channels_are_moved_first_only_where_that_fits() -> None:
    last = np.zeros((2, 6, 7, 3))
    last[:, 5, 6, 2] = 1
    first = fit_frames(last, (3, 6, 7), "x")
    assert first.shape == (2, 3, 6, 7) and first[0, 2, 5, 6] == 1
    with pytest.raises(
        ConfigError, match=r"x: frames of shape \(2, 6, 7, 3\) do not fit .* legal: \(N, 4, 6, 7\)"
    ):
        fit_frames(last, (4, 6, 7), "x")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"pictures": np.zeros((1, 2))}, "holds pictures; frames are looked for under images"),
        ({"images": np.zeros((3, *SHAPE)), "labels": np.zeros(2)}, "labels of shape (2,) for 3 frames"),
        (
            {"images": np.zeros((2, *SHAPE)), "labels": np.full(2, 0.5)},
            "labels that are no integers (float64)",
        ),
        ({"images": np.zeros((1, *SHAPE)), "labels": np.array(["a"])}, "labels that are no integers (<U1)"),
        ({"images": np.full((1, *SHAPE), np.nan)}, "frames hold values that are not finite"),
        ({"images": np.zeros((1, *SHAPE), complex)}, "frames hold values of type complex128"),
        ({"images": np.full((1, *SHAPE), "a")}, "frames hold values of type <U1"),
    ],
)
def test_dataset_faults(tmp_path: Path, content: dict[str, np.ndarray], text: str) -> None:
    np.savez(tmp_path / "data.npz", **content)
    with pytest.raises(ConfigError) as error:
        load_dataset(tmp_path / "data.npz", SHAPE)
    assert text in str(error.value)
    (tmp_path / "broken.npz").write_text("nothing")
    with pytest.raises(ConfigError, match=r"not a readable \.npy or \.npz file"):
        load_dataset(tmp_path / "broken.npz", SHAPE)


def test_every_public_name_says_what_it_is() -> None:
    for package in (bnn2fpga, training, driver):
        for name in package.__all__:
            thing = getattr(package, name)
            assert not callable(thing) or len(thing.__doc__ or "") > 20, f"{package.__name__}.{name}"


def test_show_prints_what_the_command_line_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = small_onnx(tmp_path)
    design = bnn2fpga.compile(model)
    bnn2fpga.show(bnn2fpga.estimate(design), width=100)
    assert f"of {bnn2fpga.load_board('pynq-z2').luts:,}" in capsys.readouterr().out
    bnn2fpga.show(bnn2fpga.explain(model), width=100)
    assert "becomes" in capsys.readouterr().out
    with pytest.raises(TypeError, match="a str cannot be shown; legal: Estimate, Explanation, Ladder, Level"):
        bnn2fpga.show("design")  # type: ignore[arg-type]


def test_run_build_is_the_build_command(tmp_path: Path) -> None:
    steps = []
    config = bnn2fpga.BuildConfig(model=small_onnx(tmp_path))
    folders = bnn2fpga.run_build(config, tmp_path / "out", to="hls", on_step=steps.append)
    assert list(folders) == ["load", "streamline", "lower", "fold", "hls"]
    assert (folders["hls"] / "top.cpp").exists() and steps[-1].state == "done"
    assert bnn2fpga.draw(bnn2fpga.compile(config.model)).startswith("<svg")


@pytest.mark.parametrize(
    ("stage", "message"), [("lower", "numpy differs from streamlined"), ("hls", r"C\+\+ differs from numpy")]
)
def test_a_step_that_is_wrong_is_not_done(
    stage: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here it takes another network's weights; a few frames tell."""
    (tmp_path / "other").mkdir()
    other = Pipeline(small_onnx(tmp_path / "other", seed=1), Options())
    if stage == "lower":
        lowered = other.lowered
        monkeypatch.setattr("bnn2fpga.frontend.lower", lambda *arguments: lowered)
    else:
        project = other.hls
        monkeypatch.setattr("bnn2fpga.build.compiler.hls_project", lambda *arguments: project)
    config = bnn2fpga.BuildConfig(model=small_onnx(tmp_path))
    with pytest.raises(MismatchError, match=message):
        bnn2fpga.run_build(config, tmp_path / "out", to=stage)
    assert not list((tmp_path / "out").glob(f"*-{stage}"))


def test_a_parameter_file_has_no_graph_at_any_stage(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path / "network.npz", Options())
    for stage in ("load", "streamline"):
        with pytest.raises(bnn2fpga.BuildError, match="is a parameter file and has no QONNX graph"):
            pipeline.reach(stage)


def test_a_stage_that_failed_fails_again(tmp_path: Path) -> None:
    pipeline = Pipeline(float_onnx(tmp_path), Options())
    assert pipeline.loaded
    for _ in range(2):
        with pytest.raises(bnn2fpga.BuildError, match="float weights"):
            pipeline.reach("fold")
