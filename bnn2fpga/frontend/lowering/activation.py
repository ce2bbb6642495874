"""Quantizers and max pools behind an integer tensor: step functions."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
import onnx

from bnn2fpga.design.graph import Port
from bnn2fpga.design.integers import BIPOLAR, TERNARY, Ints, IntType
from bnn2fpga.design.layers import Bend, Layer, Map, Shift, Spread, WindowMax, Windows
from bnn2fpga.design.step_functions import Steps
from bnn2fpga.design.stream import Stream
from bnn2fpga.errors import BuildError, ModelError
from bnn2fpga.frontend.graph.execute import Array, Graph
from bnn2fpga.frontend.graph.quantizer import Quantizer, attribute
from bnn2fpga.frontend.lowering.builder import Builder
from bnn2fpga.frontend.lowering.dot_product import as_image, explicit_pads, pair
from bnn2fpga.frontend.lowering.elementwise_chain import evaluate, levels_to_channels
from bnn2fpga.frontend.lowering.exact_lines import Limits, exact_lines
from bnn2fpga.frontend.lowering.signal import Pooled, Segment, Signal, raster_index
from bnn2fpga.frontend.lowering.threshold_search import is_searched, search_steps
from bnn2fpga.frontend.lowering.whole_windows import neighbouring_windows
from bnn2fpga.kernels import implement

STEPPED_BITS = 8
"""An activation of at most so many bits is a step function."""


def lower_quantizer(
    graph: Graph, build: Builder, node: onnx.NodeProto, signal: Signal, exact_sums: bool
) -> Signal:
    """Closes the pending chain: the quantizer's integers as steps of the signal's integers."""
    quantizer = Quantizer.of(graph, node)
    if len(signal.pools) > 1:
        raise ModelError(f"{node.name}: two max pools without a quantizer between them; put one there")
    if is_searched(graph, signal):
        return _searched(graph, build, node, signal, quantizer, exact_sums)
    table = evaluate(graph, signal, [node], node.output[0])
    levels = _levels(table.values, quantizer, signal)
    if signal.inexact:
        if not exact_sums:
            _refuse_ambiguous(graph, node, signal, quantizer, levels)
        _say_who_decides(build, exact_sums)
    if quantizer.type == TERNARY and not np.any(levels == 1):
        quantizer, levels = replace(quantizer, type=BIPOLAR), levels // 2
    scale = _channel_scale(node, quantizer, signal)
    levels = levels_to_channels(levels, signal.stream.channels)
    if table.pooled is not None:
        return _pooled(build, node, signal, quantizer.type, scale, levels, table.pooled)
    return _mapped(build, node, signal, quantizer.type, scale, levels)


def _say_who_decides(build: Builder, exact_sums: bool) -> None:
    build.say(
        "the exact integer sum decides, not its float32 rounding"
        if exact_sums
        else "no threshold lies within the float32 rounding of the sum"
    )


def _searched(
    graph: Graph,
    build: Builder,
    node: onnx.NodeProto,
    signal: Signal,
    quantizer: Quantizer,
    exact_sums: bool,
) -> Signal:
    """The quantizer of an integer with too many values to try them all."""
    steps = search_steps(graph, node, signal, quantizer)
    if signal.inexact:
        for shift in () if exact_sums else (-1.0, 1.0):
            moved = search_steps(graph, node, signal, quantizer, shift)
            for channel in range(steps.channels):
                if steps.of_channel(channel) != moved.of_channel(channel):
                    raise _ambiguous(node, signal, channel, "")
        _say_who_decides(build, exact_sums)
    layer = Map(Stream(signal.stream.shape, signal.stream.type), steps)
    port, kernel = build.add(node.name, layer, signal.port)
    build.say(f"thresholds of each channel found by bisection among {len(signal.points):,} integers")
    return _quantized(node, port, kernel.outputs[0], _channel_scale(node, quantizer, signal), signal.index)


def _mapped(
    build: Builder, node: onnx.NodeProto, signal: Signal, kind: IntType, scale: Array, levels: Ints
) -> Signal:
    """The signal's integers through steps; `levels` has a column a channel or one an element."""
    stream = signal.stream
    if levels.shape[1] != stream.channels:
        if signal.repeats:
            raise ModelError(f"{node.name}: treats the positions of repeated channels differently")
        scale = scale if scale.size == 1 else np.tile(scale, stream.pixels)
        stream = Stream((stream.size,), stream.type)
    elif kind.bits > STEPPED_BITS and not signal.repeats:
        bent = _bent(build, node, signal, scale, kind.low + levels, kind)
        if bent is not None:
            return bent
    if signal.repeats:
        channels = signal.repeats.source.channels
        build.say(f"thermometer code: {stream.channels:,} step functions of {channels:,} channels")
    else:
        what = "channel" if stream is signal.stream else "position"
        build.say(f"thresholds read off all {len(signal.points):,} integers of each {what}")
    port = _map(build, node.name, signal, stream, levels, kind)
    return _quantized(node, port, replace_type(stream, kind), scale, signal.index)


