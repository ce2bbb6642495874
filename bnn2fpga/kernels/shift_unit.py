"""Back to fewer bits: a shift that rounds, and saturation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from bnn2fpga.errors import BuildError, FoldingError
from bnn2fpga.ir import Ints, IntType, Stream, check_folding, lane_counts
from bnn2fpga.kernel import Cycles, Kernel, Pattern, Resources, memory
from bnn2fpga.layers import Layer, Shift


@dataclass(frozen=True, eq=False)
class ShiftUnit(Kernel):
    """(x + offsets[c]) >> shift, saturated at the ends of `output`; an offset of half rounds half up."""

    source_shape: tuple[int, ...]
    source_type: IntType
    offsets: Ints
    shift: int
    output: IntType
    lanes: int = 1

    summary = "requantizes: offset per channel, shift right, saturation"
    template = "shift_unit.hpp.j2"
    folding_fields = ("lanes",)

    @classmethod
    def implements(cls, layer: Layer) -> Self | None:
        if not isinstance(layer, Shift) or layer.output.bipolar:
            return None
        return cls(layer.source.shape, layer.source.type, layer.offsets, layer.shift, layer.output)

    def __post_init__(self) -> None:
        if not 0 <= self.shift <= 31:
            raise BuildError(f"a shift by {self.shift} bits; legal: 0 to 31")
        if len(self.offsets) != self.channels:
            raise FoldingError(f"{len(self.offsets)} offsets for {self.channels} channels")
        check_folding("lanes", self.lanes, self.channels, "channels")

    @property
    def channels(self) -> int:
        """C, of the input and of the output."""
        return self.source_shape[-1]

    @property
    def channel_folds(self) -> int:
        """Beats of one pixel."""
        return self.channels // self.lanes

    @property
    def sum_bits(self) -> int:
        """Of the signed sum of input and offset."""
        low = self.source_type.low + int(self.offsets.min())
        high = self.source_type.high + int(self.offsets.max())
        return 1 + max(high, -low - 1, 0).bit_length()

    @property
    def inputs(self) -> tuple[Stream, ...]:
        return (Stream(self.source_shape, self.source_type, self.lanes),)

    @property
    def outputs(self) -> tuple[Stream, ...]:
        return (Stream(self.source_shape, self.output, self.lanes),)

    def compute(self, *arrays: Ints) -> tuple[Ints, ...]:
        shifted = (arrays[0].astype(np.int64) + self.offsets) >> self.shift
        return (np.clip(shifted, self.output.low, self.output.high).astype(self.output.dtype),)

    @property
    def cycles(self) -> Cycles:
        return Cycles(self.inputs[0].beats, 1)

    @property
    def pattern(self) -> Pattern:
        return Pattern.lock_step(self)

    @property
    def resources(self) -> Resources:
        bits = self.lanes * self.sum_bits
        logic = Resources(luts=bits + self.outputs[0].bits + 40, flipflops=bits + self.outputs[0].bits + 30)
        return logic + memory(self.channel_folds, bits)

    def foldings(self) -> Iterator[Self]:
        for lanes in lane_counts(self.channels, max(self.source_type.bits, self.output.bits)):
            yield replace(self, lanes=lanes)
