"""What the kernels share that make one number of one number, each channel in its own way."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

from bnn2fpga.design.folding import check_folding, lane_counts
from bnn2fpga.design.integers import IntType
from bnn2fpga.design.kernel import LockStep
from bnn2fpga.design.stream import Stream


@dataclass(frozen=True, eq=False)
class Elementwise(LockStep):
    """(…, C) to (…, C), `lanes` channels a beat, a beat in every trip."""

    source_shape: tuple[int, ...]
    source_type: IntType
    lanes: int

    folding_fields = ("lanes",)

    def __post_init__(self) -> None:
        check_folding("lanes", self.lanes, self.channels, "channels")

    @property
    @abstractmethod
    def output_type(self) -> IntType:
        """The type of the results."""

    @property
    def channels(self) -> int:
        """C, of the input and of the output."""
        return self.source_shape[-1]

    @property
    def channel_folds(self) -> int:
        """Beats of one pixel."""
        return self.channels // self.lanes

    @property
    def inputs(self) -> tuple[Stream, ...]:
        return (Stream(self.source_shape, self.source_type, self.lanes),)

    @property
    def outputs(self) -> tuple[Stream, ...]:
        return (Stream(self.source_shape, self.output_type, self.lanes),)

    def foldings(self) -> Iterator[Self]:
        for lanes in lane_counts(self.channels, max(self.source_type.bits, self.output_type.bits)):
            yield replace(self, lanes=lanes)
