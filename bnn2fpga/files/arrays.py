"""The entrance for .npy and .npz files: plain arrays of numbers or text, as large as their files say."""

from __future__ import annotations

import io
from math import prod
from pathlib import Path
from typing import IO, Any
from zipfile import ZipFile, is_zipfile

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from bnn2fpga.errors import BuildError, ConfigError

MOST = 4 << 30
"""Bytes that the arrays of one file may take in memory."""
KINDS = "biufSUc"
"""Of numpy's types; no objects, which a file can make of anything."""


def read_arrays(path: Path, error: type[BuildError] = ConfigError) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an .npz file by name, or the one of an .npy file, whose name is empty.

    Raises `error` for a file that is missing, damaged, or holds something else; its header is read before any
    memory is taken.
    """
    try:
        if path.exists() and not path.is_file():
            raise IsADirectoryError(None, "not a file")
        if not is_zipfile(path):
            with path.open("rb") as file:
                return {"": _array(file, path.stat().st_size)}
        with ZipFile(path) as archive:
            members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
            size = sum(info.file_size for info in members)
            if size > MOST:
                raise ValueError(f"its arrays take {size:.1e} bytes, {MOST:.1e} at most are read")
            arrays = {}
            for info in members:
                with archive.open(info) as file:
                    arrays[info.filename.removesuffix(".npy")] = _array(file, info.file_size)
            return arrays
    except FileNotFoundError:
        raise error(f"{path}: no such file") from None
    except MemoryError:
        raise error(f"{path}: its arrays do not fit into memory") from None
    # zipfile, zlib, lzma and numpy's parser of headers have many errors of their own for damaged files
    except Exception as fault:
        reason = getattr(fault, "strerror", None) or fault
        raise error(f"{path}: not a readable .npy or .npz file ({reason})") from fault


def _array(file: IO[bytes], size: int) -> npt.NDArray[Any]:
    """One array of a stream of `size` bytes."""
    content = io.BytesIO(file.read(npy.MAGIC_LEN + 4 + 10_000))
    version = npy.read_magic(content)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version} of the format; legal: (1, 0), (2, 0)")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, kind = read(content)
    if kind.kind not in KINDS:
        raise ValueError(f"an array of type {kind}; legal: numbers and text")
    begin, count = content.tell(), prod(shape)
    if any(extent < 0 for extent in shape) or begin + count * kind.itemsize != size:
        raise ValueError(f"an array of shape {shape} and type {kind} in {size} bytes")
    array = np.empty(count, kind)
    rest = array.view(np.uint8).data if kind.itemsize else b""
    file.seek(begin)
    while len(rest):
        found = file.readinto(rest)  # type: ignore[attr-defined]
        if not found:
            raise ValueError("it is truncated")
        rest = rest[found:]
    return array.reshape(shape, order="F" if fortran else "C")
