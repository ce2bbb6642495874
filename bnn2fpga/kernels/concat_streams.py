"""Two feature maps side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from bnn2fpga.circuits.memory import counter_bits
from bnn2fpga.circuits.resources import Parts
from bnn2fpga.design.integers import Ints
from bnn2fpga.design.kernel import Pattern
from bnn2fpga.design.layers import Concat, Layer
from bnn2fpga.design.stream import Stream
from bnn2fpga.kernels.bases.two_streams import TwoParts


@dataclass(frozen=True)
class ConcatStreams(TwoParts):
    """(…, A) and (…, B) to (…, A+B)."""

    summary = "concatenates the channels of two streams"
    template = "concat_streams"

    @classmethod
    def implements(cls, layer: Layer) -> Self | None:
        if not isinstance(layer, Concat) or layer.source.type != layer.other.type:
            return None
        return cls(layer.source.shape[:-1], layer.source.channels, layer.other.channels, layer.source.type)

    @property
    def inputs(self) -> tuple[Stream, ...]:
        return self.sides

    @property
    def outputs(self) -> tuple[Stream, ...]:
        return (self.whole,)

    def compute(self, *arrays: Ints) -> tuple[Ints, ...]:
        return (np.concatenate(arrays, axis=-1),)

    @property
    def pattern(self) -> Pattern:
        return Pattern(self.part_trips, (np.arange(self.cycles.interval),))

    @property
    def stages(self) -> int:
        return 2

    @property
    def parts(self) -> Parts:
        return {"counters": counter_bits(self.folds), "arrived": 2 * self.inputs[0].bits}
