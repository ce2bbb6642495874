"""How far values lie below the largest of their row: what a softmax, or a ladder of weights, starts from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from bnn2fpga.circuits.memory import Memory, counter_bits, ram
from bnn2fpga.circuits.resources import Parts
from bnn2fpga.design.folding import check_folding, halvings, lane_counts
from bnn2fpga.design.integers import Ints, IntType
from bnn2fpga.design.kernel import Cycles, Kernel, Pattern
from bnn2fpga.design.layers import BelowMax as BelowMaxLayer
from bnn2fpga.design.layers import Layer
from bnn2fpga.design.stream import Stream


@dataclass(frozen=True)
class BelowMax(Kernel):
    """Each value less the largest of its row; a row is kept while the next one comes."""

    rows: int
    columns: int
    source_type: IntType
    pe: int = 1

    summary = "each value less the largest of its row (the start of a softmax)"
    template = "below_max"
    folding_fields = ("pe",)

    @classmethod
    def implements(cls, layer: Layer) -> Self | None:
        if not isinstance(layer, BelowMaxLayer):
            return None
        return cls(layer.source.pixels, layer.source.channels, layer.source.type)

    def __post_init__(self) -> None:
        check_folding("pe", self.pe, self.columns, "columns")

    @property
    def inputs(self) -> tuple[Stream, ...]:
        return (Stream((self.rows, self.columns), self.source_type, self.pe),)

    @property
    def output_type(self) -> IntType:
        """Of 0 and what is below it."""
        return IntType.holding(self.source_type.low - self.source_type.high, 0)

    @property
    def outputs(self) -> tuple[Stream, ...]:
        return (Stream((self.rows, self.columns), self.output_type, self.pe),)

    def compute(self, *arrays: Ints) -> tuple[Ints, ...]:
        values = arrays[0].astype(np.int64)
        return ((values - values.max(axis=-1, keepdims=True)).astype(self.output_type.dtype),)

    @property
    def folds(self) -> int:
        """Beats of a row."""
        return self.columns // self.pe

    @property
    def cycles(self) -> Cycles:
        return Cycles((self.rows + 1) * self.folds, self.folds + 1)

    @property
    def pattern(self) -> Pattern:
        trips = np.arange(self.rows * self.folds)
        return Pattern((trips,), (trips + self.folds,))

    @property
    def rounds(self) -> tuple[int, ...]:
        """The values of a beat, then how many are left after each comparison of two, to one."""
        return halvings(self.pe)

    @property
    def late(self) -> int:
        """Clocks that a kept value waits for the largest of its row."""
        return max(0, len(self.rounds) - 2)

    @property
    def stages(self) -> int:
        return max(2, len(self.rounds)) + 1

    @property
    def row_memory(self) -> Memory:
        """What keeps a row."""
        return ram(self.folds, self.inputs[0].bits)

    @property
    def memories(self) -> tuple[Memory, ...]:
        return (self.row_memory,)

    @property
    def parts(self) -> Parts:
        bits = self.source_type.bits
        return {
            "counters": counter_bits(self.folds, self.rows + 1, self.folds),
            "arrived": self.inputs[0].bits,
            "compared": self.pe * bits,
            "kept registers": sum(self.rounds) * bits + self.late * self.inputs[0].bits,
            "differences": self.outputs[0].bits,
        }

    def foldings(self) -> Iterator[Self]:
        for pe in lane_counts(self.columns, self.output_type.bits):
            yield replace(self, pe=pe)
