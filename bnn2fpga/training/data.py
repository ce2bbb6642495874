"""Image data sets from the files that people have: IDX, CIFAR's Python batches, .npz."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from bnn2fpga.errors import ConfigError
from bnn2fpga.files.arrays import read_arrays

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]

IDX = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}
CIFAR10 = ([f"data_batch_{number}" for number in range(1, 6)], ["test_batch"], b"labels")
CIFAR100 = (["train"], ["test"], b"fine_labels")
CIFAR_SHAPE = (3, 32, 32)
MOST_AXES = 4
"""Of an array of images or labels."""
MOST_CLASSES = 65_536
"""Of a network's last layer."""


@dataclass(frozen=True, eq=False)
class ImageData:
    """Images uint8 (N, C, H, W) and labels 0 .. classes-1 (N,), for training and for testing."""

    train_images: Pixels
    train_labels: Labels
    test_images: Pixels
    test_labels: Labels

    @property
    def classes(self) -> int:
        """One more than the largest label."""
        return int(max(self.train_labels.max(), self.test_labels.max())) + 1

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        _, channels, height, width = self.train_images.shape
        return channels, height, width


def load_images(path: Path) -> ImageData:
    """The data set in an .npz or a folder (MNIST's IDX files, gzipped or not, or CIFAR's Python batches).

    An .npz holds `train_image` and `test_image`, uint8 (N, H, W) or (N, H, W, C), or `train_jpeg` and
    `train_end` (files end to end, and where each ends), and `train_label`. Raises ConfigError, naming the
    file, for anything missing, truncated or of another shape.
    """
    if path.is_dir():
        folders = [path, *sorted(child for child in path.iterdir() if child.is_dir())]
        for folder in folders:
            for names, load in (
                (["train-images-idx3-ubyte"], _load_idx),
                (["data_batch_1"], lambda folder: _load_cifar(folder, *CIFAR10)),
                (["train", "test"], lambda folder: _load_cifar(folder, *CIFAR100)),
            ):
                if all((folder / name).is_file() or (folder / f"{name}.gz").is_file() for name in names):
                    return load(folder)
        raise ConfigError(
            f"{path}: holds neither MNIST's IDX files (train-images-idx3-ubyte, …) nor CIFAR's Python "
            "batches (data_batch_1, … or train, test)"
        )
    if not path.is_file():
        raise ConfigError(f"{path}: no such file or folder; give a data set's folder or .npz file")
    return _load_npz(path)


def _checked(images: dict[str, Pixels], labels: dict[str, npt.NDArray[Any]], where: Path) -> ImageData:
    for part in ("train", "test"):
        if images[part].ndim != 4 or images[part].dtype != np.uint8 or not images[part].size:
            raise ConfigError(
                f"{where}: {part} images of shape {images[part].shape} and type {images[part].dtype}; "
                "legal: uint8 (N, H, W) or (N, H, W, C)"
            )
        if labels[part].shape != (len(images[part]),):
            raise ConfigError(f"{where}: {labels[part].shape} {part} labels for {len(images[part])} images")
    if images["train"].shape[1:] != images["test"].shape[1:]:
        raise ConfigError(
            f"{where}: training images are {images['train'].shape[1:]}, "
            f"test images {images['test'].shape[1:]}"
        )
    whole = {part: _whole(labels[part], f"{where}: {part} labels") for part in ("train", "test")}
    return ImageData(images["train"], whole["train"], images["test"], whole["test"])


def _whole(labels: npt.NDArray[Any], where: str) -> Labels:
    """Labels as integers from 0; a ConfigError for others, or for more classes than anyone trains."""
    if labels.dtype.kind not in "iu":
        raise ConfigError(f"{where} of type {labels.dtype}; legal: integers")
    if labels.min() < 0 or labels.max() >= MOST_CLASSES:
        raise ConfigError(f"{where} from {labels.min()} to {labels.max()}; legal: 0 to {MOST_CLASSES - 1}")
    return labels.astype(np.int64)


def _load_npz(path: Path) -> ImageData:
    arrays = read_arrays(path)
    images, labels = {}, {}
    for part in ("train", "test"):
        labels[part] = _array(arrays, f"{part}_label", path)
        if f"{part}_jpeg" in arrays:
            images[part] = _decoded(arrays[f"{part}_jpeg"], _array(arrays, f"{part}_end", path), path)
        else:
            pixels = _array(arrays, f"{part}_image", path)
            pixels = pixels[..., None] if pixels.ndim == 3 else pixels
            images[part] = np.ascontiguousarray(np.moveaxis(pixels, -1, 1)) if pixels.ndim == 4 else pixels
    return _checked(images, labels, path)


def _array(arrays: Mapping[str, npt.NDArray[Any]], name: str, path: Path) -> npt.NDArray[Any]:
    if name not in arrays:
        raise ConfigError(f"{path}: array {name} is missing; it holds {', '.join(arrays)}")
    return arrays[name]


