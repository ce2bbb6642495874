"""The same integers in wider or narrower beats."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from bnn2fpga.circuits.memory import counter_bits
from bnn2fpga.circuits.resources import Parts
from bnn2fpga.design.folding import check_folding
from bnn2fpga.design.integers import Ints, IntType
from bnn2fpga.design.kernel import Cycles, Kernel, Pattern
from bnn2fpga.design.layers import Layer, Regroup
from bnn2fpga.design.packed_frames import PackedFrames
from bnn2fpga.design.stream import Stream
from bnn2fpga.errors import FoldingError


@dataclass(frozen=True)
class WidthConverter(Kernel):
    """`source_lanes` a beat in, `lanes` a beat out; one divides the other.

    Its lanes follow from its neighbours, so it has one folding.
    """

    shape: tuple[int, ...]
    type: IntType
    source_lanes: int
    lanes: int

    summary = "width converter between two foldings"
    template = "width_converter"

    @classmethod
    def implements(cls, layer: Layer) -> Self | None:
        if not isinstance(layer, Regroup):
            return None
        return cls(layer.source.shape, layer.source.type, layer.source.lanes, layer.lanes)

    def __post_init__(self) -> None:
        check_folding("source_lanes", self.source_lanes, self.shape[-1], "channels")
        check_folding("lanes", self.lanes, self.shape[-1], "channels")
        if self.source_lanes % self.lanes and self.lanes % self.source_lanes:
            raise FoldingError(
                f"no width converter from {self.source_lanes} to {self.lanes} lanes: neither divides"
            )

    @property
    def inputs(self) -> tuple[Stream, ...]:
        return (Stream(self.shape, self.type, self.source_lanes),)

    @property
    def outputs(self) -> tuple[Stream, ...]:
        return (Stream(self.shape, self.type, self.lanes),)

    @property
    def ratio(self) -> int:
        """Narrow beats in a wide one."""
        return max(self.lanes, self.source_lanes) // min(self.lanes, self.source_lanes)

    def compute(self, *arrays: Ints) -> tuple[Ints, ...]:
        return arrays

    def packed(self, *frames: PackedFrames) -> tuple[PackedFrames, ...]:
        return frames

    @property
    def cycles(self) -> Cycles:
        beats = max(self.inputs[0].beats, self.outputs[0].beats)
        return Cycles(beats, self.ratio if self.lanes > self.source_lanes else 1)

    @property
    def pattern(self) -> Pattern:
        trips = np.arange(self.cycles.interval)
        if self.lanes > self.source_lanes:
            return Pattern((trips,), (trips[self.ratio - 1 :: self.ratio],))
        return Pattern((trips[:: self.ratio],), (trips,))

    @property
    def stages(self) -> int:
        return 2

    @property
    def parts(self) -> Parts:
        narrow, wide = sorted((self.inputs[0].bits, self.outputs[0].bits))
        moved = "joined" if self.lanes > self.source_lanes else "taken apart"
        return {"counters": counter_bits(self.ratio), "arrived": self.inputs[0].bits, moved: wide - narrow}

    def foldings(self) -> Iterator[Self]:
        yield self
