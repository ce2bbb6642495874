"""Frames and labels for simulation, from .npy and .npz files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bnn2fpga.errors import ConfigError
from bnn2fpga.files.arrays import read_arrays

IMAGES = ("images", "x", "test_images", "test_image", "x_test")
LABELS = ("labels", "y", "test_labels", "test_label", "y_test")
SCORES = "brevitas_scores"
MOST_CLASSES = 65_536
"""That a label may name."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Frames (N, *shape), their labels (N,) if known, and the scores a training tool gave them, if known."""

    frames: npt.NDArray[Any]
    labels: npt.NDArray[np.integer[Any]] | None = None
    scores: npt.NDArray[np.floating[Any]] | None = None

    def first(self, count: int | None) -> Dataset:
        """The first `count` frames; all for None."""
        labels = None if self.labels is None else self.labels[:count]
        return Dataset(self.frames[:count], labels, None if self.scores is None else self.scores[:count])


def load_dataset(path: Path, shape: Sequence[int], divide: float = 1.0) -> Dataset:
    """The frames of `path`, shaped (N, *shape) and divided by `divide`.

    An .npy file holds frames; an .npz file frames under one of the names in IMAGES and labels under
    one of those in LABELS. A missing channel axis is added, and channels last are moved first where
    only that fits. Raises ConfigError.
    """
    if not divide or not np.isfinite(divide):
        raise ConfigError(f"divide={divide:g}; legal: numbers but 0; 255 makes numbers up to 1 of pixels")
    arrays = read_arrays(path)
    name = next((name for name in ("", *IMAGES) if name in arrays), None)
    if name is None:
        raise ConfigError(
            f"{path}: holds {', '.join(arrays)}; frames are looked for under {', '.join(IMAGES)}"
        )
    labels = next((arrays[name] for name in LABELS if name in arrays), None)
    found = arrays[name]
    if found.dtype.kind not in "biuf" or not np.isfinite(found).all():
        what = "values that are not finite" if found.dtype.kind in "f" else f"values of type {found.dtype}"
        raise ConfigError(f"{path}: frames hold {what}; legal: real numbers")
    if not len(found):
        raise ConfigError(f"{path}: holds no frames")
    frames = fit_frames(found, tuple(shape), str(path))
    labels = None if labels is None else _whole(labels, len(frames), path)
    scores = arrays.get(SCORES)
    if scores is not None and (scores.dtype.kind not in "iuf" or len(scores) != len(frames)):
        raise ConfigError(
            f"{path}: {SCORES} of shape {scores.shape}, {scores.dtype}, for {len(frames)} frames"
        )
    if divide != 1.0:
        with np.errstate(over="ignore"):
            frames = frames / divide
    if frames.dtype.kind == "f" and frames.size and not np.abs(frames).max() <= np.finfo(np.float32).max:
        raise ConfigError(f"{path}: frames hold numbers that float32 does not; legal: up to 3.4e+38")
    return Dataset(frames if divide == 1.0 else frames.astype(np.float32), labels, scores)


def _whole(labels: npt.NDArray[Any], frames: int, path: Path) -> npt.NDArray[np.int64]:
    """A label for each frame, as integers; a ConfigError for others."""
    if labels.shape != (frames,):
        raise ConfigError(f"{path}: labels of shape {labels.shape} for {frames} frames")
    if labels.dtype.kind not in "iuf" or not np.all(np.isfinite(labels) & (labels == np.floor(labels))):
        raise ConfigError(f"{path}: labels that are no integers ({labels.dtype})")
    if len(labels) and not (labels.min() >= 0 and labels.max() < MOST_CLASSES):
        raise ConfigError(
            f"{path}: labels from {labels.min()} to {labels.max()}; legal: 0 to {MOST_CLASSES - 1}"
        )
    return labels.astype(np.int64)


def fit_frames(frames: npt.NDArray[Any], shape: tuple[int, ...], where: str) -> npt.NDArray[Any]:
    """`frames` (N, …) as (N, *shape), if they are that but for a channel axis."""
    have = frames.shape[1:]
    if have == shape:
        return frames
    if tuple(extent for extent in have if extent > 1) == tuple(extent for extent in shape if extent > 1):
        return frames.reshape(len(frames), *shape)
    if len(have) == 3 and (have[2], have[0], have[1]) == shape:
        return np.ascontiguousarray(frames.transpose(0, 3, 1, 2))
    wanted = ", ".join(map(str, shape))
    raise ConfigError(f"{where}: frames of shape {frames.shape} do not fit the network; legal: (N, {wanted})")


def correct_labels(outputs: npt.NDArray[Any], labels: npt.NDArray[np.integer[Any]]) -> int:
    """How many frames have the label (N,) that a network's outputs name; a ConfigError for other classes."""
    classes = outputs.size // max(1, len(outputs))
    if classes > 1 and len(labels) and labels.max() >= classes:
        raise ConfigError(
            f"label {labels.max()} of the data; legal: 0 to {classes - 1}, as the network has outputs"
        )
    return int((predicted_labels(outputs) == labels).sum())


def predicted_labels(outputs: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Labels (N,) of a network's outputs: the labels themselves, or the first largest score."""
    flat = outputs.reshape(len(outputs), -1)
    return flat[:, 0] if flat.shape[1] == 1 else flat.argmax(axis=1)
