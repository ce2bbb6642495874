"""Top-1 on integers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from bnn2fpga.circuits.memory import counter_bits
from bnn2fpga.circuits.resources import Parts
from bnn2fpga.design.folding import check_folding, halvings, lane_counts
from bnn2fpga.design.integers import Ints, IntType
from bnn2fpga.design.kernel import Cycles, Kernel, Pattern
from bnn2fpga.design.layers import Layer, Top1
from bnn2fpga.design.stream import Stream


@dataclass(frozen=True)
class LabelSelect(Kernel):
    """C scores to the place of the largest one, the first of equals; `pe` scores a beat."""

    classes: int
    source_type: IntType
    pe: int = 1

    summary = "top-1: the place of the largest score, the first of equals"
    template = "label_select"
    folding_fields = ("pe",)

    @classmethod
    def implements(cls, layer: Layer) -> Self | None:
        return cls(layer.source.size, layer.source.type) if isinstance(layer, Top1) else None

    def __post_init__(self) -> None:
        check_folding("pe", self.pe, self.classes, "classes")

    @property
    def inputs(self) -> tuple[Stream, ...]:
        return (Stream((self.classes,), self.source_type, self.pe),)

    @property
    def outputs(self) -> tuple[Stream, ...]:
        return (Stream((1,), IntType.holding(0, self.classes - 1)),)

    @property
    def rounds(self) -> tuple[int, ...]:
        """The scores of a beat, then how many are left after each comparison of two, to one."""
        return halvings(self.pe)

    @property
    def stages(self) -> int:
        return len(self.rounds) + 1

    def compute(self, *arrays: Ints) -> tuple[Ints, ...]:
        return (arrays[0].argmax(axis=-1)[:, None].astype(self.outputs[0].type.dtype),)

    @property
    def cycles(self) -> Cycles:
        return Cycles(self.inputs[0].beats, self.inputs[0].beats)

    @property
    def pattern(self) -> Pattern:
        trips = np.arange(self.cycles.interval)
        return Pattern((trips,), (trips[-1:],))

    @property
    def parts(self) -> Parts:
        return {
            "counters": counter_bits(self.cycles.interval),
            "compared": self.pe * self.source_type.bits,
            "labels": self.outputs[0].bits,
            "kept registers": sum(
                count * (self.source_type.bits + place) for place, count in enumerate(self.rounds)
            ),
        }

    def foldings(self) -> Iterator[Self]:
        for pe in lane_counts(self.classes, self.source_type.bits):
            yield replace(self, pe=pe)
