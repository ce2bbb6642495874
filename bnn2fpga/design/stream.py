"""One frame of integers on its way from kernel to kernel."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bnn2fpga.errors import BuildError

if TYPE_CHECKING:
    pass

from bnn2fpga.design.folding import check_folding
from bnn2fpga.design.integers import Ints, IntType


@dataclass(frozen=True)
class Stream:
    """One frame of integers, sent `lanes` at a time.

    `shape` is the frame without the batch, channels last, e.g. (height, width, channels). The beats
    come in raster order with the channels fastest; lane 0 holds the first channel of a beat and lies
    in the least significant bits.
    """

    shape: tuple[int, ...]
    type: IntType
    lanes: int = 1

    def __post_init__(self) -> None:
        if not self.shape or min(self.shape) < 1:
            raise BuildError(f"a stream of shape {self.shape} holds nothing")
        check_folding("lanes", self.lanes, self.channels, "channels")

    @property
    def channels(self) -> int:
        """The extent of the last, fastest axis."""
        return self.shape[-1]

    @property
    def size(self) -> int:
        """Integers in one frame."""
        return prod(self.shape)

    @property
    def pixels(self) -> int:
        """Positions in one frame, each of `channels` integers."""
        return self.size // self.channels

    @property
    def beats(self) -> int:
        """Transfers in one frame."""
        return self.size // self.lanes

    @property
    def bits(self) -> int:
        """Width of one beat."""
        return self.lanes * self.type.bits

    @property
    def beat_bytes(self) -> int:
        """Bytes of one beat on a byte-aligned bus (AXI4-Stream TDATA)."""
        return (self.bits + 7) // 8

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame in memory, beat after beat without gaps."""
        return self.beats * self.beat_bytes

    def port_cycles(self, port_bits: int) -> int:
        """Clocks that a memory port of `port_bits`, a word a clock, takes for one frame."""
        return -(-8 * self.frame_bytes // port_bits)

    def pack(self, frames: Ints) -> npt.NDArray[np.uint8]:
        """Frames (N, *shape) as beats (N, beats, beat_bytes), little endian, unused bits 0."""
        codes = (frames + 1) // 2 if self.type.bipolar else frames
        lanes = codes.reshape(len(frames), self.beats, self.lanes, 1)
        bits = (lanes >> np.arange(self.type.bits)) & 1
        return np.packbits(
            bits.reshape(len(frames), self.beats, self.bits).astype(np.uint8), axis=-1, bitorder="little"
        )

    def unpack(self, beats: npt.NDArray[np.uint8]) -> Ints:
        """The inverse of `pack`."""
        bits = np.unpackbits(beats, axis=-1, bitorder="little", count=self.bits)
        lanes = bits.reshape(len(beats), self.size, self.type.bits).astype(np.int64)
        codes = (lanes << np.arange(self.type.bits)).sum(-1)
        if self.type.bipolar:
            codes = 2 * codes - 1
        elif self.type.signed:
            codes = np.where(codes > self.type.high, codes - (1 << self.type.bits), codes)
        return codes.astype(self.type.dtype).reshape(len(beats), *self.shape)
