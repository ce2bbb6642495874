"""Numbers as rows of bits, as many of them set as the number is large: the input of a binary network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np

from bnn2fpga.circuits.memory import Memory, counter_bits, rom
from bnn2fpga.circuits.resources import Parts
from bnn2fpga.circuits.rom import Rom
from bnn2fpga.design.folding import WIDEST_BEAT, check_folding, divisors, lane_counts
from bnn2fpga.design.integers import Ints, IntType
from bnn2fpga.design.kernel import Cycles, Kernel, Pattern
from bnn2fpga.design.layers import Layer, Spread
from bnn2fpga.design.packed_frames import PackedFrames, ending_of
from bnn2fpga.design.step_functions import Steps
from bnn2fpga.design.stream import Stream
from bnn2fpga.errors import FoldingError
from bnn2fpga.kernels.bases.rom_fields import field_bits, lanes_rom
from bnn2fpga.kernels.bases.step_table import StepTable
from bnn2fpga.packed.library import Ending


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
    """(…, C) to (…, M), `lanes` outputs a beat: each a step function of one of the C numbers.

    A pixel's numbers are kept while its outputs are sent, and read as fast as they are needed.
    """

    source_shape: tuple[int, ...]
    source_type: IntType
    channels: Ints
    steps: Steps
    lanes: int = 1

    summary = "thermometer encoder: several step functions of every number"
    template = "thermometer_encoder"
    folding_fields = ("lanes",)

    @classmethod
    def implements(cls, layer: Layer) -> Self | None:
        if not isinstance(layer, Spread) or np.any(layer.channels > np.arange(len(layer.channels))):
            return None
        return cls(layer.source.shape, layer.source.type, layer.channels, layer.steps)

    def __post_init__(self) -> None:
        if len(self.channels) != self.steps.channels:
            raise FoldingError(f"{self.steps.channels} step functions for {len(self.channels)} channels")
        check_folding("lanes", self.lanes, len(self.channels), "output channels")

    @property
    def source_lanes(self) -> int:
        """Numbers of an input beat: as many as the output beats need new ones."""
        numbers = self.source_shape[-1]
        needed = np.maximum.accumulate(self.sources.max(axis=1)) + 1
        beats = np.arange(1, self.folds + 1)
        return next(lanes for lanes in divisors(numbers) if np.all(needed <= beats * lanes))

    @property
    def reads(self) -> int:
        """Input beats of one pixel."""
        return self.source_shape[-1] // self.source_lanes

    @property
    def folds(self) -> int:
        """Trips of one pixel; each sends a beat."""
        return len(self.channels) // self.lanes

    @property
    def sources(self) -> Ints:
        """(folds, lanes): the place in the pixel of each output's number."""
        return self.channels.reshape(self.folds, self.lanes)

    @property
    def inputs(self) -> tuple[Stream, ...]:
        return (Stream(self.source_shape, self.source_type, self.source_lanes),)

    @property
    def outputs(self) -> tuple[Stream, ...]:
        return (Stream((*self.source_shape[:-1], len(self.channels)), self.steps.output, self.lanes),)

    @property
    def stages(self) -> int:
        return 3

    @property
    def step_table(self) -> StepTable:
        """What the memory holds, besides places."""
        return StepTable(self.steps, self.source_type)

    @property
    def place_bits(self) -> int:
        """Of the place of an output's number in its pixel."""
        return max(1, int(self.channels.max()).bit_length())

    @property
    def lane_bits(self) -> int:
        """One output's part of a word: its steps, then its place."""
        return self.step_table.width + self.place_bits

    @property
    def roms(self) -> Mapping[str, Rom]:
        places = field_bits(self.channels, self.place_bits)
        return {"steps": lanes_rom(self.lanes, self.step_table.bits, places)}

    def compute(self, *arrays: Ints) -> tuple[Ints, ...]:
        return (self.steps(arrays[0][..., self.channels]),)

    def before_steps(self, *arrays: Ints) -> tuple[Steps, Ints] | None:
        return self.steps, arrays[0][..., self.channels]

    @cached_property
    def packed_ending(self) -> Ending:
        """For the packed engine."""
        return ending_of(self.steps)

    def packed(self, *frames: PackedFrames) -> tuple[PackedFrames, ...]:
        (x,) = frames
        places = self.channels.astype(np.int32)
        return (x.following(self.outputs[0], x.library.steps(x.integers, places, self.packed_ending)),)

    @property
    def cycles(self) -> Cycles:
        return Cycles(self.outputs[0].beats, 1)

    @property
    def pattern(self) -> Pattern:
        trips = np.arange(self.cycles.interval)
        return Pattern((trips.reshape(-1, self.folds)[:, : self.reads].ravel(),), (trips,))

    @property
    def parts(self) -> Parts:
        fixed = "constant " if self.folds == 1 else ""
        numbers = self.source_shape[-1]
        return {
            "counters": counter_bits(self.folds),
            "kept": numbers * self.source_type.bits,
            **self.step_table.parts(self.lanes, self.folds),
            f"{fixed}places": self.lanes * self.source_type.bits * (numbers - 1),
        }

    @property
    def memories(self) -> tuple[Memory, ...]:
        return (rom(self.folds, self.lanes * self.lane_bits),)

    def foldings(self) -> Iterator[Self]:
        for lanes in lane_counts(len(self.channels), self.steps.output.bits):
            folded = replace(self, lanes=lanes)
            if folded.inputs[0].bits <= WIDEST_BEAT:
                yield folded
