"""Float chains that only scale and shift: taken into a signal's scale and offset."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bnn2fpga.design.integers import Ints
from bnn2fpga.frontend.graph.execute import Array, Graph
from bnn2fpga.frontend.lowering.elementwise_chain import evaluate
from bnn2fpga.frontend.lowering.signal import Segment, Signal, Span

MOST_ROUNDED = 2.0**-22
"""What a few float32 operations may move a product by, as a part of it."""
SAMPLES = 4097
NEARLY = 1e-5
"""Part of a chain's range; what float32 rounding may move a straight line by."""


def as_linear(graph: Graph, signal: Signal) -> Signal | None:
    """The signal without pending nodes, if they are scale[c] * (n + integer) for every value; else None.

    scale[c] is positive. Evaluated for every integer, so float rounding that breaks the line is noticed.
    """
    if signal.bare:
        return signal
    if signal.pools or signal.padding or np.any(signal.rounding) or np.any(signal.bias):
        return None
    few = _on_line(graph, replace(signal, points=sampled(signal.points)))
    return few and _on_line(graph, signal)


def as_affine(graph: Graph, signal: Signal) -> Signal | None:
    """The signal without pending nodes, if they are gain[c] * n + bias[c] up to float32 rounding; else None.

    gain[c] is positive.
    """
    if signal.bare:
        return signal
    if signal.pools or signal.padding:
        return None
    points = sampled(signal.points)
    values = chain_values(graph, signal, points)
    if values is None or len(points) < 2:
        return None
    integers = signal.multiplier * points + signal.offset
    gain = (values[-1] - values[0]) / (integers[-1] - integers[0])
    bias = values[0] - gain * integers[0]
    off = np.abs(integers[:, None] * gain + bias - values).max(axis=0)
    if np.any(gain <= 0) or np.any(off > NEARLY * np.abs(values).max(axis=0)):
        return None
    segment = Segment(end_tensor(signal), signal.index)
    return replace(signal, scale=gain, bias=bias, pending=(segment,))


def scaled(graph: Graph, signal: Signal) -> Signal:
    """Takes pending nodes that only scale a quantized tensor by one number into its scale.

    Where float32 rounds the products, as x / 255 is, the signal's relative rounding says by how much.
    """
    if (
        signal.bare
        or signal.pools
        or signal.multiplier != 1
        or signal.offset
        or signal.scale.size != 1
        or np.any(signal.bias)
    ):
        return signal
    if not any(isinstance(item, Segment) and item.nodes for item in signal.pending):
        return signal
    values = evaluate(graph, signal, [], end_tensor(signal)).values.astype(np.float64)
    reference = int(np.argmax(np.abs(signal.points)))
    factor = values[reference, 0] / signal.points[reference]
    line = np.broadcast_to(np.asarray(signal.points)[:, None] * factor, values.shape)
    off = np.abs(values - line).max(initial=0, where=line == 0)
    rounded = float(np.abs(values / np.where(line == 0, 1, line) - 1).max(initial=0, where=line != 0))
    if factor <= 0 or off or rounded > MOST_ROUNDED:
        return signal
    last = signal.segment
    segment = Segment(last.nodes[-1].output[0] if last.nodes else last.tensor, signal.index)
    return replace(signal, scale=np.array([factor]), relative_rounding=rounded, pending=(segment,))


def chain_values(graph: Graph, signal: Signal, points: Ints | Span) -> Array | None:
    """The end of the pending chain at `points` (R,): (R, C); None where positions are treated differently."""
    values = evaluate(graph, replace(signal, points=points), [], end_tensor(signal)).values.astype(np.float64)
    return values if values.shape[1] == signal.stream.channels else None


def sampled(points: Ints | Span) -> Ints:
    """At most SAMPLES of `points`, both ends included."""
    if len(points) <= SAMPLES:
        return np.asarray(points)
    return points[np.linspace(0, len(points) - 1, SAMPLES).astype(np.int64)]


def _on_line(graph: Graph, signal: Signal) -> Signal | None:
    values = chain_values(graph, signal, signal.points)
    if values is None or len(signal.points) < 2:
        return None
    integers = signal.multiplier * np.asarray(signal.points) + signal.offset
    slope = (values[-1] - values[0]) / (integers[-1] - integers[0])
    if np.any(slope <= 0):
        return None
    offsets = values[0] / slope - integers[0]
    offset = np.rint(offsets[0])
    line = slope * (integers[:, None] + offset)
    if not np.array_equal(line, values):
        return None
    segment = Segment(end_tensor(signal), signal.index)
    return replace(signal, scale=slope, offset=signal.offset + int(offset), pending=(segment,))


def end_tensor(signal: Signal) -> str:
    """The tensor at the end of the pending nodes."""
    for item in reversed(signal.pending):
        if isinstance(item, Segment) and item.nodes:
            return item.nodes[-1].output[0]
    return signal.segment.tensor
