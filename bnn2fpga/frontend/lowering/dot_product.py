"""MatMul and Conv: integer dot products at every pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import cast

import numpy as np
import numpy.typing as npt
import onnx

from bnn2fpga.design.graph import Port
from bnn2fpga.design.integers import BIPOLAR, TERNARY, Ints, IntType
from bnn2fpga.design.layers import ChannelDot, Dot, Windows
from bnn2fpga.design.stream import Stream
from bnn2fpga.errors import ModelError
from bnn2fpga.frontend.graph.execute import Array
from bnn2fpga.frontend.graph.quantizer import attribute
from bnn2fpga.frontend.lowering.builder import Builder
from bnn2fpga.frontend.lowering.grouped import lower_groups, ungrouped
from bnn2fpga.frontend.lowering.repeated_channels import one_source, repeated
from bnn2fpga.frontend.lowering.signal import Parameter, Segment, Signal, Span, raster_index
from bnn2fpga.kernels.bases.matrix_vector import MatrixVector
from bnn2fpga.kernels.bases.weight_planes import MOST_BITS
from bnn2fpga.kernels.depthwise_unit import DepthwiseUnit

CONFIDENCE = 4
"""Standard deviations of a float32 sum's rounding that are allowed for."""


def lower_matmul(build: Builder, node: onnx.NodeProto, signal: Signal, weights: Parameter) -> Signal:
    """(1, …, K) times constant (K, M): a dot product for each place of the leading axes."""
    integers, scales, kind = _weights(node, weights)
    if integers.ndim != 2:
        raise ModelError(f"{node.name}: weights of shape {integers.shape}; legal: (inputs, outputs)")
    inputs = integers.shape[0]
    places = signal.index.reshape(-1, inputs)
    order = places[0] - places[0].min()
    expected = np.arange(len(places))[:, None] * inputs + order
    if not np.array_equal(places, expected):
        raise ModelError(
            f"{node.name}: its input arrives in another order than it needs; remove the transpose"
        )
    if signal.padding:
        raise ModelError(
            f"{node.name}: a padded tensor feeds a matrix product; pad before a convolution only"
        )
    in_order = np.empty_like(integers)
    in_order[order] = integers
    shape = (inputs,) if len(places) == 1 else (len(places), inputs)
    layer = Dot(Stream(shape, signal.stream.type), in_order.T, kind)
    result = _dot(build, node, signal, layer, scales)
    graph_shape = (*signal.index.shape[:-1], integers.shape[1])
    index = np.arange(result.stream.size).reshape(graph_shape)
    return replace(result, pending=(Segment(node.output[0], index),))


def lower_conv(build: Builder, node: onnx.NodeProto, signal: Signal, weights: Parameter) -> Signal:
    """A 2-D convolution: sliding windows, then a dot product for each of them."""
    integers, scales, _ = _weights(node, weights)
    if integers.ndim != 4:
        raise ModelError(f"{node.name}: a {integers.ndim - 2}-D convolution; legal: 1-D and 2-D")
    group = cast(int, attribute(node, "group", 1))
    if len(node.input) > 2:
        raise ModelError(f"{node.name}: has a bias input; run ExtractBiasFromConv, which makes it an Add")
    kernel = cast(tuple[int, int], integers.shape[2:])
    stride, dilation = pair(node, "strides"), pair(node, "dilations")
    sliding = Sliding(kernel, stride, *_pads(node, signal, kernel), dilation, group)
    copied = one_source(integers)
    plain = stride == (1, 1) and not any(sliding.pads) and group == 1 and signal.padding is None
    if copied is not None and plain and np.all(scales == scales.flat[0]) and signal.bare:
        as_image(node, signal)
        scaled = replace(signal, scale=signal.scale * scales.flat[0])
        return repeated(node, scaled, signal.index[:, copied])
    # a zero of another type may be any channel's own
    return convolve(build, node, signal, weights, sliding, whole_zeros=signal.stream.type.bipolar)


