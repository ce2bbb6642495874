"""Lowers nearest upsampling, and transposed convolutions: those of an image with zeros between its pixels."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
import onnx

from bnn2fpga.design.layers import Enlarge
from bnn2fpga.errors import ModelError
from bnn2fpga.frontend.graph.execute import Array, Graph
from bnn2fpga.frontend.graph.quantizer import attribute
from bnn2fpga.frontend.lowering.builder import Builder
from bnn2fpga.frontend.lowering.dot_product import Sliding, as_image, convolve, explicit_pads, pair
from bnn2fpga.frontend.lowering.refusals import refusal
from bnn2fpga.frontend.lowering.signal import Parameter, Segment, Signal, raster_index

UPSAMPLING = frozenset({"Resize", "Upsample"})


def lower_upsampling(graph: Graph, build: Builder, node: onnx.NodeProto, signal: Signal) -> Signal:
    """Every pixel a whole number of times along each axis; anything else is refused."""
    shape, before = graph.shape(node.output[0]), signal.index.shape
    places = graph.run([node], {node.input[0]: signal.index.astype(np.float32)})[node.output[0]]
    if len(shape) != 4 or len(before) != 4 or shape[2] % before[2] or shape[3] % before[3]:
        raise refusal(node)
    factors = shape[2] // before[2], shape[3] // before[3]
    if not np.array_equal(places, signal.index.repeat(factors[0], 2).repeat(factors[1], 3)):
        raise refusal(node)
    enlarged, order = _enlarged(build, node, signal, factors, sparse=False)
    build.say(f"every pixel {factors[0]} x {factors[1]} times")
    return replace(enlarged, pending=(Segment(node.output[0], raster_index(shape, order)),))


def lower_conv_transpose(build: Builder, node: onnx.NodeProto, signal: Signal, weights: Parameter) -> Signal:
    """A convolution, with its weights turned round, of the image with zeros between its pixels."""
    kernel = cast(tuple[int, int], weights.values.shape[2:])
    if weights.values.ndim != 4 or attribute(node, "output_shape", None) or len(node.input) > 2:
        raise ModelError(
            f"{node.name}: legal is a 2-D ConvTranspose with pads and output_padding, without a bias"
        )
    stride, dilation, group = (
        pair(node, "strides"),
        pair(node, "dilations"),
        cast(int, attribute(node, "group", 1)),
    )
    own = explicit_pads(node, (1, 1), kernel)
    added = cast(list[int], attribute(node, "output_padding", [0, 0]))
    reach = [dilation[axis] * (kernel[axis] - 1) for axis in (0, 1)]
    # the zeros behind the last pixel are there already
    behind = [reach[axis] - own[axis + 2] + added[axis] - (stride[axis] - 1) for axis in (0, 1)]
    pads = (reach[0] - own[0], reach[1] - own[1], behind[0], behind[1])
    turned = _turned(weights, group)
    if min(pads) < 0:
        # what is cropped meets taps of zero
        crops = cast(tuple[int, int, int, int], tuple(max(0, -amount) for amount in pads))
        turned, dilation = _widened(turned, dilation, crops), (1, 1)
        kernel = cast(tuple[int, int], turned.values.shape[2:])
        pads = cast(tuple[int, int, int, int], tuple(max(0, amount) for amount in pads))
        build.say(f"crops {crops} pixels by a kernel of {kernel[0]}x{kernel[1]} with taps of zero")
    bipolar = signal.stream.type.bipolar
    if stride != (1, 1):
        signal, order = _enlarged(build, node, signal, stride, sparse=True)
        height, width, channels = signal.stream.shape
        index = raster_index((1, channels, height, width), order)
        signal = replace(signal, pending=(Segment(node.input[0], index),))
    sliding = Sliding(kernel, (1, 1), pads, 0, dilation, group)
    build.say("a convolution of the image with zeros between its pixels")
    return convolve(build, node, signal, turned, sliding, whole_zeros=bipolar)


def _enlarged(
    build: Builder, node: onnx.NodeProto, signal: Signal, factors: tuple[int, int], sparse: bool
) -> tuple[Signal, Array]:
    """The signal's pixels in a larger image, and the order of its channels."""
    if not signal.bare or signal.repeats or signal.padding:
        raise ModelError(f"{node.name}: enlarges float values; put a quantizer in front of it")
    if sparse and (signal.offset or np.any(signal.bias)):
        raise ModelError(f"{node.name}: its input has no single scale; put a quantizer in front of it")
    image, order = as_image(node, signal)
    port, kernel = build.add(
        f"{node.name}_zeros" if sparse else node.name, Enlarge(image, factors, sparse), signal.port
    )
    return replace(signal, port=port, stream=kernel.outputs[0]), order


def _widened(weights: Parameter, dilation: tuple[int, int], crops: tuple[int, int, int, int]) -> Parameter:
    """The weights without dilation, and with zeros at the top, left, bottom and right of every kernel."""
    top, left, bottom, right = crops

    def widened(part: Array) -> Array:
        rows, columns = ((size - 1) * step + 1 for size, step in zip(part.shape[2:], dilation, strict=True))
        dense = np.zeros((*part.shape[:2], rows, columns), part.dtype)
        dense[:, :, :: dilation[0], :: dilation[1]] = part
        return np.pad(dense, ((0, 0), (0, 0), (top, bottom), (left, right)))

    def everywhere(scales: Array) -> Array:
        shape = widened(scales).shape
        return np.broadcast_to(scales[:, :, :1, :1], shape)

    integers = None if weights.integers is None else widened(weights.integers)
    scales = None if weights.scales is None else everywhere(weights.scales)
    return Parameter(widened(weights.values), integers, scales, weights.type)


def _turned(weights: Parameter, groups: int) -> Parameter:
    """(in, out / groups, kh, kw) weights as those of a convolution, (out, in / groups, kh, kw)."""

    def turned(part: Array) -> Array:
        each = [own.swapaxes(0, 1) for own in np.split(part, groups)]
        return np.concatenate(each)[:, :, ::-1, ::-1]

    integers = None if weights.integers is None else turned(weights.integers)
    scales = None if weights.scales is None else turned(weights.scales)
    return Parameter(turned(weights.values), integers, scales, weights.type)
