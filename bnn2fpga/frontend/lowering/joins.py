"""Add and Concat of two streams: exact where both are integers on one grid."""

from __future__ import annotations

from dataclasses import replace
from math import log2

import numpy as np
import numpy.typing as npt
import onnx

from bnn2fpga.design.integers import Ints, IntType
from bnn2fpga.design.layers import Concat, Sum
from bnn2fpga.design.stream import Stream
from bnn2fpga.errors import ModelError
from bnn2fpga.frontend.graph.execute import Graph
from bnn2fpga.frontend.lowering.builder import Builder
from bnn2fpga.frontend.lowering.common_grid import alike, power_between
from bnn2fpga.frontend.lowering.dot_product import significant_bits
from bnn2fpga.frontend.lowering.linear_chain import as_linear
from bnn2fpga.frontend.lowering.operators import only_quantized
from bnn2fpga.frontend.lowering.residual_trunk import add_to_trunk, integers
from bnn2fpga.frontend.lowering.signal import Segment, Signal, Span

Floats = npt.NDArray[np.float64]

ROUND = "allow trunk_bits (--trunk-bits 4: the branch is rounded to a grid)"
WAY_OUT = f"give both branches one scale, or scales whose ratio is a power of two, or {ROUND}"


def lower_add(
    graph: Graph,
    build: Builder,
    node: onnx.NodeProto,
    left: Signal,
    right: Signal,
    trunk_bits: int | None,
) -> Signal:
    """The sum of two integer tensors whose scales, channel by channel, differ by one power of two.

    With `trunk_bits` a sum of others is rounded to a grid (see `trunk`), otherwise a ModelError.
    """
    if left.index.shape != right.index.shape or not np.array_equal(left.index, right.index):
        raise ModelError(f"{node.name}: adds tensors that arrive in different orders or shapes")
    if trunk_bits is not None:
        lines = [as_linear(graph, signal) for signal in (left, right)]
        if lines[0] is None or lines[1] is None or power_between(lines[0], lines[1]) is None:
            return add_to_trunk(graph, build, node, left, right, trunk_bits)
    left, right = (_integers(graph, build, node, signal, None) for signal in (left, right))
    shift = power_between(left, right)
    if shift is None:
        raise ModelError(
            f"{node.name}: adds tensors of scales {left.scale.flat[0]:g} and "
            f"{right.scale.flat[0]:g} (channel 0), "
            f"which have no common integer grid; {WAY_OUT}"
        )
    up_left, up_right = max(0, shift), max(0, -shift)
    shifts = (up_left + log2(left.multiplier), up_right + log2(right.multiplier))
    offset = (left.offset << up_left) + (right.offset << up_right)
    up, down = int(shifts[0]), int(shifts[1])
    low = (int(left.points[0]) << up) + (int(right.points[0]) << down) + offset
    high = (int(left.points[-1]) << up) + (int(right.points[-1]) << down) + offset
    layer = Sum(left.stream, _viewed(right, left.stream), (up, down), offset, IntType.holding(low, high))
    port, kernel = build.add(node.name, layer, left.port, right.port)
    moved = " and ".join(map(str, layer.shifts))
    build.say(
        f"exact sum, branches shifted left by {moved}" if any(layer.shifts) else "exact sum on one grid"
    )
    (stream,) = kernel.outputs
    scale = np.minimum(left.scale, right.scale)
    largest = max(-low, high)
    exact = max(significant_bits(value) for value in np.ravel(scale)) + largest.bit_length() <= 24
    own = 0.0 if exact else 2.0**-23
    return Signal(
        port,
        stream,
        scale,
        Span.between(low, high),
        (Segment(node.output[0], left.index),),
        rounding=np.asarray(left.rounding) + np.asarray(right.rounding),
        relative_rounding=left.relative_rounding + right.relative_rounding + own,
        bias=left.bias + right.bias,
        grid_bits=max(left.grid_bits, right.grid_bits),
    )


def lower_concat(
    graph: Graph,
    build: Builder,
    node: onnx.NodeProto,
    axis: int,
    left: Signal,
    right: Signal,
    trunk_bits: int | None,
) -> Signal:
    """Two feature maps (1, C, …), or vectors, behind one another along the channels.

    With `trunk_bits`, float values before it are rounded to a grid (see `trunk`).
    """
    if axis % left.index.ndim != 1:
        raise ModelError(f"{node.name}: concatenates along axis {axis}; legal: 1, the channels")
    left, right = (_integers(graph, build, node, signal, trunk_bits) for signal in (left, right))
    left, right = alike(build, node, left, right, not only_quantized(graph, node.output[0]))
    kind = left.stream.type
    counts = [signal.index.shape[1] for signal in (left, right)]
    places = left.index.shape[2:]
    if right.index.shape[2:] != places or any(
        not np.array_equal(np.moveaxis(s.index[0], 0, -1).ravel(), np.arange(s.index.size))
        for s in (left, right)
    ):
        raise ModelError(f"{node.name}: its inputs do not arrive pixel by pixel, channels last")
    streams = [Stream((*places, count), kind) for count in counts]
    port, kernel = build.add(node.name, Concat(streams[0], streams[1]), left.port, right.port)
    build.say("the channels behind one another")
    (stream,) = kernel.outputs
    index = np.moveaxis(np.arange(stream.size).reshape(stream.shape), -1, 0)[None]
    return replace(
        left,
        port=port,
        stream=stream,
        scale=_joined(left, right, left.scale, right.scale),
        bias=_joined(left, right, left.bias, right.bias),
        points=left.points if np.array_equal(left.points, right.points) else _all_of(left, right),
        rounding=np.maximum(np.max(left.rounding), np.max(right.rounding)),
        relative_rounding=max(left.relative_rounding, right.relative_rounding),
        grid_bits=max(left.grid_bits, right.grid_bits),
        pending=(Segment(node.output[0], index),),
    )


def _all_of(left: Signal, right: Signal) -> Ints:
    both: Ints = np.union1d(left.points, right.points)
    return both


def _joined(left: Signal, right: Signal, first: npt.ArrayLike, second: npt.ArrayLike) -> Floats:
    """Parameters of both sides' channels; one number if they are all the same."""
    both = np.concatenate(
        [
            np.broadcast_to(values, signal.stream.channels)
            for signal, values in ((left, first), (right, second))
        ]
    ).astype(np.float64)
    return both[:1] if np.all(both == both[0]) else both


def _integers(
    graph: Graph, build: Builder, node: onnx.NodeProto, signal: Signal, trunk_bits: int | None
) -> Signal:
    linear = integers(graph, build, node, signal, trunk_bits)
    if linear is None:
        raise ModelError(
            f"{node.name}: joins {signal.port.node} behind float nodes that are no exact integers "
            "(a bias off the grid, a slope or a rounded scale); quantize the branch in front of it, "
            f"or {ROUND}"
        )
    return linear


def _viewed(signal: Signal, like: Stream) -> Stream:
    """The signal's stream under the other's shape; the order of its elements is the same."""
    return Stream(like.shape, signal.stream.type)
