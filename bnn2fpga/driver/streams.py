"""Frames of integers as the bytes of a stream's beats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .facts import extents, switch, whole
from .fault import AcceleratorError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class StreamFormat:
    """One frame on a stream: integers of `bits`, `lanes` of them a beat, each beat in whole bytes.

    The frame's elements come in raster order; lane 0 lies in the least significant bits of a beat; bytes are
    little endian, unused bits 0. A bipolar element is -1 (bit 0) or +1 (bit 1), a signed one is two's
    complement. `low` and `high` are the values that can occur.
    """

    shape: tuple[int, ...]
    bits: int
    signed: bool
    bipolar: bool
    low: int
    high: int
    lanes: int

    def __post_init__(self) -> None:
        extents(self.shape, "shape")
        whole(self.bits, "bits", 1, 62)
        whole(self.lanes, "lanes", 1, self.size)
        signed, bipolar = switch(self.signed, "signed"), switch(self.bipolar, "bipolar")
        low, high = (
            (-(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1) if signed else (0, (1 << self.bits) - 1)
        )
        if bipolar:
            low, high = -1, 1
        whole(self.low, "low", low, high)
        whole(self.high, "high", self.low, high)
        if self.size % self.lanes or (bipolar and self.bits != 1):
            raise ValueError(f"{self.size} elements of {self.bits} bits on {self.lanes} lanes")

    @property
    def size(self) -> int:
        """Integers of one frame."""
        return int(np.prod(self.shape))

    @property
    def beat_bytes(self) -> int:
        """Bytes of one beat."""
        return (self.lanes * self.bits + 7) // 8

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame, beat after beat."""
        return self.size // self.lanes * self.beat_bytes

    def check(self, integers: NDArray[Any]) -> NDArray[Any]:
        """`integers` as (N, size); an AcceleratorError for another size or values outside the type."""
        frames = len(integers)
        if integers.size != frames * self.size or not np.issubdtype(integers.dtype, np.integer):
            raise AcceleratorError(
                f"integers of shape {integers.shape}, {integers.dtype}; legal: (N, "
                f"{', '.join(map(str, self.shape))}) of an integer type"
            )
        flat = integers.reshape(frames, self.size)
        wrong = (flat < self.low) | (flat > self.high) | (self.bipolar & (flat == 0))
        if wrong.any():
            frame, place = (int(index) for index in np.argwhere(wrong)[0])
            legal = "-1, 1" if self.bipolar else f"{self.low} to {self.high}"
            raise AcceleratorError(
                f"frame {frame}, element {place}: integer {flat[frame, place]}; legal: {legal}"
            )
        return flat

    def pack(self, integers: NDArray[Any]) -> NDArray[np.uint8]:
        """Integers (N, size) as bytes (N, frame_bytes)."""
        frames, beats = len(integers), self.size // self.lanes
        lanes = integers.reshape(frames, beats, self.lanes)
        if self.bits == 1:
            bits = lanes > 0
        elif self.bits == 8:
            return lanes.astype(np.uint8).reshape(frames, self.frame_bytes)
        else:
            bits = (lanes[..., None] >> np.arange(self.bits)) & 1 > 0
            bits = bits.reshape(frames, beats, self.lanes * self.bits)
        return np.packbits(bits, axis=-1, bitorder="little").reshape(frames, self.frame_bytes)

    def unpack(self, data: NDArray[np.uint8]) -> NDArray[np.int64]:
        """The inverse of `pack`."""
        frames, beats = len(data), self.size // self.lanes
        beat = data.reshape(frames, beats, self.beat_bytes)
        bits = np.unpackbits(beat, axis=-1, bitorder="little")[..., : self.lanes * self.bits]
        values = bits.reshape(frames, self.size, self.bits).astype(np.int64)
        codes: NDArray[np.int64] = (values << np.arange(self.bits)).sum(axis=-1)
        if self.bipolar:
            return 2 * codes - 1
        if self.signed:
            codes[codes >= 1 << (self.bits - 1)] -= 1 << self.bits
        return codes
