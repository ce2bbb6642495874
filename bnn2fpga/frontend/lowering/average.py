"""Average pools: sums, whose 1/taps goes into the scale."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import onnx

from bnn2fpga.design.layers import Windows, WindowSum
from bnn2fpga.design.stream import Stream
from bnn2fpga.errors import ModelError
from bnn2fpga.frontend.graph.execute import Graph
from bnn2fpga.frontend.graph.quantizer import attribute
from bnn2fpga.frontend.lowering.builder import Builder
from bnn2fpga.frontend.lowering.dot_product import as_image, explicit_pads, pair
from bnn2fpga.frontend.lowering.residual_trunk import integers
from bnn2fpga.frontend.lowering.signal import Segment, Signal, Span, raster_index


def lower_average_pool(
    graph: Graph, build: Builder, node: onnx.NodeProto, signal: Signal, trunk_bits: int | None
) -> Signal:
    """AveragePool without padding, or GlobalAveragePool, of an integer tensor.

    With `trunk_bits`, float values before it are rounded to a grid (see `trunk`).
    """
    linear = integers(graph, build, node, signal, trunk_bits)
    if linear is None or linear.padding:
        raise ModelError(f"{node.name}: averages float values; put a quantizer in front of it")
    image, order = as_image(node, linear)
    height, width, channels = image.shape
    kernel = cast(tuple[int, int], tuple(cast(list[int], attribute(node, "kernel_shape", [height, width]))))
    if any(explicit_pads(node, (height, width), kernel)) or attribute(node, "ceil_mode", 0):
        raise ModelError(f"{node.name}: a padded average pool; legal: no padding, ceil_mode=0")
    taps = kernel[0] * kernel[1]
    if kernel == (height, width):
        # one window as large as the image needs no memory for it
        source, port, places = Stream((image.size,), image.type), linear.port, (1, 1)
    else:
        layer = Windows(image, kernel, pair(node, "strides"), dilation=pair(node, "dilations"))
        port, window = build.add(f"{node.name}_window", layer, linear.port)
        source, places = window.outputs[0], cast(tuple[int, int], window.outputs[0].shape[:2])
    port, pool = build.add(node.name, WindowSum(source, taps), port)
    build.say(f"sums of {taps:,}, the division goes into the scale")
    stream = Stream((*places, channels), pool.outputs[0].type)
    index = raster_index((1, channels, *places), order)
    # a rounded trunk does not claim to be what float32 computes
    rounded = 0.0 if taps & (taps - 1) == 0 or linear.grid_bits else 2.0**-22
    return replace(
        linear,
        port=port,
        stream=stream,
        scale=linear.scale / taps,
        offset=linear.offset * taps,
        points=_sums(linear, taps, stream),
        pending=(Segment(node.output[0], index),),
        relative_rounding=linear.relative_rounding + rounded,
        grid_bits=linear.grid_bits + taps.bit_length() - 1,
        spread=0.0,
    )


def _sums(signal: Signal, taps: int, stream: Stream) -> Span:
    """The integers that a sum of `taps` of the signal's points can be."""
    low, high = taps * int(signal.points[0]), taps * int(signal.points[-1])
    step = signal.stream.type.step
    return Span.between(max(low, stream.type.low), min(high, stream.type.high), step)
