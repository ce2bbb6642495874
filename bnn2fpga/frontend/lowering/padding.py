"""Lowers a constant border around a feature map, and the quantizer that may follow it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import numpy as np
import onnx

from bnn2fpga.design.integers import TERNARY
from bnn2fpga.design.layers import Dot
from bnn2fpga.errors import ModelError
from bnn2fpga.frontend.graph.execute import Graph
from bnn2fpga.frontend.graph.quantizer import attribute
from bnn2fpga.frontend.lowering.activation import lower_quantizer
from bnn2fpga.frontend.lowering.builder import Builder
from bnn2fpga.frontend.lowering.dot_product import as_image
from bnn2fpga.frontend.lowering.signal import Padding, Parameter, Segment, Signal, raster_index


def lower_pad(build: Builder, values: Mapping[str, object], node: onnx.NodeProto, signal: Signal) -> Signal:
    """A constant border, which the convolution behind it takes over; or channels of zeros."""
    constants = [values[name] for name in node.input[1:] if name]
    amounts = (
        constants[0].values
        if constants and isinstance(constants[0], Parameter)
        else attribute(node, "pads", [])
    )
    border = (
        constants[1].values
        if len(constants) > 1 and isinstance(constants[1], Parameter)
        else attribute(node, "value", 0.0)
    )
    pads = np.asarray(amounts, np.int64).reshape(-1)
    mode = cast(bytes, attribute(node, "mode", b"constant"))
    if mode != b"constant":
        raise ModelError(
            f"{node.name}: pads by {mode.decode()}; legal is a constant border (padding_mode='zeros'), or "
            "frames that come padded: take the Pad out of the network and apply it to them"
        )
    channels = (
        pads.size == 8 and pads.min() >= 0 and pads[[1, 5]].any() and not pads[[0, 2, 3, 4, 6, 7]].any()
    )
    if channels and not float(np.asarray(border).item()):
        return _zero_channels(build, node, signal, int(pads[1]), int(pads[5]))
    if pads.size != 8 or pads[[0, 1, 4, 5]].any() or pads.min() < 0 or signal.padding or signal.pools:
        raise ModelError(
            f"{node.name}: legal is one constant padding of height and width, right before a quantizer or a "
            "convolution, or channels of zeros"
        )
    top, left, bottom, right = pads[[2, 3, 6, 7]].tolist()
    padding = Padding((top, left, bottom, right), float(np.asarray(border).item()))
    inside = Segment(node.output[0], signal.index)
    return replace(signal, padding=padding, pending=(*signal.pending, inside))


def _zero_channels(build: Builder, node: onnx.NodeProto, signal: Signal, before: int, behind: int) -> Signal:
    """The channels between others of zeros, by a product with zeros and ones."""
    if not signal.bare or signal.repeats or signal.padding or signal.scale.size > 1 or signal.offset:
        raise ModelError(f"{node.name}: adds channels behind float nodes; put a quantizer in front of it")
    image, order = as_image(node, signal)
    weights = np.zeros((before + image.channels + behind, image.channels), np.int64)
    weights[before + np.arange(image.channels), order] = 1
    port, kernel = build.add(node.name, Dot(image, weights, TERNARY), signal.port)
    build.say(f"{before + behind:,} channels of zeros, by weights of 0 and 1")
    index = raster_index((1, len(weights), *signal.index.shape[2:]))
    points = np.union1d(np.asarray(signal.points), [0])
    return replace(
        signal, port=port, stream=kernel.outputs[0], points=points, pending=(Segment(node.output[0], index),)
    )


def quantize_padded(
    graph: Graph, build: Builder, node: onnx.NodeProto, signal: Signal, exact_sums: bool
) -> Signal:
    """A quantizer; of a padded tensor it quantizes the border's value too."""
    inside = lower_quantizer(graph, build, node, signal, exact_sums)
    if not signal.padding:
        return inside
    border = np.full((1,) * signal.index.ndim, signal.padding.value, np.float32)
    values = graph.run([node], {node.input[0]: border})[node.output[0]]
    if values.min() != values.max():
        raise ModelError(f"{node.name}: the border of a padded tensor differs from channel to channel")
    return replace(inside, padding=Padding(signal.padding.pads, float(values.flat[0])))
