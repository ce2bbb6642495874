"""Evaluates float chains over every value of an integer: thresholds are read off, not derived.

Between an accumulator and the next quantizer, any elementwise nodes may stand (scale, bias, batch
norm, PReLU, clip, …). The accumulator takes few values, so the chain is executed for all of them, per
channel, by the same code that executes the QONNX graph; float rounding is included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from bnn2fpga.design.integers import Ints
from bnn2fpga.errors import ModelError
from bnn2fpga.frontend.graph.execute import Array, Graph
from bnn2fpga.frontend.graph.quantizer import threshold_axis
from bnn2fpga.frontend.lowering.signal import Pooled, Segment, Signal, channel_order

BY_CHANNEL = frozenset({"BatchNormalization", "MultiThreshold"})
"""Nodes that look for the channels in an axis of their input."""
CHUNK = 1 << 22
"""Table entries evaluated at once; bounds the memory of wide accumulators."""


@dataclass(frozen=True, eq=False)
class Table:
    """A chain evaluated: rows are the signal's points, columns its channels, or all of its elements.

    `pooled` are the values, one column a channel, where the (only) pending max pool stands, `values`
    those at the end. `pooled` is None without a pool.
    """

    values: Array
    pooled: Array | None


def evaluate(
    graph: Graph, signal: Signal, last: Sequence[onnx.NodeProto], end: str, shift: float = 0.0
) -> Table:
    """The pending chain of `signal` and the nodes `last` behind it, up to tensor `end`.

    The signal's points are (R,), or (R, C) with a column a channel. `shift` moves the input by that many
    times the signal's rounding bound.
    """
    columns = signal.stream.channels
    rounding = np.broadcast_to(np.asarray(signal.rounding), columns)
    chunks = []
    size = max(1, CHUNK // max(columns, signal.index.size))
    for at in range(0, len(signal.points), size):
        values = signal.reals(signal.points[at : at + size])
        spread = rounding + np.abs(values) * signal.relative_rounding
        chunks.append(_run(graph, signal, (values + shift * spread).astype(np.float32), last, end))
    pooled = (
        None
        if chunks[0].pooled is None
        else np.concatenate([c.pooled for c in chunks if c.pooled is not None])
    )
    return Table(np.concatenate([chunk.values for chunk in chunks]), pooled)


def _run(graph: Graph, signal: Signal, values: Array, last: Sequence[onnx.NodeProto], end: str) -> Table:
    pooled = None
    for place, item in enumerate(signal.pending):
        if isinstance(item, Pooled):
            if values.shape[1] != signal.stream.channels:
                raise ModelError(
                    f"{item.name}: the nodes before this max pool treat positions differently; "
                    "put a quantizer in front of it"
                )
            pooled = values
            continue
        final = place == len(signal.pending) - 1
        nodes = (*item.nodes, *(last if final else ()))
        if nodes:
            values = _run_segment(graph, item, nodes, end if final and last else nodes[-1].output[0], values)
    return Table(values, pooled)


def _run_segment(
    graph: Graph, segment: Segment, nodes: Sequence[onnx.NodeProto], end: str, values: Array
) -> Array:
    """`values` through elementwise `nodes`; a column a channel becomes one an element if need be."""
    shape, size = segment.index.shape, segment.index.size
    constants = [graph.constants[name] for node in nodes for name in node.input if name in graph.constants]
    if all(c.size == 1 for c in constants) and not any(n.op_type in BY_CHANNEL for n in nodes):
        return graph.run(nodes, {segment.tensor: values})[end].reshape(values.shape)
    found = None if values.shape[1] == size else channel_order(segment.index, values.shape[1])
    if found is not None and _per_channel(graph, len(shape), nodes, found[0]):
        axis, order = found
        laid = values[:, order].reshape(
            len(values), *(len(order) if a == axis else 1 for a in range(1, len(shape)))
        )
        result = graph.run(nodes, {segment.tensor: laid})[end].reshape(values.shape)
        every = np.empty_like(result)
        every[:, order] = result
        return every
    whole = np.tile(values, size // values.shape[1])
    laid = whole[:, segment.index.ravel()].reshape(len(values), *shape[1:])
    whole[:, segment.index.ravel()] = graph.run(nodes, {segment.tensor: laid})[end].reshape(whole.shape)
    return whole


def _per_channel(graph: Graph, rank: int, nodes: Sequence[onnx.NodeProto], axis: int) -> bool:
    """Whether every position of a channel is treated alike, so that one column a channel suffices."""
    for node in nodes:
        if node.op_type == "BatchNormalization":
            if axis != 1:
                return False
            continue
        if node.op_type == "MultiThreshold":
            if len(graph.constants[node.input[1]]) > 1 and threshold_axis(node, rank) != axis:
                return False
            continue
        for name in node.input:
            extents = graph.constants[name].shape if name in graph.constants else ()
            padded = ((1,) * rank + extents)[-rank:]
            if any(extent != 1 for place, extent in enumerate(padded) if place != axis):
                return False
    return True


def levels_to_channels(levels: Ints, channels: int) -> Ints:
    """A table over all elements made one over the channels, where the positions agree; else unchanged."""
    spread = levels.reshape(len(levels), -1, channels)
    return spread[:, 0] if np.all(spread == spread[:, :1]) else levels
