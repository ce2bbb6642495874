"""Evaluates float chains over every value of an integer: thresholds are read off, not derived.

Between an accumulator and the next quantizer, any elementwise nodes may stand (scale, bias, batch
norm, PReLU, clip, …). The accumulator takes few values, so the chain is executed for all of them, per
channel, by the same code that executes the QONNX graph; float rounding is included.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx

from bnn2fpga.frontend.execute import Array, Graph
from bnn2fpga.frontend.signal import Pooled, Segment, Signal, raster_index
from bnn2fpga.ir import Ints

CHUNK = 1 << 22
"""Table entries evaluated at once; bounds the memory of wide accumulators."""


@dataclass(frozen=True, eq=False)
class Table:
    """A chain evaluated: rows are the signal's points, columns its channels, or all of its elements.

    `pooled` are the values where the (only) pending max pool stands, `values` those at the end.
    `pooled` is None without a pool.
    """

    values: Array
    pooled: Array | None


def per_channel(graph: Graph, signal: Signal) -> bool:
    """Whether every position of a channel is treated alike, so that one column a channel suffices."""
    segments = [item for item in signal.pending if isinstance(item, Segment)]
    for segment in segments:
        shape = segment.index.shape
        if not np.array_equal(segment.index, raster_index(shape)) or shape[1] != signal.stream.channels:
            return False
        for node in segment.nodes:
            for name in node.input[:2] if node.op_type == "BatchNormalization" else node.input:
                constant = graph.constants.get(name)
                if node.op_type == "BatchNormalization" or constant is None:
                    continue
                trailing = (1,) * (len(shape) - constant.ndim) + constant.shape
                if any(extent != 1 for extent in trailing[2:]):
                    return False
    return True


def evaluate(
    graph: Graph, signal: Signal, last: Sequence[onnx.NodeProto], end: str, shift: float = 0.0
) -> Table:
    """The pending chain of `signal` and the nodes `last` behind it, up to tensor `end`.

    `shift` moves the input by that many times the signal's rounding bound.
    """
    columns = signal.stream.channels if per_channel(graph, signal) else signal.stream.size
    scale = np.broadcast_to(_spread(signal.scale, columns), columns)
    rounding = np.broadcast_to(_spread(np.asarray(signal.rounding), columns), columns)
    chunks = []
    size = max(1, CHUNK // columns)
    for at in range(0, len(signal.points), size):
        integers = signal.multiplier * signal.points[at : at + size, None].astype(np.float64) + signal.offset
        values = integers * scale
        spread = rounding + np.abs(values) * 2.0**-22 * (rounding > 0)
        chunks.append(_run(graph, signal, (values + shift * spread).astype(np.float32), last, end))
    pooled = (
        None
        if chunks[0].pooled is None
        else np.concatenate([c.pooled for c in chunks if c.pooled is not None])
    )
    return Table(np.concatenate([chunk.values for chunk in chunks]), pooled)


def _spread(per: npt.NDArray[np.float64], columns: int) -> npt.NDArray[np.float64]:
    """One value, one a channel, or the latter repeated over all positions."""
    return per if per.size in (1, columns) else np.tile(per, columns // per.size)


def _run(graph: Graph, signal: Signal, values: Array, last: Sequence[onnx.NodeProto], end: str) -> Table:
    pooled = None
    tensor_of: Callable[[Segment, str], str] = lambda segment, name: (
        segment.nodes[-1].output[0] if segment.nodes else name
    )
    for place, item in enumerate(signal.pending):
        if isinstance(item, Pooled):
            pooled = values
            continue
        final = place == len(signal.pending) - 1
        nodes = (*item.nodes, *(last if final else ()))
        if not nodes:
            continue
        shape, whole = item.index.shape, values.shape[1] == item.index.size
        gathered = values[:, item.index.ravel()] if whole else values
        laid = gathered.reshape(len(values), *(shape[1:] if whole else (shape[1], *(1 for _ in shape[2:]))))
        result = graph.run(nodes, {item.tensor: laid})[
            end if final and last else tensor_of(item, item.tensor)
        ]
        flat = result.reshape(len(values), -1)
        if whole:
            values = np.empty_like(flat)
            values[:, item.index.ravel()] = flat
        else:
            values = flat
    return Table(values, pooled)


def levels_to_channels(levels: Ints, channels: int) -> Ints:
    """A table over all elements made one over the channels, where the positions agree; else unchanged."""
    spread = levels.reshape(len(levels), -1, channels)
    return spread[:, 0] if np.all(spread == spread[:, :1]) else levels
