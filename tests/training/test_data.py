"""Data sets from the files that people have, and what is said of broken ones."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bnn2fpga.errors import ConfigError
from bnn2fpga.training.data import IDX, ImageData, load_images
from tests.networks.shared import shared_file
from tests.training.images import saved, stripes


def same(a: ImageData, b: ImageData) -> None:
    for name in ("train_images", "train_labels", "test_images", "test_labels"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def write_idx(
    folder: Path, data: ImageData, pack: Callable[[bytes], bytes] = bytes, suffix: str = ""
) -> Path:
    for name, file in IDX.items():
        array = getattr(data, name).astype(np.uint8)
        array = array[:, 0] if array.ndim == 4 else array
        header = b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
        (folder / f"{file}{suffix}").write_bytes(pack(header + array.tobytes()))
    return folder


def write_cifar(folder: Path, data: ImageData, names: list[str], key: bytes) -> Path:
    folder.mkdir(parents=True)
    parts = np.array_split(np.arange(len(data.train_images)), len(names) - 1)
    batches = [(data.train_images[p], data.train_labels[p]) for p in parts] + [
        (data.test_images, data.test_labels)
    ]
    for name, (images, labels) in zip(names, batches, strict=True):
        content = {b"data": images.reshape(len(images), -1), key: labels.tolist()}
        (folder / name).write_bytes(pickle.dumps(content))
    return folder.parent


def test_npz(tmp_path: Path) -> None:
    data = stripes(channels=3)
    loaded = load_images(saved(data, tmp_path / "data.npz"))
    same(loaded, data)
    assert (loaded.classes, loaded.shape) == (3, (3, 8, 8))


def test_jpeg_files_in_an_npz(tmp_path: Path) -> None:
    data, arrays = stripes(channels=3), {}
    for part in ("train", "test"):
        files = []
        for image in getattr(data, f"{part}_images"):
            buffer = io.BytesIO()
            Image.fromarray(np.moveaxis(image, 0, -1)).save(buffer, "JPEG")
            files.append(buffer.getvalue())
        arrays[f"{part}_jpeg"] = np.frombuffer(b"".join(files), np.uint8)
        arrays[f"{part}_end"] = np.cumsum([len(file) for file in files])
        arrays[f"{part}_label"] = getattr(data, f"{part}_labels")
    np.savez(tmp_path / "data.npz", **arrays)
    loaded = load_images(tmp_path / "data.npz")
    assert loaded.train_images.shape == data.train_images.shape
    arrays["train_jpeg"] = arrays["train_jpeg"][::-1]
    np.savez(tmp_path / "broken.npz", **arrays)
    with pytest.raises(ConfigError, match="a JPEG image cannot be read"):
        load_images(tmp_path / "broken.npz")


@pytest.mark.parametrize("packed", [False, True])
def test_idx(tmp_path: Path, packed: bool) -> None:
    data = stripes()
    write_idx(tmp_path, data, gzip.compress if packed else bytes, ".gz" if packed else "")
    same(load_images(tmp_path), data)


def test_cifar(tmp_path: Path) -> None:
    data = stripes(size=32, channels=3)
    ten = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    same(load_images(write_cifar(tmp_path / "10/cifar-10-batches-py", data, ten, b"labels")), data)
    hundred = write_cifar(tmp_path / "100/cifar-100-python", data, ["train", "test"], b"fine_labels")
    same(load_images(hundred / "cifar-100-python"), data)


def test_mnist() -> None:
    data = load_images(shared_file("data/mnist.npz"))
    assert data.train_images.shape == (60000, 1, 28, 28) and len(data.test_labels) == 10000


class Evil:
    """Calls a function when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return (print, ("called",))


def broken(kind: str, folder: Path) -> Path:
    data = stripes()
    if kind == "truncated idx":
        path = write_idx(folder, data) / IDX["train_images"]
        path.write_bytes(path.read_bytes()[:-10])
        return folder
    if kind == "idx of floats":
        (write_idx(folder, data) / IDX["test_labels"]).write_bytes(b"\0\0\x0d\x01" + bytes(4))
        return folder
    if kind == "packed idx cut off":
        write_idx(folder, data, lambda content: gzip.compress(content)[:-20], ".gz")
        return folder
    if kind in ("truncated batch", "evil batch"):
        write_cifar(folder / "c", stripes(size=32, channels=3), ["train", "test"], b"fine_labels")
        path = folder / "c/test"
        path.write_bytes(pickle.dumps(Evil()) if kind == "evil batch" else path.read_bytes()[:1000])
        return folder / "c"
    if kind == "truncated npz":
        path = saved(data, folder / "data.npz")
        path.write_bytes(path.read_bytes()[:-200])
        return path
    if kind == "labels missing":
        np.savez(folder / "data.npz", train_image=data.train_images)
    elif kind == "float images":
        saved(ImageData(data.train_images / 2, *(list(vars(data).values())[1:])), folder / "data.npz")
    elif kind == "too few labels":
        saved(
            ImageData(data.train_images, data.train_labels[:-1], *list(vars(data).values())[2:]),
            folder / "data.npz",
        )
    elif kind == "two sizes":
        other = stripes(size=9)
        saved(
            ImageData(data.train_images, data.train_labels, other.test_images, other.test_labels),
            folder / "data.npz",
        )
    elif kind == "absent":
        return folder / "absent"
    elif kind == "empty folder":
        return folder
    return folder / "data.npz"


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("truncated idx", r"train-images-idx3-ubyte: holds \d+ bytes, 4096 are announced; truncated\?"),
        ("idx of floats", "t10k-labels-idx1-ubyte: not an IDX file of bytes"),
        ("packed idx cut off", "train-images-idx3-ubyte: cannot be read"),
        ("truncated batch", r"test: not a CIFAR batch .* truncated\?"),
        ("evil batch", "holds builtins.print, not only arrays"),
        ("truncated npz", r"not a readable \.npy or \.npz file"),
        ("labels missing", "array train_label is missing"),
        ("float images", r"train images of shape .* and type float64; legal: uint8"),
        ("too few labels", r"\(63,\) train labels for 64 images"),
        ("two sizes", r"training images are \(1, 8, 8\), test images \(1, 9, 9\)"),
        ("absent", "no such file or folder"),
        ("empty folder", "holds neither MNIST's IDX files"),
    ],
)
def test_broken_files(tmp_path: Path, kind: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match=message):
        load_images(broken(kind, tmp_path))
    assert capsys.readouterr().out == ""
