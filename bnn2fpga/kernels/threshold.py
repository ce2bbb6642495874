"""An activation on its own: a step function per channel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np

from bnn2fpga.circuits.memory import Memory, counter_bits, rom
from bnn2fpga.circuits.resources import Parts
from bnn2fpga.circuits.rom import Rom
from bnn2fpga.design.folding import check_folding, lane_counts
from bnn2fpga.design.integers import Ints, IntType
from bnn2fpga.design.kernel import LockStep
from bnn2fpga.design.layers import Layer, Map
from bnn2fpga.design.packed_frames import PackedFrames, ending_of
from bnn2fpga.design.step_functions import Steps
from bnn2fpga.design.stream import Stream
from bnn2fpga.errors import FoldingError
from bnn2fpga.kernels.bases.rom_fields import lanes_rom
from bnn2fpga.kernels.bases.step_table import StepTable
from bnn2fpga.packed.library import Ending


@dataclass(frozen=True, eq=False)
class Threshold(LockStep):
    """(…, C) integers to (…, C) quantized activations, `pe` channels a beat."""

    source_shape: tuple[int, ...]
    source_type: IntType
    steps: Steps
    pe: int = 1

    summary = "multi-threshold activation, rising, falling or both, per channel"
    template = "threshold"
    folding_fields = ("pe",)

    @classmethod
    def implements(cls, layer: Layer) -> Self | None:
        if not isinstance(layer, Map):
            return None
        return cls(layer.source.shape, layer.source.type, layer.steps)

    def __post_init__(self) -> None:
        if self.steps.channels != self.source_shape[-1]:
            raise FoldingError(f"{self.steps.channels} step functions for {self.source_shape[-1]} channels")
        check_folding("pe", self.pe, self.steps.channels, "channels")

    @property
    def inputs(self) -> tuple[Stream, ...]:
        return (Stream(self.source_shape, self.source_type, self.pe),)

    @property
    def outputs(self) -> tuple[Stream, ...]:
        return (Stream(self.source_shape, self.steps.output, self.pe),)

    @property
    def row_folds(self) -> int:
        """Beats of one pixel."""
        return self.steps.channels // self.pe

    @property
    def stages(self) -> int:
        return 3

    @property
    def step_table(self) -> StepTable:
        """What the memory holds."""
        return StepTable(self.steps, self.source_type)

    @property
    def roms(self) -> Mapping[str, Rom]:
        return {"steps": lanes_rom(self.pe, self.step_table.bits)}

    def compute(self, *arrays: Ints) -> tuple[Ints, ...]:
        return (self.steps(arrays[0]),)

    def before_steps(self, *arrays: Ints) -> tuple[Steps, Ints] | None:
        return self.steps, arrays[0]

    @cached_property
    def packed_ending(self) -> Ending:
        """For the packed engine."""
        return ending_of(self.steps)

    def packed(self, *frames: PackedFrames) -> tuple[PackedFrames, ...]:
        (x,) = frames
        places = np.arange(x.channels, dtype=np.int32)
        return (x.following(self.outputs[0], x.library.steps(x.integers, places, self.packed_ending)),)

    @property
    def parts(self) -> Parts:
        return {
            "counters": counter_bits(self.row_folds),
            "arrived": self.inputs[0].bits,
            **self.step_table.parts(self.pe, self.row_folds),
        }

    @property
    def memories(self) -> tuple[Memory, ...]:
        return (rom(self.row_folds, self.pe * self.step_table.width),)

    def foldings(self) -> Iterator[Self]:
        for pe in lane_counts(self.steps.channels, max(self.source_type.bits, self.steps.output.bits)):
            yield replace(self, pe=pe)
