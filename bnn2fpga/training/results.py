"""What a finished run leaves to look at and to build from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import nn

from bnn2fpga.files.output_folder import blaming
from bnn2fpga.frontend import load
from bnn2fpga.training.checkpoint import Epoch
from bnn2fpga.training.data import ImageData
from bnn2fpga.training.trainer import as_input

CURVES, MODEL, TEST = "curves.svg", "model.onnx", "test.npz"


def write_results(folder: Path, net: nn.Module, data: ImageData, epochs: Sequence[Epoch]) -> None:
    """The curves as a picture, the network as QONNX, and the test images as the network takes them."""
    import torch

    with blaming(folder):
        plot_curves(epochs, folder / CURVES)
        load(net.cpu().eval(), torch.zeros(1, *data.shape)).save(str(folder / MODEL))
        images = as_input(torch.from_numpy(data.test_images)).numpy()
        np.savez_compressed(folder / TEST, images=images, labels=data.test_labels)


def plot_curves(epochs: Sequence[Epoch], path: Path) -> None:
    """Loss and test accuracy over the epochs."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    FigureCanvasSVG(figure)
    numbers = [epoch.number for epoch in epochs]
    left, right = figure.subplots(1, 2)
    left.plot(numbers, [epoch.loss for epoch in epochs], color="#0b6e99")
    left.set(xlabel="epoch", title="training loss")
    right.plot(numbers, [100 * epoch.test_accuracy for epoch in epochs], color="#0b6e99")
    right.set(xlabel="epoch", title=f"test accuracy, %  (last {100 * epochs[-1].test_accuracy:.2f})")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)
