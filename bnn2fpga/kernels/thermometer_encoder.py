"""Numbers as rows of bits, as many of them set as the number is large: the input of a binary network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from bnn2fpga.errors import FoldingError
from bnn2fpga.ir import BIPOLAR, Ints, IntType, Stream, check_folding, lane_counts
from bnn2fpga.kernel import Cycles, Kernel, Resources, memory
from bnn2fpga.layers import Layer, Thermometer


def rounded_thresholds(step: int, count: int, half_even: bool) -> Ints:
    """The smallest integers x >= 0 at which each bit k of 0 .. count-1 is set: k < round(x / step).

    A half goes up, or with `half_even` to the even neighbour as in `torch.round`: FracBNN trains with
    the one and its FPGA rounds with the other, both with step 8 and 32 bits for pixels 0 to 255.
    """
    bits = np.arange(count)
    up = ((2 * bits + 1) * step + 1) // 2
    return up + (bits % 2 == 0) if half_even and step % 2 == 0 else up


@dataclass(frozen=True, eq=False)
class ThermometerEncoder(Kernel):
    """(…, C) to bipolar (…, C*T): all T bits of `pe` channels in a beat."""

    source_shape: tuple[int, ...]
    source_type: IntType
    thresholds: Ints
    pe: int = 1

    summary = "thermometer encoder: one bit for every level that the input reaches"
    template = "thermometer_encoder.hpp.j2"
    folding_fields = ("pe",)

    @classmethod
    def implements(cls, layer: Layer) -> Self | None:
        if not isinstance(layer, Thermometer):
            return None
        return cls(layer.source.shape, layer.source.type, layer.thresholds)

    def __post_init__(self) -> None:
        if len(self.thresholds) != self.channels:
            raise FoldingError(f"thresholds of {len(self.thresholds)} channels for {self.channels}")
        check_folding("pe", self.pe, self.channels, "channels")

    @property
    def channels(self) -> int:
        """C, of the input."""
        return self.source_shape[-1]

    @property
    def count(self) -> int:
        """T, the bits of one number."""
        return self.thresholds.shape[1]

    @property
    def channel_folds(self) -> int:
        """Beats of one pixel."""
        return self.channels // self.pe

    @property
    def inputs(self) -> tuple[Stream, ...]:
        return (Stream(self.source_shape, self.source_type, self.pe),)

    @property
    def outputs(self) -> tuple[Stream, ...]:
        return (Stream((*self.source_shape[:-1], self.channels * self.count), BIPOLAR, self.pe * self.count),)

    def compute(self, *arrays: Ints) -> tuple[Ints, ...]:
        reached = arrays[0][..., None] >= self.thresholds
        signs = np.where(reached, np.int8(1), np.int8(-1))
        return (signs.reshape(*arrays[0].shape[:-1], self.channels * self.count),)

    @property
    def cycles(self) -> Cycles:
        return Cycles(self.inputs[0].beats, 1)

    @property
    def resources(self) -> Resources:
        compared = self.pe * self.count * self.source_type.bits
        logic = Resources(luts=compared // 2 + 30, flipflops=self.outputs[0].bits + 20)
        return logic + memory(self.channel_folds, compared) if self.channel_folds > 1 else logic

    def foldings(self) -> Iterator[Self]:
        for pe in lane_counts(self.channels, max(self.source_type.bits, self.count)):
            yield replace(self, pe=pe)
