"""FIFO depths: where branches meet again, the shorter one must wait without blocking the fork."""

from __future__ import annotations

from dataclasses import replace

from bnn2fpga.ir import Design

SMALLEST = 2
"""Beats; enough between two kernels on a line."""


def size_fifos(design: Design) -> Design:
    """The design with a FIFO of one whole frame at every input of a kernel that joins streams.

    A join reads its inputs together, so while its slower branch fills (a convolution waits for rows), the
    faster one must be able to leave the fork behind it without being read. With room for a frame at
    each of the join's inputs every kernel can finish the frame it is at, whatever the other branch
    does; by induction over the frames no design deadlocks. This is safe, not small: a depth from the
    kernels' timing needs less.
    """
    joins = {node.name for node in design.nodes if len(node.kernel.inputs) > 1}

    def depth(beats: int) -> int:
        return max(SMALLEST, 1 << (beats - 1).bit_length())

    return replace(
        design,
        edges=tuple(
            replace(edge, depth=depth(edge.stream.beats) if edge.target.node in joins else SMALLEST)
            for edge in design.edges
        ),
    )
