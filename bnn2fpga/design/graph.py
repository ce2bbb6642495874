"""The integer dataflow graph: kernels joined by streams."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from bnn2fpga.design.host import Host
from bnn2fpga.design.integers import Ints
from bnn2fpga.design.kernel import Kernel, Pattern
from bnn2fpga.design.packed_run import PackedRun, Stop
from bnn2fpga.design.stream import Stream
from bnn2fpga.errors import BuildError
from bnn2fpga.packed.library import Library, load_library

Engine = Literal["packed", "numpy"]
"""What simulates: words of bits on all cores, or the specification."""

MEMORY = 1 << 22
"""Integers of the largest stream that are simulated at once; few enough for the processor's cache."""


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

    @property
    def wire(self) -> str:
        """The stream's name in a generated top level; no kernel's name ends in an underscore."""
        return f"{self.source.node or 'in'}_{self.source.index}_"


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

    def simulate(self, frames: Any, engine: Engine = "packed") -> Ints:
        """The design's output for integer `frames` (N, *input shape); ints of the output's type.

        The `packed` engine computes on words of bits, on all cores; the `numpy` engine is the readable
        specification, and does it where there is no g++. Raises BuildError for a wrong shape or values
        outside the input's type. For designs with one input and one output; `trace` shows every edge.
        """
        values = self.checked(np.asarray(frames))
        (edge,) = self.outputs
        library = load_library() if engine == "packed" else None
        if library is None:
            batch = max(1, MEMORY // max(e.stream.size for e in self.edges))
            chunks = [self._run(values[at : at + batch])[edge] for at in range(0, len(values), batch)]
        else:
            chunks = self.packed_run(library).outputs(values)
        if not chunks:
            return np.zeros((0, *edge.stream.shape), edge.stream.type.dtype)
        return np.concatenate(chunks)

    def packed_run(self, library: Library) -> PackedRun:
        """The kernels as the packed engine runs them."""
        places = {edge: place for place, edge in enumerate(self.edges)}
        stops = tuple(
            Stop(
                node.kernel,
                tuple(places[edge] for edge in self.incoming(node.name)),
                tuple(places[edge] for edge in self.outgoing(node.name)),
            )
            for node in self.nodes
        )
        streams = tuple(edge.stream for edge in self.edges)
        return PackedRun(library, stops, streams, places[self.inputs[0]], places[self.outputs[0]])

    def arriving(self, node: Node, passing: Mapping[Edge, Ints]) -> list[Ints]:
        """What `node` takes, an array (N, *shape) a port, of the integers that pass the edges."""
        return [
            passing[edge].reshape(-1, *stream.shape)
            for edge, stream in zip(self.incoming(node.name), node.kernel.inputs, strict=True)
        ]

    def trace(self, frames: Any) -> Iterator[tuple[Edge, Ints]]:
        """Every edge with the integers that pass it, from the input to the output."""
        yield from self._run(self.checked(np.asarray(frames))).items()

    def run(self, x: npt.ArrayLike) -> npt.NDArray[Any]:
        """What the original graph returns for `x` (its own input shape and type, any batch size).

        The host quantizes the input and scales the output, as the driver on the board does.
        """
        return self.host.decode(self.simulate(self.host.encode(np.asarray(x))))

    def checked(self, frames: npt.NDArray[Any]) -> Ints:
        """Frames as (N, *input shape), each value of the input's type; a BuildError if they are not."""
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
            computed = node.kernel.compute(*self.arriving(node, passing))
            results = zip(self.outgoing(node.name), computed, strict=True)
            passing |= {edge: array.reshape(len(frames), *edge.stream.shape) for edge, array in results}
        return passing
