"""MatMul of two activations, as attention has it: scores of queries and keys, and weights times values."""

from __future__ import annotations

from dataclasses import replace
from math import prod, sqrt

import numpy as np
import onnx

from bnn2fpga.design.integers import Ints, IntType
from bnn2fpga.design.layers import Map, Product
from bnn2fpga.design.step_functions import Steps
from bnn2fpga.design.stream import Stream
from bnn2fpga.errors import ModelError
from bnn2fpga.frontend.graph.execute import Graph
from bnn2fpga.frontend.lowering.builder import Builder
from bnn2fpga.frontend.lowering.dot_product import CONFIDENCE, significant_bits
from bnn2fpga.frontend.lowering.linear_chain import chain_values, end_tensor, scaled
from bnn2fpga.frontend.lowering.signal import Segment, Signal, Span
from bnn2fpga.kernels.stream_product import MOST_BITS, StreamProduct


def lower_product(graph: Graph, build: Builder, node: onnx.NodeProto, left: Signal, right: Signal) -> Signal:
    """(1, …, rows, inner) times (1, …, inner, columns); the axes in front are windows and heads."""
    left, right = (_numbers(graph, build, node, signal) for signal in (left, right))
    shapes = left.index.shape, right.index.shape
    if len(shapes[0]) != len(shapes[1]) or shapes[0][:-2] != shapes[1][:-2]:
        raise ModelError(
            f"{node.name}: multiplies {shapes[0]} with {shapes[1]}; the axes in front of the last two must "
            "be equal: give both sides the same heads and windows"
        )
    found = _matched(left, right)
    if found is not None:
        layer, index = found
        return _product(build, node, left, right, layer, Segment(node.output[0], index))
    # the transpose of a product is that of the transposes, the other way round
    found = _matched(_transposed(right), _transposed(left))
    if found is not None:
        layer, index = found
        return _product(build, node, right, left, layer, Segment(node.output[0], index.swapaxes(-1, -2)))
    raise ModelError(
        f"{node.name}: its two sides arrive in an order that no kernel takes; legal: token after token, "
        "heads side by side in the channels (reshape (1, heads * d, tokens) or (1, tokens, heads * d) into "
        "heads, then transpose), both sides from the same windows"
    )


def _transposed(signal: Signal) -> Signal:
    return signal.with_segment(Segment(signal.segment.tensor, signal.index.swapaxes(-1, -2)))


def _matched(left: Signal, right: Signal) -> tuple[Product, Ints] | None:
    """The layer, and where each element of its result lies, if both sides come as the kernel takes them."""
    rows, inner = left.index.shape[-2:]
    columns, count = right.index.shape[-1], prod(left.index.shape[1:-2])
    first = left.index.reshape(count, rows, inner)
    order = np.argsort(first[:, 0, 0])
    first, second = first[order], right.index.reshape(count, inner, columns)[order]
    for heads in (number for number in range(count, 0, -1) if count % number == 0):
        windows = count // heads
        if not np.array_equal(first, _places(windows, rows, heads, inner)):
            continue
        for transposed in (True, False):
            tokens, width = (columns, inner) if transposed else (inner, columns)
            places = _places(windows, tokens, heads, width)
            if np.array_equal(second, places.swapaxes(1, 2) if transposed else places):
                source = Stream((windows, rows, heads * inner), left.stream.type)
                kept = Stream((windows, tokens, heads * width), right.stream.type)
                index = np.empty((count, rows, columns), np.int64)
                index[order] = _places(windows, rows, heads, columns)
                index = index.reshape(*left.index.shape[:-1], columns)
                return Product(source, kept, heads, transposed), index
    return None


def _numbers(graph: Graph, build: Builder, node: onnx.NodeProto, signal: Signal) -> Signal:
    """The signal without pending nodes; a ModelError if it is not integers of one scale."""
    signal = as_bits(graph, build, node, scaled(graph, signal))
    plain = signal.bare and not signal.padding and not signal.repeats
    single = (
        signal.scale.size == 1 and not signal.offset and signal.multiplier == 1 and not np.any(signal.bias)
    )
    if not plain or not single:
        raise ModelError(
            f"{node.name}: multiplies two activations, and one is not quantized with a single scale; put a "
            f"quantizer of 1 to {MOST_BITS} bits right in front of it"
        )
    if signal.stream.type.bits > MOST_BITS:
        raise ModelError(
            f"{node.name}: multiplies two activations, one of {signal.stream.type}; legal: 1 to {MOST_BITS} "
            "bits each; quantize to fewer bits in front of it"
        )
    return signal


def as_bits(graph: Graph, build: Builder, node: onnx.NodeProto, signal: Signal) -> Signal:
    """Signs of which float nodes make 0 and one positive number, as bits; any other signal as it is.

    Brevitas exports integers of one bit as signs, so that is how weights of attention come.
    """
    if signal.bare or not signal.stream.type.bipolar or signal.pools or signal.padding or signal.repeats:
        return signal
    values = chain_values(graph, signal, np.array([-1, 1]))
    if values is None or np.any(values[0]) or np.any(values[1] != values[1, 0]) or values[1, 0] <= 0:
        return signal
    layer, sources = build.origin(signal.port) or (None, ())
    if isinstance(layer, Map):
        bits = replace(layer, steps=replace(layer.steps, output=IntType(1)))
    else:
        steps = Steps.read(np.tile([[0], [1]], signal.stream.channels), np.array([-1, 1]), IntType(1))
        bits, sources = Map(signal.stream, steps), (signal.port,)
    port, _ = build.add(f"{node.name}_bits", bits, *sources)
    return replace(
        signal,
        port=port,
        stream=Stream(signal.stream.shape, IntType(1)),
        scale=values[1, :1],
        points=np.array([0, 1]),
        pending=(Segment(end_tensor(signal), signal.index),),
    )


def _places(windows: int, rows: int, heads: int, width: int) -> Ints:
    """Of a stream (windows, rows, heads * width): (windows * heads, rows, width), where each element lies."""
    places = np.arange(windows * rows * heads * width).reshape(windows, rows, heads, width)
    return places.swapaxes(1, 2).reshape(windows * heads, rows, width)


def _product(
    build: Builder, node: onnx.NodeProto, left: Signal, right: Signal, layer: Product, tensor: Segment
) -> Signal:
    port, kernel = build.add(node.name, layer, left.port, right.port)
    assert isinstance(kernel, StreamProduct)
    where = f"{kernel.heads} heads" + (f" in {kernel.windows} windows" if kernel.windows > 1 else "")
    others = "rows" if layer.transposed else "columns"
    build.say(
        f"{left.stream.type} rows times {right.stream.type} {others} of the other stream, "
        f"{kernel.inner} products a sum, {where}"
    )
    multiplier, offset = kernel.affine
    scale = left.scale * right.scale
    largest = kernel.inner * prod(max(-s.stream.type.low, s.stream.type.high) for s in (left, right))
    exact = significant_bits(float(scale[0])) + largest.bit_length() <= 24
    # as in a dot product with constants
    unit = 0.0 if exact else CONFIDENCE * 2.0**-24
    relative = left.relative_rounding + right.relative_rounding
    return replace(
        left,
        port=port,
        stream=kernel.outputs[0],
        scale=scale,
        points=Span.between(*kernel.result_range),
        pending=(tensor,),
        multiplier=multiplier,
        offset=offset,
        rounding=(unit + relative) * float(scale[0]) * largest,
        relative_rounding=unit * sqrt(kernel.inner),
        spread=sqrt(kernel.inner) / multiplier,
    )