def _bent(
    build: Builder, node: onnx.NodeProto, signal: Signal, scale: Array, values: Ints, kind: IntType
) -> Signal | None:
    """The signal's integers through two lines per channel, if those give exactly `values`.

    Lines that leave the quantizer's range are cut off behind it.
    """
    points, source = np.asarray(signal.points), Stream(signal.stream.shape, signal.stream.type)
    low, high = int(values.min()), int(values.max())
    lines = exact_lines(points, values)
    if lines is None and (low == kind.low or high == kind.high):
        lines = exact_lines(points, values, Limits(kind.low, kind.high))
    if lines is None:
        return None
    drawn = lines(points[:, None])
    reach = IntType.holding(int(drawn.min()), int(drawn.max()))
    if drawn.min() >= kind.low and drawn.max() <= kind.high:
        port, kernel = build.add(node.name, Bend(source, lines, reach), signal.port)
        build.say("two straight lines per channel, exact for every integer")
    else:
        port, kernel = build.add(f"{node.name}_lines", Bend(source, lines, reach), signal.port)
        cut = Shift(kernel.outputs[0], np.zeros(source.channels, np.int64), 0, kind)
        port, kernel = build.add(node.name, cut, port)
        build.say("two straight lines per channel, cut off at the quantizer's ends, exact for every integer")
    segment = Segment(node.output[0], signal.index)
    return Signal(port, kernel.outputs[0], scale.astype(np.float64), np.arange(low, high + 1), (segment,))


def replace_type(stream: Stream, kind: IntType) -> Stream:
    """The stream with another type."""
    return Stream(stream.shape, kind, stream.lanes)


def _levels(values: Array, quantizer: Quantizer, signal: Signal) -> Ints:
    """Rows of level numbers, 0 at the type's lowest value."""
    scale = quantizer.scale.reshape(-1)
    if scale.size > 1 and values.shape[1] == signal.index.size:
        scale = _in_order(quantizer.scale, signal)
    integers = np.rint(values / scale).astype(np.int64)
    if integers.min() < quantizer.type.low or integers.max() > quantizer.type.high:
        raise ModelError(f"gives integers outside of {quantizer.type}; clip them, or take more bits")
    return (integers - quantizer.type.low) // quantizer.type.step


def _channel_scale(node: onnx.NodeProto, quantizer: Quantizer, signal: Signal) -> Array:
    """The quantizer's scale, one number or one a channel of the signal's stream."""
    if np.all(quantizer.scale == quantizer.scale.flat[0]):
        return quantizer.scale.reshape(-1)[:1]
    rows = _in_order(quantizer.scale, signal).reshape(-1, signal.stream.channels)
    if np.any(rows != rows[:1]):
        raise ModelError(f"{node.name}: its scale varies over positions; use one a channel or tensor")
    return rows[0]


def _in_order(scale: Array, signal: Signal) -> Array:
    """A scale that broadcasts to the signal's tensor, for each element of the stream."""
    in_order = np.empty(signal.index.size)
    in_order[signal.index.ravel()] = np.broadcast_to(scale, signal.index.shape).ravel()
    return in_order


def _refuse_ambiguous(
    graph: Graph, node: onnx.NodeProto, signal: Signal, quantizer: Quantizer, levels: Ints
) -> None:
    """A ModelError where the float32 rounding of the graph's own sum decides a level."""
    for shift in (-1.0, 1.0):
        moved = _levels(evaluate(graph, signal, [node], node.output[0], shift).values, quantizer, signal)
        if np.any(moved != levels):
            row, column = np.argwhere(moved != levels)[0]
            total = signal.multiplier * signal.points[row] + signal.offset
            raise _ambiguous(node, signal, column % signal.stream.channels, f" at sum {total}")


