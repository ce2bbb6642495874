"""FIFO depths, from the cycles in which the beats pass."""

from __future__ import annotations

from dataclasses import replace

from bnn2fpga.ir import Design
from bnn2fpga.timing import interval, latest

SMALLEST = 2
"""Beats; a FIFO of one beat passes one every other cycle."""


def size_fifos(design: Design) -> Design:
    """The design with FIFOs in which it never deadlocks and takes a frame every `interval` cycles.

    A FIFO holds what lies in it at most while the kernels follow the schedule of `latest`. This schedule
    goes on for ever, and kernels that wait for data and room, and for nothing else, are never behind it.

    Edges on a line get their full depth too. They could not deadlock with less, but a kernel that reads a
    row in one go and the one before it that makes it evenly would then wait for each other in turns, and
    the frame rate would not be that of the slowest kernel. Depths stay exact: the tools round a FIFO up
    to what its memory has, and `memory` counts so.
    """
    pace, passages = interval(design), latest(design)
    return replace(
        design,
        edges=tuple(
            replace(edge, depth=max(SMALLEST, passages[edge].occupancy(pace))) for edge in design.edges
        ),
    )
