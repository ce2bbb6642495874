"""The schedule that a design with bounded FIFOs settles to, and which FIFO it needs that deep.

All frames pass alike, one every `pace` cycles, so a schedule is the cycles of one frame, and what is of the
frame before is `pace` earlier. A trip waits for the beats that it reads, and for room for those that it
writes, which is there a cycle after the beat before has left. That is what the SystemVerilog does, cycle by
cycle, and C++, trip by trip and port by port, so such a schedule is also the proof that a design never stops.

The least cycles are found from below, kernel by kernel as far as something changes: event by event as in
Kahn's networks, but for all beats of a port at once. A smaller FIFO only adds to them, so a trial starts from
the cycles that were there before and touches few kernels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from bnn2fpga.design.graph import Design, Edge
from bnn2fpga.design.kernel import Trips
from bnn2fpga.planning.timing.schedule import (
    Cycles,
    Passage,
    Process,
    earliest,
    interval,
    is_deep,
    latest,
    processes,
)

SMALLEST = 2
"""Beats; a FIFO of one beat passes one every other cycle."""
PATIENCE = 4
"""Frames that the schedule may be behind `earliest`, on top of a frame's own way, before it is given up.

A short branch waits for a long one, at most as long as a frame's way takes.
"""


@dataclass(frozen=True, eq=False)
class _Station:
    """A process, and where its beats are; edges are called by their place in the design."""

    process: Process
    events: Trips
    reads: dict[int, Trips]
    writes: dict[int, Trips]

    def cycles(self, passages: Mapping[Edge, Passage]) -> Cycles:
        """The cycles of its events in a schedule."""
        found = np.empty(len(self.events), np.int64)
        for edge, places in zip(self.process.incoming, self.reads.values(), strict=True):
            found[places] = passages[edge].read
        for edge, places in zip(self.process.outgoing, self.writes.values(), strict=True):
            found[places] = passages[edge].written - self.process.stages
        return found


@dataclass(eq=False)
class Steady:
    """The earliest schedule at a pace in which no FIFO holds more than its depth, and that may be deepened.

    `depths` are beats, one an edge. `limits` are the cycles behind which no process may fall.
    """

    design: Design
    pace: int
    depths: list[int]
    stations: list[_Station]
    cycles: list[Cycles]
    limits: list[Cycles]
    written: dict[int, Cycles] = field(default_factory=dict)
    read: dict[int, Cycles] = field(default_factory=dict)

    @classmethod
    def of(cls, design: Design) -> Steady | None:
        """The schedule of a design at the depths of its edges; None if they do not let it keep its interval.

        Afterwards no trial may delay what leaves the design.
        """
        places = {edge: place for place, edge in enumerate(design.edges)}
        stations = []
        for process in processes(design):
            events, reads, writes = process.pattern.events
            ins = {places[edge]: at for edge, at in zip(process.incoming, reads, strict=True)}
            outs = {places[edge]: at for edge, at in zip(process.outgoing, writes, strict=True)}
            stations.append(_Station(process, events, ins, outs))
        first, pace = earliest(design), interval(design)
        cycles = [station.cycles(first) for station in stations]
        way = max(int(first[edge].read[-1]) for edge in design.outputs)
        limits = [some + PATIENCE * pace + way for some in cycles]
        steady = cls(design, pace, [edge.depth for edge in design.edges], stations, cycles, limits)
        for station in range(len(stations)):
            steady._put(station, cycles[station])
        if steady._settle(range(len(design.edges))):
            return None
        last = latest(design, {edge: steady.read[places[edge]] for edge in design.outputs})
        steady.limits = [station.cycles(last) for station in stations]
        return steady

    @property
    def passages(self) -> dict[Edge, Passage]:
        """When the beats of every edge pass."""
        return {
            edge: Passage(self.written[place], self.read[place])
            for place, edge in enumerate(self.design.edges)
        }

    def shrink(self, place: int, depth: int) -> tuple[str, ...]:
        """Gives FIFO number `place` another, smaller depth, or names the processes that would be too late.

        The first one waits for the FIFO, each is behind because of the one before, and the last one delays
        what leaves the design; then nothing has changed.
        """
        before = self.depths[place]
        self.depths[place] = depth
        behind = self._settle((place,))
        if behind:
            self.depths[place] = before
        return tuple(self.stations[station].process.name for station in behind)

    def _settle(self, edges: Iterable[int]) -> list[int]:
        """Moves trips back until all find room and data; or says who falls behind his limit, and why."""
        reader = {edge: at for at, station in enumerate(self.stations) for edge in station.reads}
        writer = {edge: at for at, station in enumerate(self.stations) for edge in station.writes}
        waiting: dict[int, set[int]] = {}
        for edge in edges:
            waiting.setdefault(writer[edge], set()).add(edge)
        before: dict[int, Cycles] = {}
        cause: dict[int, int] = {}
        while waiting:
            here = next(iter(waiting))
            found = self._delayed(here, waiting.pop(here))
            if np.array_equal(found, self.cycles[here]):
                continue
            if np.any(found > self.limits[here]):
                for station, cycles in before.items():
                    self._put(station, cycles)
                return _line(cause, here)
            before.setdefault(here, self.cycles[here])
            self._put(here, found)
            for others, ports in ((reader, self.stations[here].writes), (writer, self.stations[here].reads)):
                for edge in ports:
                    waiting.setdefault(others[edge], set()).add(edge)
                    if others[edge] not in before:
                        cause[others[edge]] = here
        return []

    def _delayed(self, here: int, edges: set[int]) -> Cycles:
        """The cycles of a station that waits for data and for room on some of its edges."""
        station = self.stations[here]
        process, ready = station.process, self.cycles[here].copy()
        for edge in edges & station.reads.keys():
            places = station.reads[edge]
            there = self.written[edge] + 1 + is_deep(self.depths[edge])
            ready[places] = np.maximum(ready[places], there)
        for edge in edges & station.writes.keys():
            places = station.writes[edge]
            ready[places] = np.maximum(ready[places], self._room(edge) + 1)
        delay = np.maximum.accumulate(ready - station.events)
        return station.events + np.maximum(delay, delay[-1] + process.trips - self.pace)

    def _room(self, edge: int) -> Cycles:
        """When the beat that is `depth` before each one of a frame is read, if only in another frame."""
        read = self.read[edge]
        frames, beats = divmod(self.depths[edge], len(read))
        others = np.concatenate([read[len(read) - beats :] - self.pace, read[: len(read) - beats]])
        return others - frames * self.pace

    def _put(self, here: int, cycles: Cycles) -> None:
        station = self.stations[here]
        self.cycles[here] = cycles
        self.read |= {edge: cycles[places] for edge, places in station.reads.items()}
        self.written |= {
            edge: cycles[places] + station.process.stages for edge, places in station.writes.items()
        }

    @property
    def sized(self) -> Design:
        """The design at these depths, or less where the schedule does not fill them."""
        held = rooms(self.design, self.passages, self.pace)
        edges = (
            replace(edge, depth=min(depth, most))
            for edge, depth, most in zip(self.design.edges, self.depths, held, strict=True)
        )
        return replace(self.design, edges=tuple(edges))


def rooms(design: Design, passages: Mapping[Edge, Passage], pace: int) -> list[int]:
    """The beats of every edge for which there is room when the trips begin that write them."""
    stages = {node.name: node.kernel.stages for node in design.nodes}
    waits = (stages[edge.source.node] if edge.source.node else 0 for edge in design.edges)
    held = (
        replace(passages[edge], written=passages[edge].written - wait).occupancy(pace)
        for edge, wait in zip(design.edges, waits, strict=True)
    )
    return [max(SMALLEST, most) for most in held]


def _line(cause: Mapping[int, int], last: int) -> list[int]:
    """From the first cause to the last effect."""
    line = [last]
    while line[-1] in cause and cause[line[-1]] not in line:
        line.append(cause[line[-1]])
    return line[::-1]
