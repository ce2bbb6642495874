"""The largest value of every window."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

from bnn2fpga.ir import Ints, IntType, Stream, check_folding, lane_counts
from bnn2fpga.kernel import Cycles, Kernel, Resources, memory
from bnn2fpga.layers import Layer, WindowMax


@dataclass(frozen=True)
class MaxPool(Kernel):
    """(…, taps*C) windows to (…, C) maxima, `lanes` channels a beat; behind a sliding window."""

    source_shape: tuple[int, ...]
    source_type: IntType
    taps: int
    lanes: int = 1

    summary = "max pool over the windows of a sliding window"
    template = "max_pool.hpp.j2"
    folding_fields = ("lanes",)

    @classmethod
    def implements(cls, layer: Layer) -> Self | None:
        if not isinstance(layer, WindowMax):
            return None
        return cls(layer.source.shape, layer.source.type, layer.taps)

    def __post_init__(self) -> None:
        check_folding("lanes", self.lanes, self.channels, "channels")

    @property
    def channels(self) -> int:
        """C, the channels of one tap."""
        return self.source_shape[-1] // self.taps

    @property
    def channel_folds(self) -> int:
        """Beats of one tap."""
        return self.channels // self.lanes

    @property
    def inputs(self) -> tuple[Stream, ...]:
        return (Stream(self.source_shape, self.source_type, self.lanes),)

    @property
    def outputs(self) -> tuple[Stream, ...]:
        return (Stream((*self.source_shape[:-1], self.channels), self.source_type, self.lanes),)

    def compute(self, *arrays: Ints) -> tuple[Ints, ...]:
        taps = arrays[0].reshape(*arrays[0].shape[:-1], self.taps, self.channels)
        return (taps.max(axis=-2),)

    @property
    def cycles(self) -> Cycles:
        return Cycles(self.inputs[0].beats, (self.taps - 1) * self.channel_folds + 1)

    @property
    def resources(self) -> Resources:
        bits = self.inputs[0].bits
        return Resources(luts=2 * bits + 60, flipflops=2 * bits + 40) + memory(self.channel_folds, bits)

    def foldings(self) -> Iterator[Self]:
        for lanes in lane_counts(self.channels, self.source_type.bits):
            yield replace(self, lanes=lanes)
