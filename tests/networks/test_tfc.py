"""TFC_1W1A of FINN's model zoo: a QONNX export of Brevitas, trained by others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bnn2fpga import Design, compile
from bnn2fpga.frontend import load
from bnn2fpga.frontend.graph_reference import compute_graph
from tests.networks.shared import run_cpp, shared_arrays, shared_file


@pytest.fixture(scope="module")
def design() -> Design:
    return compile(shared_file("models/TFC_1W1A.onnx"), fps=100_000)


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    mnist = shared_arrays("data/mnist.npz")
    return (mnist["test_image"] / 255).astype(np.float32)[:, None], mnist["test_label"]


def test_all_test_images_equal_qonnx(design: Design, digits: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = digits
    qonnx = compute_graph(load(shared_file("models/TFC_1W1A.onnx")), design.host, images)
    scores = design.simulate(design.host.encode(images))
    assert qonnx.integers is not None
    np.testing.assert_array_equal(scores, qonnx.integers)
    result = design.run(images)
    np.testing.assert_array_equal(result, qonnx.outputs[0])
    assert (result.argmax(1) == qonnx.outputs[0].argmax(1)).sum() == 10_000
    assert (result.argmax(1) == labels).sum() == 9296


def test_cpp_equals_numpy(design: Design, digits: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    integers = design.host.encode(digits[0][:1000])
    np.testing.assert_array_equal(run_cpp(design, integers, tmp_path), design.simulate(integers))


def test_popcounts_have_room_for_every_input(design: Design) -> None:
    """Layer 0 sums 784 bits and real digits reach 520: a signed 10-bit accumulator overflows."""
    first = design.nodes[0].kernel
    assert (first.accumulator_type.low, first.accumulator_type.high) == (0, 1023)
