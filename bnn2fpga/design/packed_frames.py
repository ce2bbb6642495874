"""Frames as the packed engine keeps them: as integers or bit planes, and as the other when asked."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from bnn2fpga.design.integers import BIPOLAR, TERNARY, Ints, IntType
from bnn2fpga.design.step_functions import Steps
from bnn2fpga.design.stream import Stream
from bnn2fpga.packed.library import Ending, Integers, Library, Words, words_of

KEPT_AS_PLANES = 4
"""Bits of a step function's output up to which it is kept as planes."""


@dataclass(frozen=True, eq=False)
class PackedFrames:
    """Frames (count, *shape) of `type`; `kept` is an int32 array of them, or planes (pixels, bits, words).

    Values that int32 does not hold are kept in an int64 array.
    """

    library: Library
    type: IntType
    count: int
    shape: tuple[int, ...]
    kept: npt.NDArray[Any]

    @classmethod
    def of(cls, library: Library, kind: IntType, frames: Ints) -> PackedFrames:
        """From integers (count, *shape)."""
        dtype = np.int32 if is_narrow(kind) else np.int64
        kept = np.ascontiguousarray(frames, dtype)
        return cls(library, kind, len(frames), frames.shape[1:], kept)

    def following(self, stream: Stream, kept: npt.NDArray[Any]) -> PackedFrames:
        """What a kernel makes of these frames."""
        return PackedFrames(self.library, stream.type, self.count, stream.shape, kept)

    def viewed(self, shape: tuple[int, ...]) -> PackedFrames:
        """The same integers in frames of another shape, such as flattened ones."""
        if shape == self.shape:
            return self
        alike = shape[-1] == self.shape[-1]
        kept = self.kept if alike else self.integers
        return PackedFrames(self.library, self.type, self.count, shape, kept)

    @property
    def pixels(self) -> int:
        """Of all frames."""
        return self.count * prod(self.shape[:-1])

    @property
    def channels(self) -> int:
        """Integers of a pixel."""
        return self.shape[-1]

    @cached_property
    def integers(self) -> Integers:
        """(pixels, channels)."""
        if self.kept.dtype != np.uint64:
            return self.kept.reshape(self.pixels, self.channels)
        gains, offset = plane_values(self.type)
        return self.library.unpack(self.kept, self.channels, gains, offset)

    @cached_property
    def planes(self) -> Words:
        """(pixels, bits, words)."""
        if self.kept.dtype == np.uint64:
            return self.kept
        return self.library.pack(self.integers, self.type.bits, self.type.bipolar)

    @property
    def arrays(self) -> Ints:
        """(count, *shape), as `compute` takes and gives them."""
        return self.integers.reshape(self.count, *self.shape).astype(self.type.dtype, copy=False)

    def planes_as(self, kind: IntType) -> Words:
        """`planes` of a wider type."""
        planes = self.planes
        if kind == self.type:
            return planes
        if self.type == BIPOLAR and kind == TERNARY:
            used = full_words(self.channels)
            return np.stack([np.broadcast_to(used, planes[:, 0].shape), ~planes[:, 0] & used], axis=1)
        if self.type.bipolar:
            return self.library.pack(self.integers, kind.bits, kind.bipolar)
        top = planes[:, -1:] if self.type.signed else np.zeros_like(planes[:, :1])
        return np.concatenate([planes, np.repeat(top, kind.bits - self.type.bits, axis=1)], axis=1)


def is_narrow(kind: IntType) -> bool:
    """Whether int32 holds every value."""
    return kind.high < 1 << 31


def plane_values(kind: IntType) -> tuple[tuple[int, ...], int]:
    """What the bits of a code stand for, and the offset: the value is offset + the sum of the bits set."""
    if kind.bipolar:
        return (2,), -1
    signs = [1] * (kind.bits - 1) + [-1 if kind.signed else 1]
    return tuple(sign << bit for bit, sign in enumerate(signs)), 0


def full_words(channels: int) -> npt.NDArray[np.uint64]:
    """A plane of one pixel, all bits set."""
    words = np.full(words_of(channels), ~np.uint64(0))
    words[-1] >>= np.uint64(-channels % 64)
    return words


def ending_of(steps: Steps | None) -> Ending:
    """How the packed engine turns sums into the values of `steps`."""
    if steps is None:
        return Ending()
    kind = steps.output
    limits = np.iinfo(np.int32)
    return Ending(
        steps.base.astype(np.int32),
        np.clip(steps.thresholds.T, limits.min, limits.max).astype(np.int32),
        # a threshold beyond int32 is never reached
        np.where(limits.max < steps.thresholds.T, 0, steps.signs.T).astype(np.int32),
        kind.low,
        kind.step,
        0 if kind.bipolar else kind.low,
        kind.bits if packs(kind) else 0,
    )


def packs(kind: IntType) -> bool:
    """Whether streams of this type are mostly kept as planes."""
    return kind.bits <= KEPT_AS_PLANES
