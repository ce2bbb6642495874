"""Small data sets that a network can learn in a second."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bnn2fpga.training.data import ImageData


def stripes(count: int = 96, size: int = 8, channels: int = 1, seed: int = 0) -> ImageData:
    """Noisy images of three classes: horizontal, vertical and diagonal stripes; two thirds for training."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    y, x = np.mgrid[:size, :size]
    patterns = np.stack([y % 4 < 2, x % 4 < 2, (x + y) % 4 < 2]) * 150
    images = patterns[labels][:, None] + random.integers(0, 100, (count, channels, size, size))
    cut = count * 2 // 3
    pixels = images.astype(np.uint8)
    return ImageData(pixels[:cut], labels[:cut], pixels[cut:], labels[cut:])


def saved(data: ImageData, path: Path) -> Path:
    """The data as an .npz of `load_images`."""
    np.savez(
        path,
        train_image=np.moveaxis(data.train_images, 1, -1),
        train_label=data.train_labels,
        test_image=np.moveaxis(data.test_images, 1, -1),
        test_label=data.test_labels,
    )
    return path
