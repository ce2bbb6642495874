"""What a kernel must say of itself; everything else in bnn2fpga asks it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

from bnn2fpga.circuits.bit_heap import HeapCircuit
from bnn2fpga.circuits.memory import Memory
from bnn2fpga.circuits.resources import Parts, Resources, fitted, total_parts
from bnn2fpga.circuits.rom import Rom
from bnn2fpga.design.integers import Ints
from bnn2fpga.design.layers import Layer
from bnn2fpga.design.packed_frames import PackedFrames
from bnn2fpga.design.step_functions import Steps
from bnn2fpga.design.stream import Stream


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

    @cached_property
    def events(self) -> tuple[Trips, tuple[Trips, ...], tuple[Trips, ...]]:
        """The trips in which beats pass, rising, and where among them each input's and output's beats are."""
        ports = (*self.reads, *self.writes)
        busy = np.zeros(1 + max(int(trips[-1]) for trips in ports), bool)
        for trips in ports:
            busy[trips] = True
        places = np.cumsum(busy) - 1
        found = tuple(places[trips] for trips in ports)
        return np.flatnonzero(busy), found[: len(self.reads)], found[len(self.reads) :]


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

    def before_steps(self, *arrays: Ints) -> tuple[Steps, Ints] | None:
        """The step functions and what they take (N, …, channels); None for a kernel without any."""
        return None

    def packed(self, *frames: PackedFrames) -> tuple[PackedFrames, ...]:
        """`compute` by the packed engine; its own way where a kernel has one. Only where int32 holds all."""
        return self.unpacked(*frames)

    def unpacked(self, *frames: PackedFrames) -> tuple[PackedFrames, ...]:
        """`compute` of the frames' integers."""
        outputs = self.compute(*(frame.arrays for frame in frames))
        return tuple(
            PackedFrames.of(frames[0].library, stream.type, output)
            for stream, output in zip(self.outputs, outputs, strict=True)
        )

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
    def popcounts(self) -> tuple[HeapCircuit, ...]:
        """The popcounts, and sums of products, that the SystemVerilog instantiates."""
        return ()

    @property
    @abstractmethod
    def parts(self) -> Parts:
        """What the SystemVerilog is made of besides memories and what every kernel has, counted.

        The estimate is fitted to these counts, so each ought to be what LUTs or registers grow with.
        """

    @property
    def memories(self) -> tuple[Memory, ...]:
        """All memories and tables of constants."""
        return ()

    @property
    def every_part(self) -> Parts:
        """`parts`, those of the memories, and what every kernel has."""
        ports = self.inputs + self.outputs
        common = {"kernel": 1, "ports": len(ports), "sent": sum(stream.bits for stream in self.outputs)}
        return total_parts(common, self.parts, *(memory.parts for memory in self.memories))

    @property
    def resources(self) -> Resources:
        """The estimate before any synthesis."""
        cells = (memory.resources for memory in self.memories)
        return sum(cells, fitted(type(self).__name__, self.every_part))

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
