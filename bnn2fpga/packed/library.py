"""Compiles `packed.cpp` for this processor and calls it.

C++ because g++ is needed for the generated C++ anyway, and because the same file runs on a board's ARM cores.
All arrays are C contiguous: integers are int32 (pixels, channels), planes uint64 (pixels, planes, words).
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from bnn2fpga.files.kept import make_or_copy

Integers = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint64]

SOURCE = Path(__file__).with_name("packed.cpp")

XOR, XOR_WITHIN, XOR_OUTSIDE, AND = range(4)
"""How planes of inputs and weights are joined before bits are counted: alone, where the second plane of the
input is 1, or 0, and every plane of the one with every plane of the other."""

COMPARED = 16
"""Thresholds up to which a step function compares with each; more are searched."""
FLAGS = ("-O3", "-std=c++17", "-fwrapv", "-shared", "-fPIC", "-w", f"-DCOMPARED={COMPARED}")


class _Ending(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("base", "thresholds", "signs")),
        *((name, ctypes.c_int32) for name in ("count", "low", "step", "first", "planes")),
        *((name, ctypes.c_void_p) for name in ("integers", "words")),
    )


class _Geometry(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_long) for name in ("height", "width")),
        *((name, ctypes.c_long * 2) for name in ("kernel", "stride", "pads", "dilation", "output")),
    )


@dataclass(frozen=True, eq=False)
class Ending:
    """What becomes of sums (pixels, channels); see `Ending` of packed.cpp. Without `thresholds` they stay.

    base: (channels,). thresholds, signs: (count, channels); level = base + signs of the thresholds reached.
    The values are low + step * level; with `planes` the bits of first + level are kept instead.
    """

    base: Integers | None = None
    thresholds: Integers | None = None
    signs: Integers | None = None
    low: int = 0
    step: int = 1
    first: int = 0
    planes: int = 0

    @cached_property
    def _tables(self) -> tuple[Integers, ...]:
        if self.base is None or self.thresholds is None or self.signs is None:
            return ()
        thresholds, signs = self.thresholds, self.signs
        if len(thresholds) > COMPARED:
            heights = np.concatenate([np.zeros_like(self.base)[None], signs.cumsum(axis=0)])
            thresholds, signs = thresholds.T, heights.T
        return tuple(np.ascontiguousarray(table, np.int32) for table in (self.base, thresholds, signs))

    def of(self, integers: Integers | None, words: Words | None) -> _Ending:
        """For C++, with the array that is written."""
        places: tuple[ctypes.c_void_p | None, ...] = tuple(map(_at, self._tables)) or (None,) * 3
        count = -1 if self.thresholds is None else len(self.thresholds)
        outputs = [None if array is None else _at(array) for array in (integers, words)]
        return _Ending(*places, count, self.low, self.step, self.first, self.planes, *outputs)


@dataclass(frozen=True)
class Geometry:
    """Where windows lie in images; every pair is (rows, columns), `pads` those above and on the left."""

    image: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    pads: tuple[int, int]
    dilation: tuple[int, int]
    output: tuple[int, int]

    @property
    def taps(self) -> int:
        """Pixels of a window."""
        return self.kernel[0] * self.kernel[1]

    @property
    def windows(self) -> int:
        """Of an image."""
        return self.output[0] * self.output[1]

    def of_c(self) -> _Geometry:
        """For C++."""
        pairs = (self.kernel, self.stride, self.pads, self.dilation, self.output)
        return _Geometry(*self.image, *((ctypes.c_long * 2)(*pair) for pair in pairs))


@dataclass(frozen=True, eq=False)
class Weights:
    """Bits of weights (channels, inputs) as the products want them: (planes, channels / 8, words, 8)."""

    words: Words
    channels: int
    inputs: int

    @classmethod
    def of(cls, codes: npt.NDArray[np.int64], planes: int) -> Weights:
        """From two's complement, or 0 and 1, (channels, inputs)."""
        channels, inputs = codes.shape
        bits = (codes[None] >> np.arange(planes)[:, None, None]) & 1
        bits = np.pad(bits, ((0, 0), (0, -channels % 8), (0, -inputs % 64)))
        packed = np.packbits(bits.astype(np.uint8, order="C"), axis=-1, bitorder="little").view(np.uint64)
        blocks = packed.reshape(planes, packed.shape[1] // 8, 8, packed.shape[2])
        return cls(np.ascontiguousarray(blocks.transpose(0, 1, 3, 2)), channels, inputs)

    @property
    def planes(self) -> int:
        """Bits of a weight."""
        return len(self.words)


def words_of(channels: int) -> int:
    """Words of one plane of a pixel."""
    return -(-channels // 64)


@dataclass(frozen=True)
class Library:
    """The compiled functions; each may be called by several threads."""

    functions: Any

    def pack(self, x: Integers, planes: int, bipolar: bool) -> Words:
        """Integers (pixels, channels) as planes; bipolar ones are -1 and 1."""
        pixels, channels = x.shape
        words = np.empty((pixels, planes, words_of(channels)), np.uint64)
        self.functions.pack(_at(x), *_longs(pixels, channels), planes, int(bipolar), _at(words))
        return words

    def unpack(self, words: Words, channels: int, gains: tuple[int, ...], offset: int) -> Integers:
        """offset + gains * bits: integers (pixels, channels)."""
        found = np.empty((len(words), channels), np.int32)
        factors = np.array(gains, np.int32)
        self.functions.unpack(
            _at(words), *_longs(len(words), channels), len(gains), _at(factors), offset, _at(found)
        )
        return found

    def product(
        self,
        operation: int,
        x: Words,
        weights: Weights,
        gains: npt.ArrayLike,
        pixel_gains: npt.ArrayLike,
        start: npt.ArrayLike,
        ending: Ending,
        first: int = 0,
        second: int = 0,
        gates: Integers | None = None,
    ) -> npt.NDArray[Any]:
        """start + gains * popcounts of x joined with weights + pixel_gains * popcounts of x; then `ending`.

        x: planes (pixels, planes, words). gains: of every plane of x and of the weights with AND, otherwise
        of plane `first`, where `second` selects. start: (channels,). pixel_gains: of the planes of x. With
        `gates` (channels,) the sums s of plane `first` become 2 * s + (the sum of plane 0 where s >= gate).
        """
        pixels, planes, _ = x.shape
        factors, own = np.array(gains, np.int64), np.array(pixel_gains, np.int64)
        starts = np.zeros(-(-weights.channels // 8) * 8, np.int64)
        starts[: weights.channels] = start
        found, to = _room(pixels, weights.channels, ending)
        self.functions.product(
            operation, _at(x), *_longs(pixels, weights.inputs, planes), first, second, _at(weights.words),
            *_longs(weights.planes, weights.channels), _at(factors), _at(own), _at(starts),
            None if gates is None else _at(gates), ctypes.byref(to),
        )  # fmt: skip
        return found

    def dense(
        self, x: Integers, weights: npt.NDArray[Any], channels: int, ending: Ending
    ) -> npt.NDArray[Any]:
        """x (pixels, inputs) times float weights (inputs, channels filled up to 64s); then `ending`."""
        found, to = _room(len(x), channels, ending)
        self.functions.dense(
            _at(x), *_longs(*x.shape), _at(weights), int(weights.dtype == np.float64), *_longs(channels),
            ctypes.byref(to),
        )  # fmt: skip
        return found

    def steps(self, x: Integers, places: Integers, ending: Ending) -> npt.NDArray[Any]:
        """The step functions of x (pixels, inputs); channel m takes input places[m]."""
        found, to = _room(len(x), len(places), ending)
        self.functions.steps(_at(x), *_longs(*x.shape), _at(places), *_longs(len(places)), ctypes.byref(to))
        return found

    def window_planes(self, images: Words, channels: int, border: Words, geometry: Geometry) -> Words:
        """Images (frames, height * width, planes, words) to windows (frames * windows, planes, words)."""
        frames, _, planes, _ = images.shape
        where = geometry.of_c()
        shape = (frames * geometry.windows, planes, words_of(geometry.taps * channels))
        found = np.empty(shape, np.uint64)
        self.functions.window_planes(
            _at(images), *_longs(frames, channels), planes, ctypes.byref(where), _at(border), _at(found)
        )
        return found

    def window_integers(self, images: Integers, channels: int, border: int, geometry: Geometry) -> Integers:
        """Images (frames, height * width * channels) to windows (frames * windows, taps * channels)."""
        where = geometry.of_c()
        found = np.empty((len(images) * geometry.windows, geometry.taps * channels), np.int32)
        self.functions.window_integers(
            _at(images), *_longs(len(images), channels), ctypes.byref(where), border, _at(found)
        )
        return found

    def any_tap(self, windows: Words, taps: int, channels: int) -> Words:
        """Windows (pixels, 1, words) of one plane: the OR of their taps."""
        found = np.empty((len(windows), 1, words_of(channels)), np.uint64)
        self.functions.any_tap(_at(windows), *_longs(len(windows), taps, channels), _at(found))
        return found

    def largest_tap(self, windows: Integers, taps: int) -> Integers:
        """Windows (pixels, taps * channels): the largest of their taps."""
        found = np.empty((len(windows), windows.shape[1] // taps), np.int32)
        self.functions.largest_tap(_at(windows), *_longs(len(windows), taps, found.shape[1]), _at(found))
        return found

    def weighted_taps(self, windows: Integers, weights: Integers) -> Integers:
        """Windows (pixels, taps * channels) times weights (taps, channels), summed over the taps."""
        found = np.empty((len(windows), weights.shape[1]), np.int32)
        self.functions.weighted_taps(
            _at(windows), *_longs(len(windows), *weights.shape), _at(weights), _at(found)
        )
        return found

    def two_slopes(
        self,
        x: Integers,
        tables: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]],
        shift: int,
    ) -> Integers:
        """(slopes * x + constants) >> shift of the line below or from the knee on; see `TwoSlopes`.

        `tables`: knee (channels,), slopes and constants (2, channels).
        """
        found = np.empty_like(x)
        self.functions.two_slopes(_at(x), *_longs(*x.shape), *map(_at, tables), shift, _at(found))
        return found

    def add(self, left: Integers, right: Integers, shifts: tuple[int, int], offset: int) -> Integers:
        """left << shifts[0] + right << shifts[1] + offset."""
        found = np.empty_like(left)
        self.functions.add(_at(left), _at(right), *_longs(left.size), *shifts, offset, _at(found))
        return found


@cache
def load_library(processor: str = "native") -> Library | None:
    """The library for this processor, compiled at the first call of all. None without a working g++.

    Another `processor` is one that g++ knows (-march), such as haswell: for tests of what others have.
    """
    compiler = shutil.which("g++")
    if compiler is None:
        return None
    flags = (f"-march={processor}", *FLAGS)
    # the compiler's macros tell its version and what the processor has
    macros = [compiler, flags[0], "-dM", "-E", "-x", "c++", os.devnull]
    told = subprocess.run(macros, capture_output=True, check=False).stdout
    with TemporaryDirectory() as scratch:
        path = Path(scratch, "packed.so")
        command = [compiler, *flags, "-o", str(path), str(SOURCE)]

        def compiled() -> None:
            subprocess.run(command, capture_output=True, check=True)

        try:
            make_or_copy(path, (told, repr(flags).encode(), SOURCE.read_bytes()), compiled)
            return Library(ctypes.CDLL(str(path)))
        except (subprocess.CalledProcessError, OSError):
            return None


def _room(pixels: int, channels: int, ending: Ending) -> tuple[npt.NDArray[Any], _Ending]:
    """The array that is to be written, and the ending that writes it."""
    if ending.planes:
        words = np.empty((pixels, ending.planes, words_of(channels)), np.uint64)
        return words, ending.of(None, words)
    integers = np.empty((pixels, channels), np.int32)
    return integers, ending.of(integers, None)


def _at(array: npt.NDArray[Any]) -> ctypes.c_void_p:
    assert array.flags.c_contiguous
    return ctypes.c_void_p(array.ctypes.data)


def _longs(*numbers: int) -> tuple[ctypes.c_long, ...]:
    return tuple(ctypes.c_long(number) for number in numbers)
