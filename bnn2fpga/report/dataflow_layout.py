"""Where the kernels and streams of a dataflow graph are drawn: ranks downwards, tracks from the left.

A kernel's rank is its longest way from the input. Streams run in tracks as in the log of a version control
system: the first stream out of a kernel goes straight on, the others take the next free track to the right
until they are joined again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Place:
    """A row and a column of the drawing, from 0."""

    rank: int
    track: int


@dataclass(frozen=True)
class Layout:
    """`places` of kernels by name; `tracks` of the edges, which each leave in the gap below their source.

    The inputs are `in0`, `in1`, … of `ends`, the outputs `out0`, …, by port.
    """

    places: Mapping[str, Place]
    ends: Mapping[str, Place]
    tracks: Sequence[int]

    @property
    def ranks(self) -> int:
        """How many rows there are."""
        return 1 + max(place.rank for place in (*self.places.values(), *self.ends.values()))


_Node = tuple[bool, str]
"""Whether it is a kernel, and its name: a kernel may be called in0."""


def end_name(edge: Mapping[str, Any], end: str) -> str:
    """The name of the outside at the `source` or `target` end of an edge."""
    return f"{'in' if end == 'source' else 'out'}{edge[f'{end}_port']}"


def _node(edge: Mapping[str, Any], end: str) -> _Node:
    kernel = edge[end]
    return (False, end_name(edge, end)) if kernel is None else (True, kernel)


def lay_out(design: Mapping[str, Any]) -> Layout:
    """The layout of a design as `report.describe` gives it, whose kernels are in topological order."""
    edges = design["edges"]
    pairs = [(_node(edge, "source"), _node(edge, "target")) for edge in edges]
    order = [source for source, _ in pairs if not source[0]]
    order += [(True, kernel["name"]) for kernel in design["kernels"]]
    order += [target for _, target in pairs if not target[0]]
    incoming: dict[_Node, list[int]] = {node: [] for node in order}
    outgoing: dict[_Node, list[int]] = {node: [] for node in order}
    for number, (source, target) in enumerate(pairs):
        outgoing[source].append(number)
        incoming[target].append(number)
    ranks: dict[_Node, int] = {}
    for node in order:
        ranks[node] = 1 + max((ranks[pairs[number][0]] for number in incoming[node]), default=-1)

    taken: set[Place] = set()
    tracks = [0] * len(edges)
    places: dict[_Node, Place] = {}
    for node in sorted(order, key=ranks.__getitem__):
        rank = ranks[node]
        first = min((tracks[number] for number in incoming[node]), default=0)
        if not incoming[node]:
            first = _free(taken, 0, range(rank, rank + 1))
        places[node] = Place(rank, first)
        taken.add(places[node])
        nearest = sorted(outgoing[node], key=lambda number: (ranks[pairs[number][1]], number))
        for number in nearest:
            way = range(rank + 1, ranks[pairs[number][1]] + 1)
            tracks[number] = _free(taken, first, way)
            taken |= {Place(row, tracks[number]) for row in way}
    kernels = {name: place for (kernel, name), place in places.items() if kernel}
    return Layout(kernels, {name: place for (kernel, name), place in places.items() if not kernel}, tracks)


def _free(taken: set[Place], first: int, ranks: range) -> int:
    """The leftmost track from `first` on that no one has in these ranks."""
    track = first
    while any(Place(rank, track) in taken for rank in ranks):
        track += 1
    return track
