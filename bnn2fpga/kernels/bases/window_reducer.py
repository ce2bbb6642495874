"""What the kernels share that make one value a channel of every window."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from bnn2fpga.circuits.memory import Memory, counter_bits, ram
from bnn2fpga.circuits.resources import Parts
from bnn2fpga.design.folding import check_folding, lane_counts
from bnn2fpga.design.integers import Ints, IntType
from bnn2fpga.design.kernel import Cycles, Kernel, Pattern
from bnn2fpga.design.stream import Stream


@dataclass(frozen=True, eq=False)
class WindowReducer(Kernel):
    """(…, taps*C) windows to (…, C), `lanes` channels a beat; one value a channel is kept meanwhile."""

    source_shape: tuple[int, ...]
    source_type: IntType
    taps: int
    lanes: int = 1

    folding_fields = ("lanes",)

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
    @abstractmethod
    def kept_type(self) -> IntType:
        """The type of the value kept, and put out in the end."""

    @abstractmethod
    def reduce(self, taps: Ints) -> Ints:
        """(…, taps, C) to (…, C)."""

    @property
    def inputs(self) -> tuple[Stream, ...]:
        return (Stream(self.source_shape, self.source_type, self.lanes),)

    @property
    def outputs(self) -> tuple[Stream, ...]:
        return (Stream((*self.source_shape[:-1], self.channels), self.kept_type, self.lanes),)

    @property
    def product_stages(self) -> int:
        """Clocks from an input and its weight to their product, where that takes any."""
        return 0

    @property
    def stages(self) -> int:
        return (3 if self.roms else 2) + self.product_stages

    def compute(self, *arrays: Ints) -> tuple[Ints, ...]:
        taps = arrays[0].reshape(*arrays[0].shape[:-1], self.taps, self.channels)
        return (self.reduce(taps).astype(self.kept_type.dtype),)

    @property
    def cycles(self) -> Cycles:
        return Cycles(self.inputs[0].beats, (self.taps - 1) * self.channel_folds + 1)

    @property
    def pattern(self) -> Pattern:
        trips = np.arange(self.cycles.interval)
        return Pattern((trips,), (trips.reshape(-1, self.taps, self.channel_folds)[:, -1].ravel(),))

    @property
    def parts(self) -> Parts:
        first = self.taps == 1
        return {
            "counters": counter_bits(self.channel_folds, self.taps, self.channel_folds),
            "arrived": self.inputs[0].bits,
            "kept": 0 if first else self.outputs[0].bits,
        }

    @property
    def memories(self) -> tuple[Memory, ...]:
        return (ram(self.channel_folds, self.outputs[0].bits),) if self.channel_folds > 1 else ()

    def foldings(self) -> Iterator[Self]:
        for lanes in lane_counts(self.channels, max(self.source_type.bits, self.kept_type.bits)):
            yield replace(self, lanes=lanes)
