"""Draws what attends to what in a trained bcmt: python -m benchmarks.attention_map RUN -o attention.svg.

A row an image: the image with a query's place marked, then the places that it attends to in the first block.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib
import numpy as np
import torch

from bnn2fpga.training.bcmt import attention_maps
from bnn2fpga.training.checkpoint import CHECKPOINT
from bnn2fpga.training.models import build_model

IMAGES = 3
QUERIES = ((3, 5), (6, 7), (10, 6))
"""Rows and columns of the first block's tokens."""


def main() -> None:
    """Reads the run's checkpoint and test images."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attention_map", description=__doc__)
    parser.add_argument("run", type=Path, help="A folder of `bnn2fpga train`.")
    parser.add_argument("--output", "-o", type=Path, default=Path("attention.svg"))
    arguments = parser.parse_args()
    matplotlib.use("svg")
    from matplotlib import pyplot

    images = np.load(arguments.run / "test.npz")["images"][:IMAGES].astype(np.float32)
    net = build_model("bcmt", images.shape[1:], 10, {})
    net.load_state_dict(torch.load(arguments.run / CHECKPOINT, weights_only=False)["network"])
    weights = attention_maps(net, torch.from_numpy(images))[0][:, 0].numpy()
    side, small = (int(np.sqrt(count)) for count in weights.shape[1:])
    figure, axes = pyplot.subplots(IMAGES, 1 + len(QUERIES), figsize=(7, 5.4), layout="constrained")
    for image, row, found in zip(images, axes, weights, strict=True):
        row[0].imshow(image[0], cmap="gray_r", extent=(0, side, side, 0))
        for number, (y, x) in enumerate(QUERIES, 1):
            row[0].text(x + 0.5, y + 0.5, str(number), color="red", ha="center", va="center", weight="bold")
            row[number].imshow(image[0], cmap="gray_r", extent=(0, side, side, 0), alpha=0.35)
            keys = found[y * side + x].reshape(small, small)
            shown = np.ma.masked_equal(keys, 0)
            row[number].imshow(shown, cmap="winter", extent=(0, side, side, 0), alpha=0.5, vmin=0, vmax=1)
            row[number].set_title(f"query {number}: {int(keys.sum())} of {keys.size} keys", fontsize=8)
        for axis in row:
            axis.set_axis_off()
    figure.savefig(arguments.output)


if __name__ == "__main__":
    main()
