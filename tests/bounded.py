"""The pace of a design whose FIFOs are as deep as its edges say: an oracle for depths."""

from __future__ import annotations

import numpy as np

from bnn2fpga.design.graph import Design, Edge
from bnn2fpga.planning.timing.schedule import processes, through

FRAMES = 6


def bounded_interval(design: Design) -> int:
    """Cycles between the last two of FRAMES frames, by waiting for data and for room until nothing changes.

    As in C++ a trip begins when there is room for what it writes; the RTL's registers hold beats, too.
    """
    running = processes(design)
    read: dict[Edge, np.ndarray] = {}
    written: dict[Edge, np.ndarray] = {}
    changed = True
    while changed:
        changed = False
        for process in running:
            one_frame, reads, writes = process.pattern.events
            frames = np.arange(FRAMES)[:, None]
            trips = (one_frame + process.trips * frames).ravel()
            ready = np.zeros(len(trips), np.int64)
            for edge, places in zip(process.incoming, reads, strict=True):
                at = (places + len(one_frame) * frames).ravel()
                ready[at] = np.maximum(ready[at], written[edge] + through(edge))
            for edge, places in zip(process.outgoing, writes, strict=True):
                at = (places + len(one_frame) * frames).ravel()
                if edge in read:
                    room = read[edge][: max(0, len(at) - edge.depth)] + (process.stages == 0)
                    ready[at[edge.depth :]] = np.maximum(ready[at[edge.depth :]], room)
            cycles = trips + np.maximum.accumulate(ready - trips)
            for edge, places in zip(process.incoming, reads, strict=True):
                times = cycles[(places + len(one_frame) * frames).ravel()]
                changed |= edge not in read or bool((times > read[edge]).any())
                read[edge] = times
            for edge, places in zip(process.outgoing, writes, strict=True):
                written[edge] = cycles[(places + len(one_frame) * frames).ravel()] + process.stages
    ends = read[design.outputs[0]].reshape(FRAMES, -1)[:, -1]
    return int(ends[-1] - ends[-2])
