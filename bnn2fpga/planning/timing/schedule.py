"""In which cycle every beat passes, how deep a FIFO must be for that, and whether a design ever stops.

A kernel makes one trip of its loop a cycle, or waits. It does the same in every frame (`Kernel.pattern`), so
a schedule is the cycles of one frame: the next frame passes `interval` cycles later. A beat of a trip in
cycle t enters the FIFO behind the kernel in t + `Kernel.stages`, can be read a cycle later (two from a FIFO
in block RAM), and leaves its room to the next cycle. So it is in the SystemVerilog, to the cycle; in
Vitis HLS the tool chooses the stages.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bnn2fpga.circuits.memory import LUT_DEPTH
from bnn2fpga.design.graph import Design, Edge
from bnn2fpga.design.kernel import Pattern, Trips

NEVER = 1 << 60
"""A cycle behind every other, and small enough to add to."""

Cycles = npt.NDArray[np.int64]
"""Cycles from a frame's first input beat, one a beat; before it negative."""


@dataclass(frozen=True, eq=False)
class Passage:
    """The cycles in which the beats of a frame enter and leave the FIFO of an edge."""

    written: Cycles
    read: Cycles

    def occupancy(self, pace: int) -> int:
        """The most beats that are in the FIFO at once if a frame passes every `pace` cycles."""
        # of all frames' beats, those read before each of this frame's is written
        frames, cycle = np.divmod(self.written - self.read[0], pace)
        gone = frames * len(self.read) + np.searchsorted(self.read - self.read[0], cycle)
        return int((np.arange(1, len(self.written) + 1) - gone).max())


@dataclass(frozen=True, eq=False)
class Process:
    """A kernel, an input or an output of the design, with the edges at its ports."""

    name: str
    incoming: tuple[Edge, ...]
    outgoing: tuple[Edge, ...]
    pattern: Pattern
    trips: int
    stages: int = 0


def processes(design: Design) -> list[Process]:
    """In topological order; inputs and outputs pass a beat in every cycle."""

    def every(edge: Edge) -> tuple[Trips, ...]:
        return (np.arange(edge.stream.beats),)

    return [
        *(
            Process("the input", (), (edge,), Pattern((), every(edge)), edge.stream.beats)
            for edge in design.inputs
        ),
        *(
            Process(
                node.name,
                design.incoming(node.name),
                design.outgoing(node.name),
                node.pattern,
                node.kernel.cycles.interval,
                node.kernel.stages,
            )
            for node in design.nodes
        ),
        *(
            Process("the output", (edge,), (), Pattern(every(edge), ()), edge.stream.beats)
            for edge in design.outputs
        ),
    ]


def interval(design: Design) -> int:
    """Cycles between two frames: those of the slowest kernel."""
    return max(node.kernel.cycles.interval for node in design.nodes)


def frame_cycles(design: Design, port_bits: int) -> int:
    """Cycles between two frames that pass memory ports of `port_bits`, one an input and output.

    They are more than the interval where a port takes longer for a frame than every kernel.
    """
    ports = (edge.stream.port_cycles(port_bits) for edge in design.inputs + design.outputs)
    return max([interval(design), *ports])


def earliest(design: Design) -> dict[Edge, Passage]:
    """Every trip as early as its inputs are there; no FIFO is ever full."""
    return _earliest(processes(design), interval(design))


def latest(design: Design, ends: Mapping[Edge, Cycles] | None = None) -> dict[Edge, Passage]:
    """Every trip as late as the readers of its outputs allow.

    `ends` are the cycles in which the design's outputs are read, those of `earliest` if it is None. So a
    beat comes just in time, and waits where branches part. By induction from the outputs, no trip is before
    that of `earliest`.
    """
    pace, running = interval(design), processes(design)
    if ends is None:
        first = _earliest(running, pace)
        ends = {edge: first[edge].read for edge in design.outputs}
    read = dict(ends)
    written: dict[Edge, Cycles] = {}
    for process in reversed(running[: len(running) - len(design.outputs)]):
        trips, reads, writes = process.pattern.events
        due = np.full(len(trips), NEVER)
        for edge, places in zip(process.outgoing, writes, strict=True):
            due[places] = np.minimum(due[places], read[edge] - through(edge) - process.stages)
        # cycles that a trip is behind the frame's first; waiting only adds to it, from a trip to the next,
        # and a frame must be over when the next one begins
        delay = np.minimum.accumulate((due - trips)[::-1])[::-1]
        cycles = trips + np.minimum(delay, delay[0] + pace - process.trips)
        read |= _after(cycles, process.incoming, reads)
        written |= _after(cycles + process.stages, process.outgoing, writes)
    return {edge: Passage(written[edge], read[edge]) for edge in design.edges}


