"""FIFO depths, from the cycles in which the beats pass."""

from __future__ import annotations

from dataclasses import replace

from bnn2fpga.circuits.memory import LUT_DEPTH
from bnn2fpga.design.graph import Design
from bnn2fpga.planning.timing.schedule import interval, latest, through
from bnn2fpga.planning.timing.steady_state import SMALLEST, Steady, rooms

GRANULE = LUT_DEPTH // 2
"""Words of the smallest memory of LUTs: four hold 32 words of 6 bits (UG474)."""


def size_fifos(design: Design) -> Design:
    """The design with the smallest FIFOs with which it is as fast as with endless ones.

    Fast is both the interval and the cycles from a frame's way in to its way out. Half of any FIFO deeper
    than GRANULE, the others as they are, costs one of them, or the design stops: from depths that are enough,
    each FIFO in turn, the largest first, is halved as often as nothing leaves later (`Steady.shrink`). A
    smaller FIFO never makes anything earlier, so what could not be halved cannot be later on, when others
    have been. Below GRANULE a beat less would save no memory.

    Depths stay exact: the tools round a FIFO up to what its memory has, and `memory` counts so.
    """
    steady = Steady.of(enough(design))
    assert steady, "the latest schedule keeps its pace"
    bits = [edge.stream.bits for edge in design.edges]
    deep = [place for place, depth in enumerate(steady.depths) if depth > GRANULE]
    for place in sorted(deep, key=lambda place: -bits[place] * steady.depths[place]):
        _halve(steady, place)
    return steady.sized


def enough(design: Design) -> Design:
    """The design with FIFOs for all that lies in them while the kernels follow the schedule of `latest`.

    This schedule goes on for ever, and kernels that wait for data and room, and for nothing else, are never
    behind it. A FIFO too deep for LUTs takes a cycle more, which makes for another schedule, until no other
    one is too deep.
    """
    pace, least = interval(design), [SMALLEST] * len(design.edges)
    while True:
        held = rooms(design, latest(design), pace)
        depths = list(map(max, held, least))
        edges = (replace(edge, depth=depth) for edge, depth in zip(design.edges, depths, strict=True))
        before, design = design, replace(design, edges=tuple(edges))
        if list(map(through, before.edges)) == list(map(through, design.edges)):
            return design
        least = [LUT_DEPTH + 1 if through(edge) > 1 else SMALLEST for edge in design.edges]


def _halve(steady: Steady, place: int) -> None:
    """The smallest power of two that delays nothing; if it is none below the depth, the depth stays."""
    low, high = SMALLEST.bit_length() - 1, (steady.depths[place] - 1).bit_length()
    while low < high:
        middle = (low + high) // 2
        if steady.shrink(place, 1 << middle):
            low = middle + 1
        else:
            high = middle
