"""Where a residual meets its branch: two streams added."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

from bnn2fpga.circuits.resources import Parts
from bnn2fpga.design.folding import check_folding, lane_counts
from bnn2fpga.design.integers import Ints, IntType
from bnn2fpga.design.kernel import LockStep
from bnn2fpga.design.layers import Layer, Sum
from bnn2fpga.design.packed_frames import PackedFrames
from bnn2fpga.design.stream import Stream


@dataclass(frozen=True)
class AddStreams(LockStep):
    """left * 2**shifts[0] + right * 2**shifts[1] + offset; the shifts bring both to one grid."""

    shape: tuple[int, ...]
    left: IntType
    right: IntType
    shifts: tuple[int, int]
    offset: int
    output_type: IntType
    lanes: int = 1

    summary = "adds two streams, each shifted left to a common grid"
    template = "add_streams"
    folding_fields = ("lanes",)

    @classmethod
    def implements(cls, layer: Layer) -> Self | None:
        if not isinstance(layer, Sum):
            return None
        left, right = layer.source.type, layer.other.type
        kind = layer.output
        if kind is None:
            up_left, up_right = layer.shifts
            low = (left.low << up_left) + (right.low << up_right) + layer.offset
            kind = IntType.holding(low, (left.high << up_left) + (right.high << up_right) + layer.offset)
        return cls(layer.source.shape, left, right, layer.shifts, layer.offset, kind)

    def __post_init__(self) -> None:
        check_folding("lanes", self.lanes, self.shape[-1], "channels")

    @property
    def inputs(self) -> tuple[Stream, ...]:
        return (Stream(self.shape, self.left, self.lanes), Stream(self.shape, self.right, self.lanes))

    @property
    def outputs(self) -> tuple[Stream, ...]:
        return (Stream(self.shape, self.output_type, self.lanes),)

    def compute(self, *arrays: Ints) -> tuple[Ints, ...]:
        left, right = (array.astype(self.output_type.dtype) for array in arrays)
        return ((left << self.shifts[0]) + (right << self.shifts[1]) + self.offset,)

    def packed(self, *frames: PackedFrames) -> tuple[PackedFrames, ...]:
        left, right = frames
        total = left.library.add(left.integers, right.integers, self.shifts, self.offset)
        return (left.following(self.outputs[0], total),)

    @property
    def parts(self) -> Parts:
        offset = self.outputs[0].bits if self.offset else 0
        return {"overlap": self.lanes * min(self.left.bits, self.right.bits), "offset": offset}

    def foldings(self) -> Iterator[Self]:
        for lanes in lane_counts(self.shape[-1], self.output_type.bits):
            yield replace(self, lanes=lanes)
