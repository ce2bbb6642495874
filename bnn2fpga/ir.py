"""The integer dataflow graph: integer types, streams, and kernels joined by edges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bnn2fpga.errors import BuildError, FoldingError

if TYPE_CHECKING:
    from bnn2fpga.host import Host
    from bnn2fpga.kernel import Kernel, Pattern

MEMORY = 1 << 22
"""Integers of the largest stream that are simulated at once; few enough for the processor's cache."""

WIDEST_BEAT = 4096
"""Bits; the widest ap_uint and stream that Vitis HLS takes."""

Ints = npt.NDArray[np.signedinteger[Any]]
"""Signed integer array of any width; the range is the `IntType`'s."""


def divisors(number: int) -> tuple[int, ...]:
    """Every divisor of `number`, rising."""
    return tuple(d for d in range(1, number + 1) if number % d == 0)


def halvings(count: int) -> tuple[int, ...]:
    """`count` values, then how many are left whenever two become one, to a single one."""
    return (count,) if count == 1 else (count, *halvings((count + 1) // 2))


def lane_counts(channels: int, bits: int) -> tuple[int, ...]:
    """The divisors of `channels` that make beats of `bits` a lane that are not too wide."""
    return tuple(lanes for lanes in divisors(channels) if lanes * bits <= WIDEST_BEAT)


def check_folding(what: str, value: int, whole: int, of: str) -> None:
    """A FoldingError unless `value` divides `whole`."""
    if value < 1 or whole % value:
        legal = ", ".join(map(str, divisors(whole)))
        raise FoldingError(f"{what}={value} does not divide {whole} {of}; legal: {legal}")


@dataclass(frozen=True)
class IntType:
    """The values that one lane of a stream can take.

    `bits` wide, two's complement when `signed`. `bipolar` is the two values -1 (bit 0) and
    +1 (bit 1). `narrow` leaves out the most negative value, so `IntType(2, True, narrow=True)`
    is the ternary -1, 0, +1.
    """

    bits: int
    signed: bool = False
    bipolar: bool = False
    narrow: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 32:
            way_out = (
                "; quantize to fewer bits in front of it, or take fewer trunk_bits" if self.bits > 32 else ""
            )
            raise BuildError(f"an integer type of {self.bits} bits is not supported; legal: 1 to 32{way_out}")
        if self.bipolar and (self.bits != 1 or self.signed or self.narrow):
            raise BuildError("a bipolar type has one bit and no other property")

    @classmethod
    def holding(cls, low: int, high: int) -> IntType:
        """The smallest plain type that holds every integer from `low` to `high`."""
        if low >= 0:
            return cls(max(1, int(high).bit_length()))
        return cls(1 + max(int(-low - 1).bit_length(), int(max(high, 0)).bit_length()), signed=True)

    @property
    def low(self) -> int:
        """The smallest value."""
        if self.bipolar:
            return -1
        return -(1 << (self.bits - 1)) + self.narrow if self.signed else 0

    @property
    def high(self) -> int:
        """The largest value."""
        if self.bipolar:
            return 1
        return (1 << (self.bits - self.signed)) - 1

    @property
    def step(self) -> int:
        """The distance between neighbouring values: 2 for bipolar, otherwise 1."""
        return 2 if self.bipolar else 1

    @property
    def levels(self) -> int:
        """How many values there are."""
        return (self.high - self.low) // self.step + 1

    @property
    def dtype(self) -> type[np.signedinteger[Any]]:
        """The narrowest signed numpy integer that holds every value."""
        for candidate in (np.int8, np.int16, np.int32):
            if np.iinfo(candidate).min <= self.low and self.high <= np.iinfo(candidate).max:
                return candidate
        return np.int64

    def __str__(self) -> str:
        if self.bipolar:
            return "bipolar"
        return f"{'int' if self.signed else 'uint'}{self.bits}{'n' if self.narrow else ''}"

    def check(self, values: Ints, where: str) -> Ints:
        """`values` in this type's dtype; a BuildError naming `where` if one is not of this type."""
        if values.size and (values.min() < self.low or values.max() > self.high):
            raise BuildError(
                f"{where}: value {values.min() if values.min() < self.low else values.max()} "
                f"is outside {self} ({self.low} to {self.high})"
            )
        if self.bipolar and np.any(values == 0):
            raise BuildError(f"{where}: value 0 is not bipolar; legal: -1, 1")
        return values.astype(self.dtype, copy=False)


BIPOLAR = IntType(1, bipolar=True)
TERNARY = IntType(2, signed=True, narrow=True)


@dataclass(frozen=True)
class Stream:
    """One frame of integers, sent `lanes` at a time.

    `shape` is the frame without the batch, channels last, e.g. (height, width, channels). The beats
    come in raster order with the channels fastest; lane 0 holds the first channel of a beat and lies
    in the least significant bits.
    """

    shape: tuple[int, ...]
    type: IntType
    lanes: int = 1

    def __post_init__(self) -> None:
        if not self.shape or min(self.shape) < 1:
            raise BuildError(f"a stream of shape {self.shape} holds nothing")
        check_folding("lanes", self.lanes, self.channels, "channels")

    @property
    def channels(self) -> int:
        """The extent of the last, fastest axis."""
        return self.shape[-1]

    @property
    def size(self) -> int:
        """Integers in one frame."""
        return prod(self.shape)

    @property
    def pixels(self) -> int:
        """Positions in one frame, each of `channels` integers."""
        return self.size // self.channels

    @property
    def beats(self) -> int:
        """Transfers in one frame."""
        return self.size // self.lanes

    @property
    def bits(self) -> int:
        """Width of one beat."""
        return self.lanes * self.type.bits

    @property
    def beat_bytes(self) -> int:
        """Bytes of one beat on a byte-aligned bus (AXI4-Stream TDATA)."""
        return (self.bits + 7) // 8

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame in memory, beat after beat without gaps."""
        return self.beats * self.beat_bytes

    def port_cycles(self, port_bits: int) -> int:
        """Clocks that a memory port of `port_bits`, a word a clock, takes for one frame."""
        return -(-8 * self.frame_bytes // port_bits)

    def pack(self, frames: Ints) -> npt.NDArray[np.uint8]:
        """Frames (N, *shape) as beats (N, beats, beat_bytes), little endian, unused bits 0."""
        codes = (frames + 1) // 2 if self.type.bipolar else frames
        lanes = codes.reshape(len(frames), self.beats, self.lanes, 1)
        bits = (lanes >> np.arange(self.type.bits)) & 1
        return np.packbits(
            bits.reshape(len(frames), self.beats, self.bits).astype(np.uint8), axis=-1, bitorder="little"
        )

    def unpack(self, beats: npt.NDArray[np.uint8]) -> Ints:
        """The inverse of `pack`."""
        bits = np.unpackbits(beats, axis=-1, bitorder="little", count=self.bits)
        lanes = bits.reshape(len(beats), self.size, self.type.bits).astype(np.int64)
        codes = (lanes << np.arange(self.type.bits)).sum(-1)
        if self.type.bipolar:
            codes = 2 * codes - 1
        elif self.type.signed:
            codes = np.where(codes > self.type.high, codes - (1 << self.type.bits), codes)
        return codes.astype(self.type.dtype).reshape(len(beats), *self.shape)


@dataclass(frozen=True)
class Port:
    """One end of an edge: port number `index` of kernel `node`; `node` None is the outside."""

    node: str | None
    index: int = 0

    def __str__(self) -> str:
        return f"{self.node or 'outside'}[{self.index}]"


@dataclass(frozen=True)
class Edge:
    """A stream from an output port to an input port.

    `exponent` F says that an integer n on the edge stands for n * 2**-F, where a kernel cares;
    every other scale is absorbed into thresholds. `depth` is the FIFO's size in beats.
    """

    source: Port
    target: Port
    stream: Stream
    exponent: int = 0
    depth: int = 2


@dataclass(frozen=True)
class Node:
    """A kernel under the name that reports, files and error messages use."""

    name: str
    kernel: Kernel

    @cached_property
    def pattern(self) -> Pattern:
        """The kernel's; it is asked for whenever FIFOs change, which the kernel does not see."""
        return self.kernel.pattern


@dataclass(frozen=True)
class Target:
    """What a design is folded for: board name, FPGA part, clock of the fabric."""

    board: str
    part: str
    clock_mhz: float


@dataclass(frozen=True)
class Design:
    """Kernels in topological order, joined by streams; the meaning of every backend's output.

    Every port has exactly one edge. An edge may view a frame under another shape (flatten), since the
    order of beats stays; type, size and lanes must agree at both ends.
    """

    name: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    host: Host
    target: Target | None = None

    def __post_init__(self) -> None:
        names = [node.name for node in self.nodes]
        if len(set(names)) != len(names):
            raise BuildError(f"{self.name}: two kernels share a name")
        order: dict[str | None, int] = {name: place for place, name in enumerate(names)}
        ends = [edge.source for edge in self.edges] + [edge.target for edge in self.edges]
        sources, targets = ends[: len(self.edges)], ends[len(self.edges) :]
        for end in (sources, targets):
            doubled = [port for port, count in Counter(end).items() if count > 1]
            if doubled:
                raise BuildError(f"{self.name}: port {doubled[0]} has two edges; insert a stream fork")
        for edge in self.edges:
            if order.get(edge.source.node, -1) >= order.get(edge.target.node, len(order)):
                raise BuildError(f"{self.name}: edge {edge.source} to {edge.target} runs backwards")
        self._check_ends([(node.name, node.kernel.outputs) for node in self.nodes], sources)
        self._check_ends([(node.name, node.kernel.inputs) for node in self.nodes], targets)

    def _check_ends(self, kernels: list[tuple[str, tuple[Stream, ...]]], ends: list[Port]) -> None:
        streams = {Port(name, index): s for name, ports in kernels for index, s in enumerate(ports)}
        edges = dict(zip(ends, self.edges, strict=True))
        for port, stream in streams.items():
            self._check_end(port, stream, edges.get(port))
        unknown = next((port for port in ends if port.node is not None and port not in streams), None)
        if unknown:
            raise BuildError(f"{self.name}: an edge ends at port {unknown}, which does not exist")

    def _check_end(self, port: Port, stream: Stream, edge: Edge | None) -> None:
        if edge is None:
            raise BuildError(f"{self.name}: port {port} is not connected")
        for what in ("type", "size", "lanes"):
            have, want = getattr(edge.stream, what), getattr(stream, what)
            if have != want:
                raise BuildError(
                    f"{self.name}: edge {edge.source} to {edge.target}: {what} {have}, not {want}"
                )

    def __getitem__(self, name: str) -> Kernel:
        return next(node.kernel for node in self.nodes if node.name == name)

    @property
    def inputs(self) -> tuple[Edge, ...]:
        """The edges that come from outside, in the order of their port numbers."""
        return tuple(sorted((e for e in self.edges if e.source.node is None), key=lambda e: e.source.index))

    @property
    def outputs(self) -> tuple[Edge, ...]:
        """The edges that leave the design, in the order of their port numbers."""
        return tuple(sorted((e for e in self.edges if e.target.node is None), key=lambda e: e.target.index))

    def incoming(self, name: str) -> tuple[Edge, ...]:
        """The edges into kernel `name`, by port number."""
        return tuple(sorted((e for e in self.edges if e.target.node == name), key=lambda e: e.target.index))

    def outgoing(self, name: str) -> tuple[Edge, ...]:
        """The edges out of kernel `name`, by port number."""
        return tuple(sorted((e for e in self.edges if e.source.node == name), key=lambda e: e.source.index))

    def simulate(self, frames: Any) -> Ints:
        """The design's output for integer `frames` (N, *input shape); ints of the output's type.

        Raises BuildError for a wrong shape or values outside the input's type. For designs with one
        input and one output; `trace` shows every edge.
        """
        values = self._checked(np.asarray(frames))
        (edge,) = self.outputs
        batch = max(1, MEMORY // max(e.stream.size for e in self.edges))
        chunks = [self._run(values[at : at + batch])[edge] for at in range(0, len(values), batch)]
        if not chunks:
            return np.zeros((0, *edge.stream.shape), edge.stream.type.dtype)
        return np.concatenate(chunks)

    def trace(self, frames: Any) -> Iterator[tuple[Edge, Ints]]:
        """Every edge with the integers that pass it, from the input to the output."""
        yield from self._run(self._checked(np.asarray(frames))).items()

    def run(self, x: npt.ArrayLike) -> npt.NDArray[Any]:
        """What the original graph returns for `x` (its own input shape and type, any batch size).

        The host quantizes the input and scales the output, as the driver on the board does.
        """
        return self.host.decode(self.simulate(self.host.encode(np.asarray(x))))

    def write(self, folder: str | Path) -> Path:
        """Writes the Vitis HLS project into a new or empty folder; all of it or nothing.

        Raises BuildError if the folder is in use or the design is not folded for a board.
        """
        from bnn2fpga.codegen import hls_project

        if self.target is None:
            raise BuildError(f"{self.name}: is not folded for a board yet; compile() or fold() does that")
        return hls_project(self, self.target.part, self.target.clock_mhz).write_new(Path(folder))

    def _checked(self, frames: npt.NDArray[Any]) -> Ints:
        (edge,) = self.inputs
        if frames.ndim < 1 or frames[:1].size != (len(frames) > 0) * edge.stream.size:
            raise BuildError(
                f"{self.name}: input of shape {frames.shape} does not fit (N, "
                f"{', '.join(map(str, edge.stream.shape))})"
            )
        if not np.issubdtype(frames.dtype, np.integer):
            raise BuildError(f"{self.name}: the integer core takes integers, not {frames.dtype}; use run()")
        values = frames.reshape(len(frames), *edge.stream.shape)
        return edge.stream.type.check(values, f"{self.name}: input")

    def _run(self, frames: Ints) -> dict[Edge, Ints]:
        passing = {self.inputs[0]: frames}
        for node in self.nodes:
            arrays = [
                passing[edge].reshape(len(frames), *stream.shape)
                for edge, stream in zip(self.incoming(node.name), node.kernel.inputs, strict=True)
            ]
            results = zip(self.outgoing(node.name), node.kernel.compute(*arrays), strict=True)
            passing |= {edge: array.reshape(len(frames), *edge.stream.shape) for edge, array in results}
        return passing
