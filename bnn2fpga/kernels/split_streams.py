"""One feature map taken apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from bnn2fpga.circuits.memory import counter_bits
from bnn2fpga.circuits.resources import Parts
from bnn2fpga.design.integers import Ints
from bnn2fpga.design.kernel import Pattern
from bnn2fpga.design.layers import Layer, Split
from bnn2fpga.design.stream import Stream
from bnn2fpga.kernels.bases.two_streams import TwoParts


@dataclass(frozen=True)
class SplitStreams(TwoParts):
    """(…, A+B) to (…, A) and (…, B)."""

    summary = "splits the channels of a stream into two streams"
    template = "split_streams"

    @classmethod
    def implements(cls, layer: Layer) -> Self | None:
        if not isinstance(layer, Split) or not 0 < layer.at < layer.source.channels:
            return None
        return cls(layer.source.shape[:-1], layer.at, layer.source.channels - layer.at, layer.source.type)

    @property
    def inputs(self) -> tuple[Stream, ...]:
        return (self.whole,)

    @property
    def outputs(self) -> tuple[Stream, ...]:
        return self.sides

    def compute(self, *arrays: Ints) -> tuple[Ints, ...]:
        left, right = np.split(arrays[0], [self.left], axis=-1)
        return left, right

    @property
    def pattern(self) -> Pattern:
        return Pattern((np.arange(self.cycles.interval),), self.part_trips)

    @property
    def parts(self) -> Parts:
        return {"counters": counter_bits(self.folds)}