def _ambiguous(node: onnx.NodeProto, signal: Signal, channel: int, where: str) -> ModelError:
    return ModelError(
        f"{node.name}: channel {channel} lies on a threshold{where}, where the rounding of the float "
        f"sum in {signal.port.node} decides; make its scales powers of two, or allow exact_sums "
        "(--exact-sums: the exact integer sum decides)"
    )


def _map(build: Builder, name: str, signal: Signal, stream: Stream, levels: Ints, kind: IntType) -> Port:
    """The `levels` at the signal's points, a column a channel of `stream`, as a step function."""
    try:
        steps = Steps.read(levels, np.asarray(signal.points), kind)
    except BuildError as error:
        raise ModelError(
            f"{name}: {error}, or two straight lines a channel; quantize to fewer bits there"
        ) from error
    if signal.repeats:
        layer: Layer = Spread(signal.repeats.source, signal.repeats.channels, steps)
    else:
        layer = Map(stream, steps)
    return build.add(name, layer, signal.port)[0]


def _quantized(node: onnx.NodeProto, port: Port, stream: Stream, scale: Array, index: Ints) -> Signal:
    kind = stream.type
    points = np.arange(kind.low, kind.high + 1, kind.step)
    return Signal(port, stream, scale.astype(np.float64), points, (Segment(node.output[0], index),))


def lower_max_pool(graph: Graph, build: Builder, node: onnx.NodeProto, signal: Signal) -> Signal:
    """On bare integers a kernel at once; behind float nodes it waits for the quantizer."""
    rows = neighbouring_windows(signal, _kernel(node)) if signal.bare else None
    if rows is not None and rows.channels > 1:
        port, kernel = build.add(node.name, WindowMax(rows, rows.channels), signal.port)
        build.say(f"the largest of {rows.channels:,} integers behind one another")
        index = np.arange(rows.shape[0]).reshape(1, -1, 1, 1)
        return replace(
            signal,
            port=port,
            stream=kernel.outputs[0],
            scale=signal.scale[:1],
            bias=np.ravel(signal.bias)[:1],
            rounding=np.max(signal.rounding),
            pending=(Segment(node.output[0], index),),
        )
    image, order = as_image(node, signal)
    if signal.padding:
        raise ModelError(f"{node.name}: a padded tensor feeds a max pool; pad before a convolution only")
    if image.channels != signal.stream.channels:
        raise ModelError(f"{node.name}: a reshape made its channels; put a quantizer in front of the reshape")
    pool = _read_pool(node, (image.shape[0], image.shape[1]))
    height, width, _ = implement(_window(pool, image)).outputs[0].shape
    segment = Segment(node.output[0], raster_index((1, image.channels, height, width), order))
    if segment.index.shape != graph.shape(node.output[0]):
        raise ModelError(
            f"{node.name}: ceil_mode gives {(height, width)}, the graph says "
            f"{graph.shape(node.output[0])[2:]}, as its last window lies in the padding; use ceil_mode=0"
        )
    if not signal.bare:
        return replace(signal, pending=(*signal.pending, pool, segment))
    port, stream = _emit_pool(build, pool, signal.port, image)
    build.say(f"the largest integer of {_size(pool)} windows")
    return replace(signal, port=port, stream=stream, pending=(segment,))


def _kernel(node: onnx.NodeProto) -> tuple[int, int]:
    return cast(tuple[int, int], tuple(cast(list[int], attribute(node, "kernel_shape", []))))


