"""Back to fewer bits: a shift that rounds, and saturation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from bnn2fpga.circuits.memory import Memory, counter_bits, rom
from bnn2fpga.circuits.resources import Parts
from bnn2fpga.circuits.rom import Rom
from bnn2fpga.design.integers import Ints, IntType
from bnn2fpga.design.layers import Layer, Shift
from bnn2fpga.errors import BuildError, FoldingError
from bnn2fpga.kernels.bases.elementwise import Elementwise
from bnn2fpga.kernels.bases.rom_fields import field_bits, lanes_rom


@dataclass(frozen=True, eq=False)
class ShiftUnit(Elementwise):
    """(x + offsets[c]) >> shift, saturated at the ends of `output`; an offset of half rounds half up."""

    offsets: Ints
    shift: int
    output: IntType

    summary = "requantizes: offset per channel, shift right, saturation"
    template = "shift_unit"

    @classmethod
    def implements(cls, layer: Layer) -> Self | None:
        if not isinstance(layer, Shift) or layer.output.bipolar:
            return None
        return cls(layer.source.shape, layer.source.type, 1, layer.offsets, layer.shift, layer.output)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.shift <= 31:
            raise BuildError(f"a shift by {self.shift} bits; legal: 0 to 31")
        if len(self.offsets) != self.channels:
            raise FoldingError(f"{len(self.offsets)} offsets for {self.channels} channels")

    @property
    def output_type(self) -> IntType:
        return self.output

    @property
    def bounds(self) -> tuple[int, int]:
        """Least and largest sum of input and offset."""
        low, high = self.source_type.low, self.source_type.high
        return low + int(self.offsets.min()), high + int(self.offsets.max())

    @property
    def sum_bits(self) -> int:
        """Of the signed sum."""
        low, high = self.bounds
        return 1 + max(high, -low - 1, 0).bit_length()

    @property
    def stages(self) -> int:
        return 3

    @property
    def offset_bits(self) -> int:
        """Of an offset, signed."""
        return 1 + int(np.abs(self.offsets).max()).bit_length()

    @property
    def roms(self) -> Mapping[str, Rom]:
        return {"offsets": lanes_rom(self.lanes, field_bits(self.offsets, self.offset_bits))}

    def compute(self, *arrays: Ints) -> tuple[Ints, ...]:
        shifted = (arrays[0].astype(np.int64) + self.offsets) >> self.shift
        return (np.clip(shifted, self.output.low, self.output.high).astype(self.output.dtype),)

    @property
    def parts(self) -> Parts:
        """Below the lowest bit that any offset has, nothing is added."""
        low, high = (bound >> self.shift for bound in self.bounds)
        saturates = low < self.output.low or high > self.output.high
        offsets = int(np.bitwise_or.reduce(self.offsets))
        untouched = (offsets & -offsets).bit_length() - 1 if offsets else self.sum_bits
        return {
            "counters": counter_bits(self.channel_folds),
            "arrived": self.inputs[0].bits,
            "sums": self.lanes * (self.sum_bits - untouched),
            "saturated": self.lanes * self.output.bits * saturates,
        }

    @property
    def memories(self) -> tuple[Memory, ...]:
        return (rom(self.channel_folds, self.lanes * self.offset_bits),)
