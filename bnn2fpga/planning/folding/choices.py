"""What a folding can choose from: every kernel's foldings, and what lies between two of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from bnn2fpga.circuits.memory import fifo
from bnn2fpga.circuits.resources import Resources
from bnn2fpga.design.graph import Design, Edge, Node
from bnn2fpga.design.kernel import Kernel
from bnn2fpga.design.stream import Stream
from bnn2fpga.planning.folding.width_converters import converters, without_converters
from bnn2fpga.planning.timing.steady_state import SMALLEST

Amounts = npt.NDArray[np.float64]
"""LUTs, those used as memory, flip-flops and block RAM: what a folding is limited by."""
KINDS = ("LUT", "LUTRAM", "FF", "BRAM")
"""Their names."""


def amounts(used: Resources) -> Amounts:
    """How much of each of KINDS."""
    return np.array([used.all_luts, used.lutrams, used.flipflops, used.bram36], float)


@dataclass(frozen=True, eq=False)
class Choice:
    """A kernel at one folding; `outside` are its ports to the outside, as `ports` counts them.

    Those lead to a memory port of `port_bits`, one each way.
    """

    kernel: Kernel
    port_bits: int
    outside: tuple[tuple[int, int], ...] = ()

    @cached_property
    def cycles(self) -> int:
        """Of a frame, in the kernel or at the memory port, whichever takes longer."""
        streams = (self.ports[entering][index] for entering, index in self.outside)
        ports = (stream.port_cycles(self.port_bits) for stream in streams)
        return max([self.kernel.cycles.interval, *ports])

    @cached_property
    def amounts(self) -> Amounts:
        """What it needs, shallow FIFOs to the outside included."""
        fifos = (fifo(SMALLEST, self.ports[entering][index].bits) for entering, index in self.outside)
        return amounts(sum(fifos, self.kernel.resources))

    @cached_property
    def ports(self) -> tuple[tuple[Stream, ...], tuple[Stream, ...]]:
        """Its outputs, then its inputs."""
        return self.kernel.outputs, self.kernel.inputs

    def lanes(self, entering: int, index: int) -> int:
        """Of one of them."""
        return self.ports[entering][index].lanes


@dataclass(frozen=True, eq=False)
class Joint:
    """The converters and shallow FIFOs between two kernels."""

    cycles: int
    amounts: Amounts


@lru_cache(maxsize=1 << 16)
def joint(have: Stream, wanted: Stream) -> Joint:
    """What leads from one stream to the other."""
    between = converters(have, wanted)
    streams = [have, *(converter.outputs[0] for converter in between)]
    fifos = sum((fifo(SMALLEST, stream.bits) for stream in streams), Resources())
    used = sum((converter.resources for converter in between), fifos)
    return Joint(max((converter.cycles.interval for converter in between), default=0), amounts(used))


def _narrow(kernels: Iterable[Kernel], max_beat: int | None) -> list[Kernel]:
    """Those of no beat wider than `max_beat` bits, or where there are none the narrowest."""
    widest = {kernel: max(stream.bits for stream in (*kernel.inputs, *kernel.outputs)) for kernel in kernels}
    limit = max(widest.values()) if max_beat is None else max(max_beat, min(widest.values()))
    return [kernel for kernel, bits in widest.items() if bits <= limit]


@dataclass(frozen=True, eq=False)
class Choices:
    """A design's kernels, all their foldings, and the edges as if lanes fitted.

    Frames pass memory ports of `port_bits`.
    """

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    of: Mapping[str, Sequence[Choice]]
    port_bits: int

    @classmethod
    def find(cls, design: Design, port_bits: int, max_beat: int | None = None) -> Choices:
        """All that there are, or those whose beats are of at most `max_beat` bits."""
        nodes, edges = without_converters(design)
        found = {}
        for node in nodes:
            outside = tuple(
                (entering, here.index)
                for edge in edges
                for entering, here, there in ((0, edge.source, edge.target), (1, edge.target, edge.source))
                if here.node == node.name and there.node is None
            )
            kernels = _narrow(node.kernel.foldings(), max_beat)
            found[node.name] = [Choice(kernel, port_bits, outside) for kernel in kernels]
        return cls(nodes, edges, found, port_bits)

    @property
    def inner(self) -> tuple[Edge, ...]:
        """The edges between two kernels."""
        return tuple(edge for edge in self.edges if edge.source.node and edge.target.node)

    @cached_property
    def paces(self) -> list[int]:
        """Every number of cycles that some kernel can take for a frame, rising."""
        return sorted({choice.cycles for choices in self.of.values() for choice in choices})

    @property
    def fastest(self) -> tuple[str, int]:
        """What takes longest where all is as fast as it can be, in words, and its cycles."""
        least = {name: min(choice.cycles for choice in choices) for name, choices in self.of.items()}
        name = max(least, key=lambda kernel: least[kernel])
        if min(choice.kernel.cycles.interval for choice in self.of[name]) < least[name]:
            what = f"the memory port of {self.port_bits} bits"
            return f"{what} takes {least[name]:,} cycles for a frame", least[name]
        return f"{name} takes {least[name]:,} cycles at its fastest folding", least[name]

    def within(self, cycles: int) -> Choices:
        """Only what takes at most so many cycles, and no folding that another one is better than anyway."""
        quick = {name: [one for one in found if one.cycles <= cycles] for name, found in self.of.items()}
        reduced = replace(self, of=quick)
        kept = {node.name: reduced._worthwhile(node.name) for node in self.nodes}
        return replace(self, of=kept)

    def _worthwhile(self, name: str) -> list[Choice]:
        """Those that no other one replaces, which needs less of everything with the worst converters."""
        ends = [
            (entering, port.index, self._worst(edge, entering))
            for edge in self.inner
            for entering, port in enumerate((edge.source, edge.target))
            if port.node == name
        ]
        kept: list[Choice] = []
        bounds = np.empty((0, len(KINDS)))
        for choice in sorted(self.of[name], key=lambda one: one.amounts.sum()):
            if not np.all(bounds <= choice.amounts, axis=1).any():
                worst = sum(worst[choice.lanes(entering, index)] for entering, index, worst in ends)
                kept.append(choice)
                bounds = np.vstack([bounds, choice.amounts + worst])
        return kept

    def _worst(self, edge: Edge, entering: int) -> dict[int, Amounts]:
        """The most that converters on an edge can need, by the lanes at one of its ends."""
        here, there = self._streams[edge][entering], self._streams[edge][1 - entering].values()

        def between(own: Stream, other: Stream) -> Amounts:
            return (joint(other, own) if entering else joint(own, other)).amounts

        return {
            lanes: np.max([between(own, other) for other in there], axis=0) for lanes, own in here.items()
        }

    def leaving(self, edge: Edge) -> dict[int, Stream]:
        """The streams that its source can put out, by lanes."""
        return self._streams[edge][0]

    def entering(self, edge: Edge) -> dict[int, Stream]:
        """The streams that its target can take, by lanes."""
        return self._streams[edge][1]

    @cached_property
    def _streams(self) -> dict[Edge, tuple[dict[int, Stream], dict[int, Stream]]]:
        def streams(node: str | None, index: int, entering: bool) -> dict[int, Stream]:
            found = (choice.ports[entering][index] for choice in self.of[node or ""])
            return {stream.lanes: stream for stream in found}

        return {
            edge: (
                streams(edge.source.node, edge.source.index, False),
                streams(edge.target.node, edge.target.index, True),
            )
            for edge in self.inner
        }
