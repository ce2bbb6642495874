"""Average pools: sums, whose 1/taps goes into the scale."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt
from typing import cast

import numpy as np
import onnx

from bnn2fpga.design.layers import Windows, WindowSum
from bnn2fpga.design.stream import Stream
from bnn2fpga.errors import ModelError
from bnn2fpga.frontend.graph.execute import Graph
from bnn2fpga.frontend.graph.quantizer import attribute
from bnn2fpga.frontend.lowering.builder import Builder
from bnn2fpga.frontend.lowering.dot_product import (
    CONFIDENCE,
    as_image,
    explicit_pads,
    pair,
    significant_bits,
)
from bnn2fpga.frontend.lowering.linear_chain import NEARLY, chain_values, sampled
from bnn2fpga.frontend.lowering.residual_trunk import integers
from bnn2fpga.frontend.lowering.signal import Segment, Signal, Span, raster_index
from bnn2fpga.frontend.lowering.whole_windows import neighbouring_windows


def lower_average_pool(
    graph: Graph, build: Builder, node: onnx.NodeProto, signal: Signal, trunk_bits: int | None
) -> Signal:
    """AveragePool without padding, or GlobalAveragePool, of an integer tensor or a straight line of one.

    With `trunk_bits`, other float values before it are rounded to a grid (see `trunk`).
    """
    linear = integers(graph, build, node, signal, trunk_bits)
    if linear is None:
        return _behind_line(graph, build, node, signal)
    if linear.padding:
        raise ModelError(f"{node.name}: averages a padded tensor; pad in the pool, or before a convolution")
    return _averaged(build, node, linear)


def _behind_line(graph: Graph, build: Builder, node: onnx.NodeProto, signal: Signal) -> Signal:
    """The pool on the integers, then the float nodes before it, if these are a straight line a channel.

    Both orders give the same real numbers; by how much float32 rounding may move them is part of the signal.
    """
    start, points = signal.pending[0], sampled(signal.points)
    plain = len(signal.pending) == 1 and not signal.padding
    line = chain_values(graph, signal, points) if plain else None
    integers = signal.multiplier * points + signal.offset
    if line is not None and len(points) > 1:
        gain = (line[-1] - line[0]) / (integers[-1] - integers[0])
        off = np.abs(integers[:, None] * gain + line[0] - gain * integers[0] - line).max(axis=0)
        largest = np.abs(line).max(axis=0)
    if line is None or len(points) < 2 or np.any(gain == 0) or np.any(off > NEARLY * largest):
        raise ModelError(
            f"{node.name}: averages float values; put a quantizer in front of it, or allow trunk_bits "
            "(--trunk-bits 4: they are rounded to a grid)"
        )
    assert isinstance(start, Segment)
    bare = replace(signal, pending=(Segment(start.tensor, signal.index),))
    pooled = _averaged(build, node, bare)
    moved = np.maximum(2 * off, 2.0**-22 * largest) / np.abs(gain) * np.broadcast_to(signal.scale, gain.shape)
    nodes = tuple(one for item in signal.pending if isinstance(item, Segment) for one in item.nodes)
    build.say("on the integers, as the float nodes in front of it are straight lines; these come behind it")
    return replace(
        pooled,
        rounding=np.broadcast_to(pooled.rounding, gain.shape) + moved,
        pending=(Segment(start.tensor, pooled.index, nodes), *pooled.pending),
    )


def _averaged(build: Builder, node: onnx.NodeProto, linear: Signal) -> Signal:
    """Sums of a bare signal."""
    size = cast(tuple[int, int], linear.index.shape[2:])
    kernel = cast(tuple[int, int], tuple(cast(list[int], attribute(node, "kernel_shape", list(size)))))
    if any(explicit_pads(node, size, kernel)) or attribute(node, "ceil_mode", 0):
        raise ModelError(f"{node.name}: a padded average pool; legal: no padding, ceil_mode=0")
    taps = kernel[0] * kernel[1]
    rows = neighbouring_windows(linear, kernel)
    if rows is not None:
        port, pool = build.add(node.name, WindowSum(rows, taps), linear.port)
        stream, index = pool.outputs[0], np.arange(rows.shape[0]).reshape(1, -1, 1, 1)
        linear = replace(linear, scale=linear.scale[:1], bias=np.ravel(linear.bias)[:1])
    else:
        image, order = as_image(node, linear)
        if kernel == size:
            # one window as large as the image needs no memory for it
            source, port, places = Stream((image.size,), image.type), linear.port, (1, 1)
        else:
            layer = Windows(image, kernel, pair(node, "strides"), dilation=pair(node, "dilations"))
            port, window = build.add(f"{node.name}_window", layer, linear.port)
            source, places = window.outputs[0], cast(tuple[int, int], window.outputs[0].shape[:2])
        port, pool = build.add(node.name, WindowSum(source, taps), port)
        stream = Stream((*places, image.channels), pool.outputs[0].type)
        index = raster_index((1, image.channels, *places), order)
    build.say(f"sums of {taps:,}, the division goes into the scale")
    # a rounded trunk does not claim to be what float32 computes
    rounded = 0.0 if taps & (taps - 1) == 0 or linear.grid_bits else 2.0**-22
    unit, largest = (0.0, 0) if linear.grid_bits else _addition(linear, taps)
    added = unit * largest * linear.scale + linear.rounding
    return replace(
        linear,
        port=port,
        stream=stream,
        scale=linear.scale / taps,
        rounding=np.max(added) if rows is not None else added,
        offset=linear.offset * taps,
        points=_sums(linear, taps, stream),
        pending=(Segment(node.output[0], index),),
        relative_rounding=linear.relative_rounding + rounded + unit * sqrt(taps),
        grid_bits=linear.grid_bits + taps.bit_length() - 1,
        spread=0.0,
    )


def _addition(signal: Signal, taps: int) -> tuple[float, int]:
    """By how much of a term float32 rounds a sum of `taps`, as in a dot product; and the largest integer."""
    ends = (signal.multiplier * int(signal.points[place]) + signal.offset for place in (0, -1))
    largest = max(map(abs, ends))
    bits = max(map(significant_bits, np.ravel(signal.scale))) + (largest * taps).bit_length()
    exact = bits <= 24 and not np.any(signal.bias)
    return (0.0 if exact else CONFIDENCE * 2.0**-24), largest


def _sums(signal: Signal, taps: int, stream: Stream) -> Span:
    """The integers that a sum of `taps` of the signal's points can be."""
    low, high = taps * int(signal.points[0]), taps * int(signal.points[-1])
    step = signal.stream.type.step
    return Span.between(max(low, stream.type.low), min(high, stream.type.high), step)
