"""Turns every number's sign; a kernel that only the tests add."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

from bnn2fpga.circuits.resources import Parts
from bnn2fpga.design.folding import check_folding, lane_counts
from bnn2fpga.design.integers import Ints, IntType
from bnn2fpga.design.kernel import LockStep
from bnn2fpga.design.layers import Layer
from bnn2fpga.design.stream import Stream


@dataclass(frozen=True)
class Negated:
    """-x, elementwise."""

    source: Stream


@dataclass(frozen=True)
class Negation(LockStep):
    """-x for every x of a (…, C) stream."""

    shape: tuple[int, ...]
    type: IntType
    lanes: int = 1

    summary = "negates every number"
    template = "negation"
    folding_fields = ("lanes",)

    @classmethod
    def implements(cls, layer: Layer | Negated) -> Self | None:
        return cls(layer.source.shape, layer.source.type) if isinstance(layer, Negated) else None

    def __post_init__(self) -> None:
        check_folding("lanes", self.lanes, self.shape[-1], "channels")

    @property
    def output_type(self) -> IntType:
        """Of the negated numbers."""
        return IntType.holding(-self.type.high, -self.type.low)

    @property
    def inputs(self) -> tuple[Stream, ...]:
        return (Stream(self.shape, self.type, self.lanes),)

    @property
    def outputs(self) -> tuple[Stream, ...]:
        return (Stream(self.shape, self.output_type, self.lanes),)

    def compute(self, *arrays: Ints) -> tuple[Ints, ...]:
        return ((-arrays[0].astype(self.output_type.dtype)).astype(self.output_type.dtype),)

    @property
    def parts(self) -> Parts:
        return {"negated": self.lanes * self.output_type.bits}

    def foldings(self) -> Iterator[Self]:
        for lanes in lane_counts(self.shape[-1], self.output_type.bits):
            yield replace(self, lanes=lanes)