def _earliest(running: list[Process], pace: int) -> dict[Edge, Passage]:
    written: dict[Edge, Cycles] = {}
    read: dict[Edge, Cycles] = {}
    for process in running:
        trips, reads, writes = process.pattern.events
        ready = np.zeros(len(trips), np.int64)
        for edge, places in zip(process.incoming, reads, strict=True):
            ready[places] = np.maximum(ready[places], written[edge] + through(edge))
        delay = np.maximum.accumulate(ready - trips)
        cycles = trips + np.maximum(delay, delay[-1] + process.trips - pace)
        read |= _after(cycles, process.incoming, reads)
        written |= _after(cycles + process.stages, process.outgoing, writes)
    return {edge: Passage(written[edge], read[edge]) for edge in read}


def _after(cycles: Cycles, edges: tuple[Edge, ...], places: tuple[Trips, ...]) -> dict[Edge, Cycles]:
    return {edge: cycles[place] for edge, place in zip(edges, places, strict=True)}


def is_deep(depth: int) -> bool:
    """Whether a FIFO lies in block RAM, whose output register holds a beat more and takes a cycle more."""
    return depth > LUT_DEPTH


def through(edge: Edge) -> int:
    """Cycles from a beat's way into a FIFO to its way out: block RAM has an output register."""
    return 2 if is_deep(edge.depth) else 1


def latency(design: Design) -> int:
    """Cycles from a frame's first input beat to its last output beat, frames coming one after the other."""
    passages = earliest(design)
    return 1 + int(max(passages[edge].read[-1] for edge in design.outputs))


def deadlock(design: Design) -> tuple[Edge, ...]:
    """The full FIFOs at which a writer waits for ever, at the depths of the edges; none if frames pass.

    Exact, whatever the kernels' speeds: a network of processes that wait for what they read, and for room
    for what they write, comes to one end in whatever order they go on. One frame decides: if it passes,
    all do, as they may pass one by one; and what it waits for would have to be of the same frame. As in
    C++, a kernel writes to one port after the other; one that writes to all at once may need a beat more,
    which `latest` gives it.
    """
    running = processes(design)
    places = [_order(process) for process in running]
    readers = {edge: place for place, process in enumerate(running) for edge in process.incoming}
    writers = {edge: place for place, process in enumerate(running) for edge in process.outgoing}
    read, written = dict.fromkeys(design.edges, 0), dict.fromkeys(design.edges, 0)
    full: dict[int, Edge | None] = {}
    waiting = deque(range(len(running)))
    while waiting:
        here = waiting.popleft()
        process, (reads, writes) = running[here], places[here]
        stop, full[here] = NEVER, None
        for edge, order in zip(process.incoming, reads, strict=True):
            if written[edge] < len(order):
                stop = min(stop, order[written[edge]])
        for edge, order in zip(process.outgoing, writes, strict=True):
            room = read[edge] + edge.depth
            if room < len(order) and order[room] < stop:
                stop, full[here] = order[room], edge
        for counts, edges, orders, others in (
            (read, process.incoming, reads, writers),
            (written, process.outgoing, writes, readers),
        ):
            for edge, order in zip(edges, orders, strict=True):
                count = int(np.searchsorted(order, stop))
                if count > counts[edge]:
                    counts[edge] = count
                    waiting.append(others[edge])
    stuck = set(full.values())
    return tuple(edge for edge in design.edges if edge in stuck)


def _order(process: Process) -> tuple[list[Trips], list[Trips]]:
    """The place of every beat of each port in the order in which the process reads and writes them all."""
    ports = (*process.pattern.reads, *process.pattern.writes)
    order = [trips * len(ports) + port for port, trips in enumerate(ports)]
    return order[: len(process.incoming)], order[len(process.incoming) :]
