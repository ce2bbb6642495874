"""The channels of a feature map to two readers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import gcd
from typing import Self

import numpy as np

from bnn2fpga.ir import Ints, IntType, Stream, check_folding, lane_counts
from bnn2fpga.kernel import Cycles, Kernel, Pattern, Resources
from bnn2fpga.layers import Layer, Split


@dataclass(frozen=True)
class SplitStreams(Kernel):
    """(…, A+B) to (…, A) and (…, B): at each pixel the first A channels go left, the others right."""

    places: tuple[int, ...]
    left: int
    right: int
    type: IntType
    lanes: int = 1

    summary = "splits the channels of a stream into two streams"
    template = "split_streams"
    folding_fields = ("lanes",)

    @classmethod
    def implements(cls, layer: Layer) -> Self | None:
        if not isinstance(layer, Split) or not 0 < layer.at < layer.source.channels:
            return None
        return cls(layer.source.shape[:-1], layer.at, layer.source.channels - layer.at, layer.source.type)

    def __post_init__(self) -> None:
        check_folding("lanes", self.lanes, gcd(self.left, self.right), "channels of both outputs")

    @property
    def inputs(self) -> tuple[Stream, ...]:
        return (Stream((*self.places, self.left + self.right), self.type, self.lanes),)

    @property
    def outputs(self) -> tuple[Stream, ...]:
        return tuple(
            Stream((*self.places, count), self.type, self.lanes) for count in (self.left, self.right)
        )

    def compute(self, *arrays: Ints) -> tuple[Ints, ...]:
        left, right = np.split(arrays[0], [self.left], axis=-1)
        return left, right

    @property
    def folds(self) -> int:
        """Beats of one pixel."""
        return (self.left + self.right) // self.lanes

    @property
    def left_folds(self) -> int:
        """Those that go left."""
        return self.left // self.lanes

    @property
    def cycles(self) -> Cycles:
        return Cycles(self.inputs[0].beats, 1)

    @property
    def pattern(self) -> Pattern:
        trips = np.arange(self.cycles.interval)
        pixels = trips.reshape(-1, self.inputs[0].channels // self.lanes)
        middle = self.left // self.lanes
        return Pattern((trips,), (pixels[:, :middle].ravel(), pixels[:, middle:].ravel()))

    @property
    def resources(self) -> Resources:
        return Resources(luts=30, flipflops=2 * self.inputs[0].bits + 20)

    def foldings(self) -> Iterator[Self]:
        for lanes in lane_counts(gcd(self.left, self.right), self.type.bits):
            yield replace(self, lanes=lanes)
