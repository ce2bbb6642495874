"""One stream to several readers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

from bnn2fpga.circuits.resources import Parts
from bnn2fpga.design.folding import check_folding, lane_counts
from bnn2fpga.design.integers import Ints, IntType
from bnn2fpga.design.kernel import LockStep
from bnn2fpga.design.layers import Copies, Layer
from bnn2fpga.design.packed_frames import PackedFrames
from bnn2fpga.design.stream import Stream


@dataclass(frozen=True)
class StreamFork(LockStep):
    """Every beat to each of `count` outputs."""

    shape: tuple[int, ...]
    type: IntType
    count: int
    lanes: int = 1

    summary = "stream fork: every beat to each of several outputs"
    template = "stream_fork"
    folding_fields = ("lanes",)

    @classmethod
    def implements(cls, layer: Layer) -> Self | None:
        if not isinstance(layer, Copies):
            return None
        return cls(layer.source.shape, layer.source.type, layer.count, layer.source.lanes)

    def __post_init__(self) -> None:
        check_folding("lanes", self.lanes, self.shape[-1], "channels")

    @property
    def inputs(self) -> tuple[Stream, ...]:
        return (Stream(self.shape, self.type, self.lanes),)

    @property
    def outputs(self) -> tuple[Stream, ...]:
        return self.inputs * self.count

    def compute(self, *arrays: Ints) -> tuple[Ints, ...]:
        return arrays * self.count

    def packed(self, *frames: PackedFrames) -> tuple[PackedFrames, ...]:
        return frames * self.count

    @property
    def parts(self) -> Parts:
        return {}

    def foldings(self) -> Iterator[Self]:
        for lanes in lane_counts(self.shape[-1], self.type.bits):
            yield replace(self, lanes=lanes)