@dataclass(frozen=True)
class Sliding:
    """How the windows of a convolution lie; `group` is ONNX'."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    pads: tuple[int, int, int, int]
    pad_value: int
    dilation: tuple[int, int]
    group: int


def convolve(
    build: Builder,
    node: onnx.NodeProto,
    signal: Signal,
    weights: Parameter,
    sliding: Sliding,
    whole_zeros: bool,
) -> Signal:
    """The dot products of (out, in / group, kh, kw) weights with all windows.

    With `whole_zeros` a zero in one channel of a pixel, as padding brings it, is in all of them.
    """
    integers, scales, kind = _weights(node, weights)
    group, pads, pad_value = sliding.group, sliding.pads, sliding.pad_value
    depthwise = group == signal.index.shape[1] == len(integers) and group != 1
    image, order = as_image(node, signal)
    shuffled = not np.array_equal(order, np.arange(len(order)))
    if shuffled and group != 1 and not depthwise:
        # the groups' channels do not lie side by side; weights of zero in between cost less than moving them
        integers, scales, group = ungrouped(integers, group), np.tile(scales, (1, group, 1, 1)), 1
        kind = TERNARY if kind.bipolar else kind
    if shuffled:
        arrival, axis = np.argsort(order), 0 if depthwise else 1
        integers, scales = integers.take(arrival, axis), scales.take(arrival, axis)
        build.say("the order of the channels goes into the weights")
    port = signal.port
    layer = Windows(image, sliding.kernel, sliding.stride, pads, sliding.dilation, pad_value)
    per_output = scales.reshape(len(integers), -1).T
    if group != 1 and not depthwise:
        port, wide, units = lower_groups(build, node.name, port, layer, integers, kind, group)
        places = units[0].outputs[0].shape[:-1]
        stream = Stream((*places, len(integers)), wide)
        result = _summed(node, signal, port, stream, units, per_output)
        build.say(f"{group} groups of channels, each a convolution of its own, {kind} weights")
    else:
        if sliding.kernel != (1, 1) or sliding.stride != (1, 1) or any(pads):
            port, window = build.add(f"{node.name}_window", layer, port)
            image = window.outputs[0]
        flat = integers.transpose(0, 2, 3, 1).reshape(len(integers), -1)
        tap = integers.shape[1] if whole_zeros else 1
        conv = ChannelDot(image, flat, kind) if depthwise else Dot(image, flat, kind, tap)
        result = _dot(build, node, replace(signal, port=port), conv, per_output)
    if any(pads):
        build.say(f"padded with {pad_value}" if pad_value else "padded with zeros, which add nothing")
    height, width, channels = result.stream.shape
    index = raster_index((1, channels, height, width), order if depthwise else None)
    return replace(result, pending=(Segment(node.output[0], index),))


def as_image(node: onnx.NodeProto, signal: Signal) -> tuple[Stream, Ints]:
    """The signal's stream as (H, W, C), and which of its channels each of the tensor's is.

    A ModelError if the pixels do not come in that order.
    """
    shape = signal.index.shape
    order = signal.index[0, :, 0, 0] if len(shape) == 4 else None
    if order is None or not np.array_equal(signal.index, raster_index(shape, order)):
        raise ModelError(
            f"{node.name}: its input {shape} does not arrive pixel by pixel; legal: (1, C, H, W) without "
            "a transpose or reshape that moves data from pixel to pixel"
        )
    return Stream((shape[2], shape[3], shape[1]), signal.stream.type), order


def pair(node: onnx.NodeProto, name: str) -> tuple[int, int]:
    """A two-number attribute, 1 and 1 if absent."""
    values = cast(list[int], attribute(node, name, [1, 1]))
    return values[0], values[1]


def explicit_pads(
    node: onnx.NodeProto, size: tuple[int, int], kernel: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Top, left, bottom, right of a Conv or MaxPool, `auto_pad` resolved."""
    auto = cast(bytes, attribute(node, "auto_pad", b"NOTSET")).decode()
    if auto in ("NOTSET", ""):
        top, left, bottom, right = cast(list[int], attribute(node, "pads", [0, 0, 0, 0]))
        return top, left, bottom, right
    if auto == "VALID":
        return 0, 0, 0, 0
    stride, dilation = pair(node, "strides"), pair(node, "dilations")
    totals = [
        max(0, (-(-size[a] // stride[a]) - 1) * stride[a] + dilation[a] * (kernel[a] - 1) + 1 - size[a])
        for a in (0, 1)
    ]
    less, more = [total // 2 for total in totals], [total - total // 2 for total in totals]
    before, after = (less, more) if auto == "SAME_UPPER" else (more, less)
    return before[0], before[1], after[0], after[1]


def _pads(
    node: onnx.NodeProto, signal: Signal, kernel: tuple[int, int]
) -> tuple[tuple[int, int, int, int], int]:
    """The border around the input and the integer that it holds."""
    size = cast(tuple[int, int], signal.index.shape[2:])
    own = explicit_pads(node, size, kernel)
    if signal.padding is None:
        return own, 0
    value = signal.padding.value / signal.scale.flat[0]
    if value % 1 or (any(own) and value):
        raise ModelError(
            f"{node.name}: its input is padded with {signal.padding.value}, which "
            + (
                "is followed by zero padding; pad once"
                if any(own)
                else f"is no multiple of {signal.scale.flat[0]}"
            )
        )
    top, left, bottom, right = (a + b for a, b in zip(own, signal.padding.pads, strict=True))
    return (top, left, bottom, right), int(value)


def has_integers(weights: Parameter) -> bool:
    """Whether they are quantized, all of one magnitude or 0, or small whole numbers, as FINN's are."""
    return weights.integers is not None or _unit(weights.values) > 0


def _unit(values: Array) -> float:
    """What the values of unquantized weights are multiples of; 0 where nothing shows it."""
    magnitude = np.abs(values)
    largest = float(magnitude.max(initial=0))
    if np.all((magnitude == 0) | (magnitude == largest)):
        return largest
    return float(largest < 1 << MOST_BITS and np.all(values == np.rint(values)))


def _weights(node: onnx.NodeProto, weights: Parameter) -> tuple[Ints, npt.NDArray[np.float64], IntType]:
    """The integers, their scales, and the type of those that occur, however many bits are declared."""
    if weights.integers is None or weights.scales is None:
        if not has_integers(weights):
            raise ModelError(
                f"{node.name}: float weights; quantize them to 1 to {MOST_BITS} bits "
                "(Brevitas: weight_quant with QuantType.BINARY, or INT and bit_width=4)"
            )
        unit = _unit(weights.values)
        scales = np.full(weights.values.shape, unit, np.float64)
        integers = np.rint(weights.values / unit).astype(np.int64)
    else:
        integers, scales = weights.integers, weights.scales.astype(np.float64)
    kind = _type_of(integers)
    if kind.bits > MOST_BITS:
        raise ModelError(
            f"{node.name}: weights of {integers.min()} to {integers.max()}; legal: 1 to {MOST_BITS} bits, "
            "-128 to 127 or 0 to 255; quantize them to fewer bits (Brevitas: bit_width=8)"
        )
    return integers, scales, kind


def _type_of(integers: Ints) -> IntType:
    """The smallest type of weights that holds them."""
    low, high = int(integers.min()), int(integers.max())
    if np.all(np.abs(integers) == 1):
        return BIPOLAR
    return TERNARY if (low, high) == (-1, 1) else IntType.holding(low, high)


def _dot(
    build: Builder,
    node: onnx.NodeProto,
    signal: Signal,
    layer: Dot | ChannelDot,
    scales: npt.NDArray[np.float64],
) -> Signal:
    """Adds the dot products of `layer`, weights (M, K)."""
    port, kernel = build.add(node.name, layer, signal.port)
    assert isinstance(kernel, MatrixVector | DepthwiseUnit)
    build.say(
        f"{'a kernel of its own for each channel: ' if isinstance(layer, ChannelDot) else ''}"
        f"sums of {layer.weights.shape[1]:,} products, {signal.stream.type} inputs times "
        f"{layer.weight_type} weights"
    )
    return _summed(node, signal, port, kernel.outputs[0], [kernel], scales)


def _summed(
    node: onnx.NodeProto,
    signal: Signal,
    port: Port,
    stream: Stream,
    units: Sequence[MatrixVector | DepthwiseUnit],
    scales: npt.NDArray[np.float64],
) -> Signal:
    """The sums that `units` put on `stream`; `scales` (K, M) must not vary along K."""
    if not signal.bare:
        raise ModelError(
            f"{node.name}: float values reach it: no quantizer stands between it and the nodes before; "
            "put a QuantIdentity in front of it"
        )
    if signal.scale.size != 1 or signal.offset or signal.multiplier != 1 or np.any(signal.bias):
        raise ModelError(
            f"{node.name}: its input has no single scale; put a quantizer with one scale in front of it"
        )
    if np.any(scales != scales[:1]):
        raise ModelError(
            f"{node.name}: weight scales vary within an output channel; use one a channel or tensor"
        )
    scale = scales[0] * signal.scale.flat[0]
    multiplier, offset = units[0].dot_affine
    lows, highs = zip(*(unit.accumulator_range for unit in units), strict=True)
    kind = units[0].source_type
    input_size = max(-kind.low, kind.high)
    levels = np.arange(kind.low, kind.high + 1, kind.step, dtype=np.float64)
    largest = max(int(np.abs(unit.weights).sum(axis=1).max()) for unit in units) * input_size
    exact = max(map(significant_bits, scale)) + largest.bit_length() <= 24
    # float32 adds K products up in a random walk of roundings, each of the size of the partial sum's:
    # sqrt(K) terms, and a share of the final sum (Higham and Mary, SIAM J. Sci. Comput. 41(5), 2019)
    unit = 0.0 if exact else CONFIDENCE * 2.0**-24
    terms = units[0].weights.shape[1]
    squares = np.concatenate([np.mean(unit.weights.astype(np.float64) ** 2, axis=1) for unit in units])
    return Signal(
        port,
        stream,
        scale,
        Span.between(min(lows), max(highs)),
        pending=signal.pending,
        multiplier=multiplier,
        offset=offset,
        rounding=(unit + signal.relative_rounding) * scale * terms * input_size * np.sqrt(squares),
        relative_rounding=unit * sqrt(terms),
        spread=sqrt(terms * np.mean(squares) * np.mean(levels**2)) / multiplier,
    )


def significant_bits(value: float) -> int:
    """Bits of the mantissa without trailing zeros; 1 for a power of two."""
    numerator = float(value).as_integer_ratio()[0]
    return (numerator // (numerator & -numerator)).bit_length()
