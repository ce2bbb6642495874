"""BNN-PYNQ's LFC and CNV, whose exact outputs were recorded from the original C++."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bnn2fpga import BuildError, Design, compile
from bnn2fpga.errors import ModelError
from bnn2fpga.frontend.importers.bnnpynq import import_bnnpynq
from tests.networks.shared import run_cpp, shared_arrays, shared_file

LFC, CNV = "models/bnnpynq_lfcW1A1.npz", "models/bnnpynq_cnvW1A1.npz"


def test_lfc_labels() -> None:
    design = compile(shared_file(LFC))
    images = shared_arrays("data/mnist.npz")["test_image"]
    golden = shared_arrays("models/golden_mnist_lfc.npz")
    found = design.run(images)
    assert (found == golden["labels_all10000"]).sum() == 9840
    np.testing.assert_array_equal(found, golden["label_pred_all10000"])


def test_lfc_popcounts() -> None:
    golden = shared_arrays("models/golden_mnist_lfc.npz")
    design = import_bnnpynq(shared_file(LFC), fuse=False)
    passing = {
        edge.source.node: values
        for edge, values in design.trace(design.host.encode(golden["images_first100"]))
    }
    np.testing.assert_array_equal(passing["fc3"], golden["fc3_popcount_first100"])
    np.testing.assert_array_equal(passing["fc3_threshold"] > 0, golden["fc3_bits_first100"])


@pytest.mark.slow
def test_lfc_cpp(tmp_path: Path) -> None:
    design = compile(shared_file(LFC), fps=100_000)
    integers = design.host.encode(shared_arrays("models/golden_mnist_lfc.npz")["images_first100"])
    np.testing.assert_array_equal(run_cpp(design, integers, tmp_path), design.simulate(integers))


@pytest.fixture(scope="module")
def cnv() -> Design:
    return compile(shared_file(CNV), fps=3_000)


@pytest.mark.slow
def test_cnv_labels(cnv: Design) -> None:
    images = shared_arrays("data/cifar10_lossless.npz")["test_image"][:846]
    golden = shared_arrays("models/golden_cifar10.npz")
    found = cnv.run(images)
    np.testing.assert_array_equal(found, golden["cnvW1A1_argmax_all846"])
    assert round(100 * float((found == golden["labels_all846"]).mean()), 2) == 80.14


@pytest.mark.slow
def test_cnv_popcounts_and_cpp(cnv: Design, tmp_path: Path) -> None:
    golden = shared_arrays("models/golden_cifar10.npz")
    integers = cnv.host.encode(golden["images_nchw_uint8"].transpose(0, 2, 3, 1))
    scores = cnv.simulate(integers).reshape(100, 10)
    np.testing.assert_array_equal(scores, golden["cnvW1A1_popcounts"])
    np.testing.assert_array_equal(run_cpp(cnv, integers[:20], tmp_path).reshape(20, 10), scores[:20])


def test_refused_images(cnv: Design) -> None:
    with pytest.raises(
        BuildError, match=r"images of shape \(2, 3, 32, 32\) do not fit; legal: \(N, 32, 32, 3\)"
    ):
        cnv.run(np.zeros((2, 3, 32, 32), np.uint8))
    for wrong in (np.zeros((2, 32, 32, 3)), np.full((2, 32, 32, 3), 256)):
        with pytest.raises(BuildError, match="pixels must be integers 0 to 255"):
            cnv.run(wrong)


def tiny(folder: Path, **changes: np.ndarray | None) -> Path:
    """A parameter file of two dense layers, with arrays changed or, for None, left out."""
    random = np.random.default_rng(0)
    arrays: dict[str, np.ndarray | None] = {
        "meta/layer_order": np.array(["fc0", "fc1"]),
        "fc0/weight_bits": random.integers(0, 2, (4, 9), np.uint8),
        "fc0/threshold": random.integers(0, 9, 4),
        "fc1/weight_bits": random.integers(0, 2, (3, 4), np.uint8),
    }
    arrays |= {name.replace("__", "/"): value for name, value in changes.items()}
    np.savez(folder / "tiny.npz", **{name: value for name, value in arrays.items() if value is not None})
    return folder / "tiny.npz"


def test_documented_format_is_enough(tmp_path: Path) -> None:
    design = import_bnnpynq(tiny(tmp_path))
    with np.load(tmp_path / "tiny.npz") as file:
        first, threshold, last = file["fc0/weight_bits"], file["fc0/threshold"], file["fc1/weight_bits"]
    images = np.random.default_rng(1).integers(0, 256, (20, 3, 3))
    for image, scores in zip(images, design.simulate(design.host.encode(images)), strict=True):
        bits = image.ravel() >= 128
        hidden = (first == bits).sum(1) > threshold
        assert scores.tolist() == (last == hidden).sum(1).tolist()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"meta__layer_order": None}, "array 'meta/layer_order' is missing"),
        ({"fc1__weight_bits": None}, "array 'fc1/weight_bits' is missing"),
        ({"fc1__weight_bits": np.ones((3, 5), np.uint8)}, "fc1: takes 5 inputs, 4 arrive"),
        ({"fc0__threshold": np.ones(3, np.int64)}, "fc0: 3 thresholds for 4 channels"),
        ({"fc0__weight_bits": np.full((4, 9), 2, np.uint8)}, "fc0: weight bits other than 0 and 1"),
    ],
)
def test_refused_files(tmp_path: Path, changes: dict[str, np.ndarray | None], text: str) -> None:
    with pytest.raises(ModelError) as error:
        import_bnnpynq(tiny(tmp_path, **changes))
    assert text in str(error.value) and "\n" not in str(error.value)


def test_no_parameter_file(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("nothing")
    for name, text in (("text.npz", r"not a readable \.npy or \.npz file"), ("absent.npz", "no such file")):
        with pytest.raises(ModelError, match=text):
            import_bnnpynq(tmp_path / name)
