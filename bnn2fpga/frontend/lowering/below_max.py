"""Scores less the largest of their row, as a softmax starts: the difference is what weights depend on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import onnx

from bnn2fpga.design.layers import BelowMax
from bnn2fpga.design.stream import Stream
from bnn2fpga.errors import ModelError
from bnn2fpga.frontend.graph.execute import Graph
from bnn2fpga.frontend.lowering.builder import Builder
from bnn2fpga.frontend.lowering.dot_product import significant_bits
from bnn2fpga.frontend.lowering.linear_chain import NEARLY, as_affine
from bnn2fpga.frontend.lowering.signal import Segment, Signal, Span

EXACT_BITS = 24
"""Of a float32's mantissa."""


@dataclass(frozen=True, eq=False)
class RowMax:
    """The largest of each row of `signal`'s tensor; waits for the Sub behind it."""

    signal: Signal


def lower_below_max(
    graph: Graph, build: Builder, node: onnx.NodeProto, left: Signal, largest: RowMax
) -> Signal:
    """`left` less `largest`, where both are the same tensor and a row lies side by side in the stream."""
    if (
        node.op_type != "Sub"
        or left.segment.tensor != largest.signal.segment.tensor
        or not _same(left, largest)
    ):
        raise ModelError(
            f"{node.name}: takes the largest of each row; legal: Sub of a tensor and its own ReduceMax along "
            "the last axis, as attention has it"
        )
    signal = None if left.padding or left.repeats else as_affine(graph, left)
    if signal is None or not _rises_alike(signal):
        raise ModelError(
            f"{node.name}: its scores are no integers of one positive scale, as with a bias by position; "
            "leave the bias out, or compare each score with a threshold of its own position alone"
        )
    columns = signal.index.shape[-1]
    rows = signal.index.reshape(-1, columns)
    order = np.argsort(rows[:, 0])
    if not np.array_equal(rows[order].ravel(), np.arange(rows.size)):
        raise ModelError(
            f"{node.name}: a row of its scores does not lie side by side; attend along the last axis"
        )
    port, kernel = build.add(
        node.name, BelowMax(Stream((len(rows), columns), signal.stream.type)), signal.port
    )
    build.say(f"each score less the largest of its {columns}")
    (stream,) = kernel.outputs
    scale = np.ravel(signal.scale)[:1] * signal.multiplier
    low, high = signal.points[0], signal.points[-1]
    reals = signal.reals(np.array([low, high]))
    # both sides of the float32 difference are rounded where nodes stand between the integers and them
    rounded = 0.0 if left.bare else 2 * NEARLY * float(np.abs(reals).max())
    bits = significant_bits(float(scale[0])) + int(high - low).bit_length()
    return replace(
        signal,
        port=port,
        stream=stream,
        scale=scale,
        bias=0.0,
        multiplier=1,
        offset=0,
        points=Span.between(int(low - high), 0),
        rounding=2 * float(np.max(signal.rounding)) + rounded,
        relative_rounding=signal.relative_rounding + (0.0 if left.bare and bits <= EXACT_BITS else 2.0**-24),
        pending=(Segment(node.output[0], left.index),),
        spread=signal.spread,
    )


def _rises_alike(signal: Signal) -> bool:
    """Whether all channels have one positive scale and one bias: then the largest integer is the row's."""
    alike = all(np.all(np.ravel(part) == np.ravel(part)[0]) for part in (signal.scale, signal.bias))
    return alike and float(np.ravel(signal.scale)[0]) > 0


def _same(left: Signal, largest: RowMax) -> bool:
    """Whether both come through the same nodes."""
    return left.port == largest.signal.port and left.segment.nodes == largest.signal.segment.nodes
