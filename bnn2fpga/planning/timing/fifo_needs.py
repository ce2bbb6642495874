"""What each FIFO of a design holds, and which path needs it that deep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bnn2fpga.design.graph import Design, Edge
from bnn2fpga.planning.timing.schedule import through
from bnn2fpga.planning.timing.steady_state import SMALLEST, Steady


@dataclass(frozen=True)
class FifoNeed:
    """A FIFO of `depth` beats of `bits`, of which it holds `most` at once while frames follow one another.

    `path` are the kernels of the slower branch, from a fork to the join where this FIFO's beats wait for it;
    empty where they wait because their reader takes them in another rhythm than their writer makes them.
    """

    source: str
    target: str
    bits: int
    depth: int
    most: int
    path: tuple[str, ...]

    @property
    def reason(self) -> str:
        """In words, the whole path."""
        if self.path and self.depth > SMALLEST:
            return f"waits for {' → '.join(self.path)}"
        return self.why

    @property
    def why(self) -> str:
        """In few words."""
        if self.depth <= SMALLEST:
            return "the smallest"
        return f"waits for {self.path[0]} … {self.path[-2]}" if self.path else "rhythms differ"


def fifo_needs(design: Design) -> tuple[FifoNeed, ...]:
    """One for every edge, in their order; none if the FIFOs do not let the design keep its interval."""
    steady = Steady.of(design)
    if steady is None:
        return ()
    passages = steady.passages
    spare = {edge: int((some.read - some.written).min()) - through(edge) for edge, some in passages.items()}
    return tuple(
        FifoNeed(
            str(edge.source),
            str(edge.target),
            edge.stream.bits,
            edge.depth,
            passages[edge].occupancy(steady.pace),
            _slower_branch(design, edge, spare),
        )
        for edge in design.edges
    )


def _slower_branch(design: Design, edge: Edge, spare: Mapping[Edge, int]) -> tuple[str, ...]:
    """From a fork to a join; `spare` are the cycles that each beat of an edge waits at least."""
    entry = edge
    while entry.target.node and len(design.incoming(entry.target.node)) == 1:
        leaving = design.outgoing(entry.target.node)
        if len(leaving) != 1:
            return ()
        entry = leaving[0]
    if not entry.target.node or not spare[entry]:
        return ()
    before, path = _upstream(design, edge), [entry.target.node]
    while path[-1] not in before:
        others = [other for other in design.incoming(path[-1]) if other != entry]
        source = min(others, key=lambda other: spare[other]).source.node
        path.append(source or "the input")
        if source is None:
            break
    return tuple(reversed(path))


def _upstream(design: Design, edge: Edge) -> set[str]:
    """All kernels from which a beat of an edge may come."""
    found: set[str] = set()
    waiting = [edge]
    while waiting:
        node = waiting.pop().source.node
        if node and node not in found:
            found.add(node)
            waiting += design.incoming(node)
    return found