def _decoded(stream: Pixels, ends: npt.NDArray[Any], path: Path) -> Pixels:
    """JPEG files end to end as images (N, C, H, W)."""
    from PIL import Image

    if (
        stream.dtype != np.uint8
        or stream.ndim != 1
        or ends.dtype.kind not in "iu"
        or ends.shape != (ends.size,)
    ):
        raise ConfigError(
            f"{path}: JPEG images of type {stream.dtype} that end at {ends.dtype}; legal: uint8, integers"
        )
    data, starts = stream.tobytes(), [0, *ends[:-1].tolist()]
    try:
        images = [
            np.asarray(Image.open(io.BytesIO(data[start:end])))
            for start, end in zip(starts, ends.tolist(), strict=True)
        ]
        return np.ascontiguousarray(np.moveaxis(np.stack(images), -1, 1))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: a JPEG image cannot be read ({error})") from error


def _load_idx(folder: Path) -> ImageData:
    arrays = {name: _idx(folder / file) for name, file in IDX.items()}
    return _checked(
        {part: arrays[f"{part}_images"][:, None] for part in ("train", "test")},
        {part: arrays[f"{part}_labels"] for part in ("train", "test")},
        folder,
    )


def _idx(path: Path) -> Pixels:
    """An IDX file of bytes (yann.lecun.com/exdb/mnist), gzipped if there is only `path`.gz."""
    packed = path.with_name(f"{path.name}.gz")
    try:
        with path.open("rb") if path.is_file() else gzip.open(packed) as file:
            data = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error
    if len(data) < 4 or data[:3] != b"\0\0\x08":
        raise ConfigError(f"{path}: not an IDX file of bytes")
    rank = data[3]
    if not 1 <= rank <= MOST_AXES:
        raise ConfigError(f"{path}: {rank} axes; legal: 1 to {MOST_AXES}")
    header = 4 + 4 * rank
    shape = struct.unpack(f">{rank}I", data[4:header]) if len(data) >= header else (0,)
    if len(data) - header != prod(shape):
        held = len(data) - header
        raise ConfigError(f"{path}: holds {held} bytes, {prod(shape)} are announced; truncated?")
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


class _PickledType:
    """Stands in for numpy's dtype; only bytes without a sign are taken."""

    def __init__(self, code: Any = "", *_: Any) -> None:
        if code not in ("u1", b"u1"):
            raise pickle.UnpicklingError(f"holds an array of type {code!r}; legal: u1")

    def __setstate__(self, state: object) -> None:
        pass


class _PickledArray:
    """Stands in for an array while it is read: numpy's own believes what a file says of addresses."""

    pixels: Pixels

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, fortran, data = state
        if not isinstance(kind, _PickledType) or not isinstance(data, bytes):
            raise pickle.UnpicklingError("holds an array of something else than bytes")
        self.pixels = np.frombuffer(data, np.uint8).reshape(shape, order="F" if fortran else "C")


def _encode(text: str, codec: Any = "") -> bytes:
    """Python 3 writes bytes as text in old pickles."""
    if codec not in ("latin1", b"latin1"):
        raise pickle.UnpicklingError(f"holds text in {codec!r}")
    return text.encode("latin1")


_STAND_INS: dict[tuple[str, str], Any] = {
    ("numpy", "_reconstruct"): _PickledArray,
    ("numpy", "ndarray"): _PickledArray,
    ("numpy", "dtype"): _PickledType,
    ("_codecs", "encode"): _encode,
}


class _ArraysOnly(pickle.Unpickler):
    """Arrays of bytes and plain containers; a pickle can name any function to be called."""

    def find_class(self, module: str, name: str) -> Any:
        found = _STAND_INS.get((module.split(".")[0], name))
        if found is None:
            raise pickle.UnpicklingError(f"holds {module}.{name}, not only arrays")
        return found


def _load_cifar(folder: Path, train: list[str], test: list[str], key: bytes) -> ImageData:
    images, labels = {}, {}
    for part, names in (("train", train), ("test", test)):
        batches = [_batch(folder / name, key) for name in names]
        images[part] = np.concatenate([pixels for pixels, _ in batches])
        labels[part] = np.concatenate([numbers for _, numbers in batches])
    return _checked(images, labels, folder)


def _batch(path: Path, key: bytes) -> tuple[Pixels, npt.NDArray[Any]]:
    try:
        with path.open("rb") as file:
            content = _read_pickle(file)
        data, labels = content[b"data"], content[key]
        pixels = data.pixels if isinstance(data, _PickledArray) else np.frombuffer(data, np.uint8)
        if not all(isinstance(label, int) for label in labels):
            raise ValueError("labels that are no integers")
        return pixels.reshape(-1, *CIFAR_SHAPE), np.array(labels, np.int64)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except Exception as error:  # a pickle can fail in any of its instructions
        reason = str(error) or type(error).__name__
        raise ConfigError(f"{path}: not a CIFAR batch ({reason}); truncated?") from error


def _read_pickle(file: BinaryIO) -> Any:
    return _ArraysOnly(file, encoding="bytes").load()
