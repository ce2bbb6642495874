"""One stream lets another through, or not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from bnn2fpga.circuits.memory import Memory, counter_bits, rom
from bnn2fpga.circuits.resources import Parts
from bnn2fpga.circuits.rom import Rom
from bnn2fpga.design.folding import check_folding, lane_counts
from bnn2fpga.design.integers import Ints, IntType
from bnn2fpga.design.kernel import LockStep
from bnn2fpga.design.layers import Gate, Layer
from bnn2fpga.design.stream import Stream
from bnn2fpga.errors import FoldingError
from bnn2fpga.kernels.bases.rom_fields import field_bits, lanes_rom, threshold_type


@dataclass(frozen=True, eq=False)
class GateStreams(LockStep):
    """value * 2**shift + offset where control >= thresholds[c], else 0."""

    shape: tuple[int, ...]
    value: IntType
    control: IntType
    thresholds: Ints
    shift: int
    offset: int
    lanes: int = 1

    summary = "lets one stream through where another reaches a threshold, per channel"
    template = "gate_streams"
    folding_fields = ("lanes",)

    @classmethod
    def implements(cls, layer: Layer) -> Self | None:
        if not isinstance(layer, Gate):
            return None
        types = layer.source.type, layer.other.type
        return cls(layer.source.shape, *types, layer.thresholds, layer.shift, layer.offset)

    def __post_init__(self) -> None:
        if len(self.thresholds) != self.shape[-1]:
            raise FoldingError(f"{len(self.thresholds)} thresholds for {self.shape[-1]} channels")
        check_folding("lanes", self.lanes, self.shape[-1], "channels")

    @property
    def inputs(self) -> tuple[Stream, ...]:
        return (Stream(self.shape, self.value, self.lanes), Stream(self.shape, self.control, self.lanes))

    @property
    def output_type(self) -> IntType:
        """Holds 0 and every value."""
        low = (self.value.low << self.shift) + self.offset
        high = (self.value.high << self.shift) + self.offset
        return IntType.holding(min(0, low), max(0, high))

    @property
    def outputs(self) -> tuple[Stream, ...]:
        return (Stream(self.shape, self.output_type, self.lanes),)

    @property
    def channel_folds(self) -> int:
        """Beats of one pixel."""
        return self.shape[-1] // self.lanes

    def compute(self, *arrays: Ints) -> tuple[Ints, ...]:
        value, control = arrays
        moved = (value.astype(np.int64) << self.shift) + self.offset
        return (np.where(control >= self.thresholds, moved, 0).astype(self.output_type.dtype),)

    @property
    def stages(self) -> int:
        return 3

    @property
    def threshold_bits(self) -> int:
        """Of a threshold, signed."""
        return 1 + threshold_type(self.control).bits

    @property
    def roms(self) -> Mapping[str, Rom]:
        limits = np.clip(self.thresholds, self.control.low, self.control.high + 1)
        return {"thresholds": lanes_rom(self.lanes, field_bits(limits, self.threshold_bits))}

    @property
    def parts(self) -> Parts:
        fixed = "constant " if self.channel_folds == 1 else ""
        return {
            "counters": counter_bits(self.channel_folds),
            "arrived": self.inputs[0].bits + self.inputs[1].bits,
            f"{fixed}compared": self.inputs[1].bits,
            "offset": self.outputs[0].bits if self.offset else 0,
        }

    @property
    def memories(self) -> tuple[Memory, ...]:
        return (rom(self.channel_folds, self.lanes * self.threshold_bits),)

    def foldings(self) -> Iterator[Self]:
        bits = max(self.value.bits, self.control.bits, self.output_type.bits)
        for lanes in lane_counts(self.shape[-1], bits):
            yield replace(self, lanes=lanes)