def _read_pool(node: onnx.NodeProto, size: tuple[int, int]) -> Pooled:
    kernel = _kernel(node)
    stride, dilation = pair(node, "strides"), pair(node, "dilations")
    pads = list(explicit_pads(node, size, kernel))
    if attribute(node, "ceil_mode", 0):
        for axis in (0, 1):
            span = dilation[axis] * (kernel[axis] - 1) + 1
            beyond = size[axis] + pads[axis] + pads[axis + 2] - span
            # a last window may start beyond the floor, but not in the padding behind the image
            positions = -(-beyond // stride[axis])
            if positions * stride[axis] < size[axis] + pads[axis]:
                pads[axis + 2] += positions * stride[axis] - beyond
    return Pooled(node.name, kernel, stride, (pads[0], pads[1], pads[2], pads[3]), dilation)


def _window(pool: Pooled, image: Stream) -> Windows:
    # the lowest value of the type never wins, as ONNX's minus infinity
    return Windows(image, pool.kernel, pool.stride, pool.pads, pool.dilation, image.type.low)


def _emit_pool(build: Builder, pool: Pooled, port: Port, image: Stream) -> tuple[Port, Stream]:
    taps = pool.kernel[0] * pool.kernel[1]
    if pool.kernel == image.shape[:2] and not any(pool.pads):
        # one window as large as the image needs no memory for it
        out, kernel = build.add(pool.name, WindowMax(Stream((image.size,), image.type), taps), port)
        return out, Stream((1, 1, image.channels), kernel.outputs[0].type)
    window_port, window = build.add(f"{pool.name}_window", _window(pool, image), port)
    out, kernel = build.add(pool.name, WindowMax(window.outputs[0], taps), window_port)
    return out, kernel.outputs[0]


def _size(pool: Pooled) -> str:
    return f"{pool.kernel[0]}x{pool.kernel[1]}"


def _pooled_first(
    build: Builder, node: onnx.NodeProto, signal: Signal, kind: IntType, scale: Array, levels: Ints
) -> Signal:
    """The pending max pool on the signal's own integers, the thresholds behind it."""
    (pool,) = signal.pools
    port, stream = _emit_pool(build, pool, signal.port, signal.stream)
    build.say(f"{pool.name} ({_size(pool)}) works on the integers before the thresholds")
    return _mapped(build, node, replace(signal, port=port, stream=stream), kind, scale, levels)


def _pooled(
    build: Builder,
    node: onnx.NodeProto,
    signal: Signal,
    kind: IntType,
    scale: Array,
    levels: Ints,
    pooled: Array,
) -> Signal:
    """A max pool between the chain f before it and the chain g (with the quantizer) behind it.

    Where g rises, g(max f) = max g(f): the pool works on the quantized levels; where g falls, on the
    levels turned round. Where g does both, or differs from position to position, but f rises, the pool
    works on the accumulators.
    """
    (pool,) = signal.pools
    if levels.shape[1] != pooled.shape[1]:
        if np.any(np.diff(pooled, axis=0) < 0):
            raise ModelError(
                f"{node.name}: behind {pool.name} every position has thresholds of its own while the scale "
                "before it is negative in a channel; put a quantizer before the flatten"
            )
        return _pooled_first(build, node, signal, kind, scale, levels)
    by_value = np.take_along_axis(levels, np.argsort(pooled, axis=0, kind="stable"), axis=0)
    rises = np.all(np.diff(by_value, axis=0) >= 0, axis=0)
    falls = np.all(np.diff(by_value, axis=0) <= 0, axis=0) & ~rises
    top = kind.levels - 1
    if np.all(rises | falls):
        turned = np.where(falls, top - levels, levels)
        build.say(f"thresholds read off all {len(signal.points):,} integers of each channel")
        build.say(f"{pool.name} ({_size(pool)}) works on the results of the thresholds")
        port = _map(build, node.name, signal, signal.stream, turned, kind)
        port, stream = _emit_pool(build, pool, port, replace_type(signal.stream, kind))
        if falls.any():
            build.say("channels that fall are turned round before the pool and back behind it")
            codes = np.arange(kind.levels)[:, None]
            points = np.arange(kind.low, kind.high + 1, kind.step)
            pooled_signal = replace(signal, port=port, stream=stream, points=points)
            port = _map(
                build, f"{node.name}_turn", pooled_signal, stream, np.where(falls, top - codes, codes), kind
            )
    elif np.all(np.diff(pooled, axis=0) >= 0):
        return _pooled_first(build, node, signal, kind, scale, levels)
    else:
        raise ModelError(
            f"{node.name}: behind {pool.name} the activation rises and falls while the scale before it is "
            "negative in a channel; move the pool behind the quantizer"
        )
    return _quantized(node, port, stream, scale, signal.index)
