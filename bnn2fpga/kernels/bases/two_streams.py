"""What the kernels share that put the channels of two streams together, or take them apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import gcd
from typing import Self

import numpy as np

from bnn2fpga.design.folding import check_folding, lane_counts
from bnn2fpga.design.integers import IntType
from bnn2fpga.design.kernel import Cycles, Kernel, Trips
from bnn2fpga.design.stream import Stream


@dataclass(frozen=True)
class TwoParts(Kernel):
    """(…, A) and (…, B) of one type, and (…, A+B): at each pixel the left channels, then the right ones."""

    places: tuple[int, ...]
    left: int
    right: int
    type: IntType
    lanes: int = 1

    folding_fields = ("lanes",)

    def __post_init__(self) -> None:
        check_folding("lanes", self.lanes, gcd(self.left, self.right), "channels of both parts")

    @property
    def sides(self) -> tuple[Stream, ...]:
        """Left and right."""
        return tuple(
            Stream((*self.places, count), self.type, self.lanes) for count in (self.left, self.right)
        )

    @property
    def whole(self) -> Stream:
        """All channels."""
        return Stream((*self.places, self.left + self.right), self.type, self.lanes)

    @property
    def folds(self) -> int:
        """Beats of one pixel."""
        return self.whole.channels // self.lanes

    @property
    def left_folds(self) -> int:
        """Those of the left part."""
        return self.left // self.lanes

    @property
    def cycles(self) -> Cycles:
        return Cycles(self.whole.beats, 1)

    @property
    def part_trips(self) -> tuple[Trips, Trips]:
        """The trips of the left part's beats, and of the right part's."""
        pixels = np.arange(self.cycles.interval).reshape(-1, self.folds)
        return pixels[:, : self.left_folds].ravel(), pixels[:, self.left_folds :].ravel()

    def foldings(self) -> Iterator[Self]:
        for lanes in lane_counts(gcd(self.left, self.right), self.type.bits):
            yield replace(self, lanes=lanes)
