"""Two feature maps side by side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import gcd
from typing import Self

import numpy as np

from bnn2fpga.ir import Ints, IntType, Stream, check_folding, lane_counts
from bnn2fpga.kernel import Cycles, Kernel, Pattern, Resources
from bnn2fpga.layers import Concat, Layer


@dataclass(frozen=True)
class ConcatStreams(Kernel):
    """(…, A) and (…, B) of one type to (…, A+B): at each pixel the left channels, then the right ones."""

    places: tuple[int, ...]
    left: int
    right: int
    type: IntType
    lanes: int = 1

    summary = "concatenates the channels of two streams"
    template = "concat_streams"
    folding_fields = ("lanes",)

    @classmethod
    def implements(cls, layer: Layer) -> Self | None:
        if not isinstance(layer, Concat) or layer.source.type != layer.other.type:
            return None
        return cls(layer.source.shape[:-1], layer.source.channels, layer.other.channels, layer.source.type)

    def __post_init__(self) -> None:
        check_folding("lanes", self.lanes, gcd(self.left, self.right), "channels of both inputs")

    @property
    def inputs(self) -> tuple[Stream, ...]:
        return tuple(
            Stream((*self.places, count), self.type, self.lanes) for count in (self.left, self.right)
        )

    @property
    def outputs(self) -> tuple[Stream, ...]:
        return (Stream((*self.places, self.left + self.right), self.type, self.lanes),)

    def compute(self, *arrays: Ints) -> tuple[Ints, ...]:
        return (np.concatenate(arrays, axis=-1),)

    @property
    def folds(self) -> int:
        """Beats of one pixel."""
        return (self.left + self.right) // self.lanes

    @property
    def left_folds(self) -> int:
        """Those from the left."""
        return self.left // self.lanes

    @property
    def cycles(self) -> Cycles:
        return Cycles(self.outputs[0].beats, 1)

    @property
    def pattern(self) -> Pattern:
        trips = np.arange(self.cycles.interval)
        pixels = trips.reshape(-1, self.outputs[0].channels // self.lanes)
        middle = self.left // self.lanes
        return Pattern((pixels[:, :middle].ravel(), pixels[:, middle:].ravel()), (trips,))

    @property
    def resources(self) -> Resources:
        return Resources(luts=self.inputs[0].bits + 30, flipflops=self.inputs[0].bits + 20)

    def foldings(self) -> Iterator[Self]:
        for lanes in lane_counts(gcd(self.left, self.right), self.type.bits):
            yield replace(self, lanes=lanes)
