"""What a kernel must say of itself; everything else in bnn2fpga asks it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

from bnn2fpga.ir import Ints, Stream
from bnn2fpga.layers import Layer
from bnn2fpga.rtl.popcount import Popcount
from bnn2fpga.rtl.rom import LUT_DEPTH, Rom, in_luts


@dataclass(frozen=True)
class Cycles:
    """Clock cycles of one frame at initiation interval 1.

    `interval`: trips of the kernel's loop, so the distance between two frames.
    `fill`: cycles from a frame's first input beat to its first output beat.
    """

    interval: int
    fill: int


Trips = npt.NDArray[np.int64]
"""Loop trips of one frame, from 0, rising."""


@dataclass(frozen=True, eq=False)
class Pattern:
    """Where the beats of one frame lie in the kernel's loop of `cycles.interval` trips.

    `reads[i][k]` is the trip in which beat k of input i is read, `writes[o][k]` the one in which beat k of
    output o is written; at most one beat a port and trip. Within a trip the template reads before it
    writes, and takes the ports in their order.
    """

    reads: tuple[Trips, ...]
    writes: tuple[Trips, ...]

    @classmethod
    def lock_step(cls, kernel: Kernel) -> Self:
        """A beat through every port in every trip."""
        trips = np.arange(kernel.cycles.interval)
        return cls((trips,) * len(kernel.inputs), (trips,) * len(kernel.outputs))


@dataclass(frozen=True)
class Resources:
    """Estimated FPGA resources; `bram36` counts in halves (one 18 Kb block is 0.5)."""

    luts: int = 0
    flipflops: int = 0
    bram36: float = 0.0
    dsps: int = 0

    def __add__(self, other: Resources) -> Resources:
        return Resources(
            self.luts + other.luts,
            self.flipflops + other.flipflops,
            self.bram36 + other.bram36,
            self.dsps + other.dsps,
        )


def memory(depth: int, width: int) -> Resources:
    """A memory of `depth` words of `width` bits, in LUTs where shallow, otherwise in block RAM.

    7-series: one LUT holds 64 x 1 (UG474), one RAMB18 512 x 36 down to 16384 x 1 (UG473).
    """
    if in_luts(depth, width):
        return Resources(luts=ceil(depth / LUT_DEPTH) * width)
    shapes = ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))
    blocks = min(ceil(depth / words) * ceil(width / bits) for words, bits in shapes)
    return Resources(bram36=blocks / 2)


class Kernel(ABC):
    """A frozen dataclass whose fields are geometry, parameters and folding.

    Its templates, C++ and SystemVerilog, see exactly the kernel's public properties and fields. `summary`
    is the line that `bnn2fpga kernels` prints.
    """

    summary: ClassVar[str]
    template: ClassVar[str]
    folding_fields: ClassVar[tuple[str, ...]] = ()
    """The fields that a folding sets; none for a kernel whose lanes follow from its neighbours."""

    @property
    def folding(self) -> dict[str, int | str]:
        """The folding as field values."""
        return {name: getattr(self, name) for name in self.folding_fields}

    @classmethod
    @abstractmethod
    def implements(cls, layer: Layer) -> Self | None:
        """The kernel for `layer` at its smallest folding, or None if the layer is not its business."""

    @property
    @abstractmethod
    def inputs(self) -> tuple[Stream, ...]:
        """The input ports; lanes follow from the folding."""

    @property
    @abstractmethod
    def outputs(self) -> tuple[Stream, ...]:
        """The output ports."""

    @abstractmethod
    def compute(self, *arrays: Ints) -> tuple[Ints, ...]:
        """The meaning: one integer array (N, *shape) an input port in, one an output port out."""

    @property
    @abstractmethod
    def cycles(self) -> Cycles:
        """Exact trips of the generated loop for one frame; folding asks often, so without any array."""

    @property
    @abstractmethod
    def pattern(self) -> Pattern:
        """The trips in which the template reads and writes every beat."""

    @property
    def stages(self) -> int:
        """Clocks from a trip to its beats in the output registers of the SystemVerilog."""
        return 1

    @property
    def roms(self) -> Mapping[str, Rom]:
        """The constant tables of the SystemVerilog."""
        return {}

    @property
    def popcounts(self) -> tuple[Popcount, ...]:
        """The popcounts that the SystemVerilog instantiates."""
        return ()

    @property
    @abstractmethod
    def resources(self) -> Resources:
        """First estimate, before any synthesis."""

    @abstractmethod
    def foldings(self) -> Iterator[Self]:
        """This kernel at each of its legal foldings, itself included."""


class LockStep(Kernel):
    """A beat through every port in every trip."""

    @property
    def cycles(self) -> Cycles:
        return Cycles(self.inputs[0].beats, 1)

    @property
    def pattern(self) -> Pattern:
        return Pattern.lock_step(self)
