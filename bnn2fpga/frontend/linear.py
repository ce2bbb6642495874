"""Float chains that only scale and shift: taken into a signal's scale and offset, exactly or not at all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bnn2fpga.frontend.chain import evaluate
from bnn2fpga.frontend.execute import Graph
from bnn2fpga.frontend.signal import Segment, Signal


def as_linear(graph: Graph, signal: Signal) -> Signal | None:
    """The signal without pending nodes, if they are scale[c] * (n + integer) for every value; else None.

    scale[c] is positive. Evaluated for every integer, so float rounding that breaks the line is noticed.
    """
    if signal.bare:
        return signal
    if signal.pools or signal.padding or np.any(signal.rounding):
        return None
    values = evaluate(graph, signal, [], _end(signal)).values.astype(np.float64)
    if values.shape[1] != signal.stream.channels or len(signal.points) < 2:
        return None
    integers = signal.multiplier * signal.points + signal.offset
    slope = (values[-1] - values[0]) / (integers[-1] - integers[0])
    if np.any(slope <= 0):
        return None
    offsets = values[0] / slope - integers[0]
    offset = np.rint(offsets[0])
    line = slope * (integers[:, None] + offset)
    if not np.array_equal(line, values):
        return None
    segment = Segment(_end(signal), signal.index)
    return replace(signal, scale=slope, offset=signal.offset + int(offset), pending=(segment,))


def _end(signal: Signal) -> str:
    """The tensor at the end of the pending nodes."""
    for item in reversed(signal.pending):
        if isinstance(item, Segment) and item.nodes:
            return item.nodes[-1].output[0]
    return signal.segment.tensor
