"""RPReLU and batch norm on an integer trunk: shifts and additions, no multiplier."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from bnn2fpga.errors import BuildError, FoldingError
from bnn2fpga.ir import Ints, IntType, Stream, check_folding, lane_counts
from bnn2fpga.kernel import Cycles, Kernel, Pattern, Resources, memory
from bnn2fpga.layers import Bend, Layer
from bnn2fpga.slopes import TwoSlopes


@dataclass(frozen=True, eq=False)
class TwoSlopeUnit(Kernel):
    """One of two lines per channel, `lanes` channels a beat; a slope is a sum of signed powers of two."""

    source_shape: tuple[int, ...]
    source_type: IntType
    slopes: TwoSlopes
    output_type: IntType
    lanes: int = 1

    summary = "two straight lines per channel (PReLU, RPReLU) by shifts and additions"
    template = "two_slope_unit.hpp.j2"
    folding_fields = ("lanes",)

    @classmethod
    def implements(cls, layer: Layer) -> Self | None:
        if not isinstance(layer, Bend):
            return None
        kind = layer.output
        if kind is None:
            low, high = layer.slopes.bounds(layer.source.type.low, layer.source.type.high)
            kind = IntType.holding(int(low.min()), int(high.max()))
        return cls(layer.source.shape, layer.source.type, layer.slopes, kind)

    def __post_init__(self) -> None:
        if self.slopes.channels != self.channels:
            raise FoldingError(f"{self.slopes.channels} pairs of lines for {self.channels} channels")
        if not 0 <= self.slopes.shift <= 31 or self.sum_bits > 64:
            raise BuildError(
                f"lines of {self.sum_bits} bits, shifted by {self.slopes.shift}; "
                "legal: 64 bits, shifts 0 to 31"
            )
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
    def inputs(self) -> tuple[Stream, ...]:
        return (Stream(self.source_shape, self.source_type, self.lanes),)

    @property
    def outputs(self) -> tuple[Stream, ...]:
        return (Stream(self.source_shape, self.output_type, self.lanes),)

    def compute(self, *arrays: Ints) -> tuple[Ints, ...]:
        return (self.slopes(arrays[0]).astype(self.output_type.dtype),)

    @property
    def cycles(self) -> Cycles:
        return Cycles(self.inputs[0].beats, 1)

    @property
    def sum_bits(self) -> int:
        """Of the signed sum before the shift, whatever the order of the terms."""
        signs, shifts = self.slopes.terms
        gain = int((np.abs(signs) << shifts).sum(axis=1).max())
        largest = max(-self.source_type.low, self.source_type.high)
        return 1 + (gain * largest + int(np.abs(self.slopes.constants).max())).bit_length()

    @property
    def terms(self) -> int:
        """Powers of two in the costliest slope."""
        return self.slopes.terms[0].shape[1]

    @property
    def pattern(self) -> Pattern:
        return Pattern.lock_step(self)

    @property
    def resources(self) -> Resources:
        bits = self.sum_bits
        # a term is a shifter of some multiplexers and an adder; each lane keeps two sets of parameters
        luts = self.lanes * (self.terms * 4 * bits + 2 * bits + self.source_type.bits) + 60
        parameters = self.source_type.bits + 2 * (self.terms * 6 + bits)
        logic = Resources(luts=luts, flipflops=3 * self.lanes * bits + 40)
        return logic + memory(self.channel_folds, self.lanes * parameters)

    def foldings(self) -> Iterator[Self]:
        for lanes in lane_counts(self.channels, max(self.source_type.bits, self.output_type.bits)):
            yield replace(self, lanes=lanes)

    # what the template reads

    @property
    def knees(self) -> Ints:
        """(channel folds, lanes)."""
        return self.slopes.knee.reshape(self.channel_folds, self.lanes)

    @property
    def constants(self) -> Ints:
        """(channel folds, lanes, 2)."""
        return self.slopes.constants.T.reshape(self.channel_folds, self.lanes, 2)

    @property
    def signs(self) -> Ints:
        """(channel folds, lanes, 2, terms)."""
        return self.slopes.terms[0].transpose(2, 0, 1).reshape(self.channel_folds, self.lanes, 2, self.terms)

    @property
    def shifts(self) -> Ints:
        """(channel folds, lanes, 2, terms)."""
        return self.slopes.terms[1].transpose(2, 0, 1).reshape(self.channel_folds, self.lanes, 2, self.terms)
