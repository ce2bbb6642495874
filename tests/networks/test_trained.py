"""The networks that are shipped trained, on the real test images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bnn2fpga import compile, training
from bnn2fpga.training.data import load_images
from bnn2fpga.training.digits import load_digits_data
from tests.networks.shared import shared_file

TRAINED = Path(training.__file__).parent / "trained"


def test_digits() -> None:
    """What `bnn2fpga demo` trains."""
    data = load_digits_data()
    design = compile(TRAINED / "digits.onnx", fps=1000)
    labels = design.run(data.test_images).argmax(axis=1)
    assert round(100 * (labels == data.test_labels).mean(), 2) == 97.78


@pytest.mark.slow
def test_mnist_convnet() -> None:
    """The accuracy that its configuration states, from the integers that the hardware computes."""
    data = load_images(shared_file("data/mnist.npz"))
    design = compile(TRAINED / "mnist_convnet.onnx", fps=1000)
    labels = design.run(data.test_images / np.float32(256)).argmax(axis=1)
    assert round(100 * (labels == data.test_labels).mean(), 2) == 99.22
    assert all(node.kernel.resources.dsps == 0 for node in design.nodes)
