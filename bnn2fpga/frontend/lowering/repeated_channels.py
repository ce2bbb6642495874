"""Tensors that hold an integer several times: thermometer codes before their quantizer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx

from bnn2fpga.design.integers import Ints
from bnn2fpga.design.layers import Map, Spread
from bnn2fpga.design.step_functions import Steps
from bnn2fpga.design.stream import Stream
from bnn2fpga.errors import ModelError
from bnn2fpga.frontend.lowering.builder import Builder
from bnn2fpga.frontend.lowering.signal import Repeats, Segment, Signal


def repeated(node: onnx.NodeProto, signal: Signal, index: Ints) -> Signal:
    """`signal` as the tensor that `node` makes, each element from the place `index` of the stream.

    Every pixel must hold the same channels in the same order. Raises ModelError.
    """
    if not signal.bare or signal.repeats or signal.padding:
        raise ModelError(f"{node.name}: repeats channels behind float nodes; put a quantizer in front of it")
    pixels, channels = signal.stream.pixels, signal.stream.channels
    pixel, channel = np.divmod(index.ravel(), channels)
    order = np.argsort(pixel, kind="stable")
    count = index.size // pixels
    if index.size % pixels or np.any(pixel[order] != np.repeat(np.arange(pixels), count)):
        raise ModelError(f"{node.name}: repeats some positions and not others; legal: repeated channels")
    sources = channel[order].reshape(pixels, count)
    if np.any(sources != sources[:1]):
        raise ModelError(f"{node.name}: repeats other channels at each position; legal: the same everywhere")
    places = np.empty(index.size, np.int64)
    places[order] = np.arange(index.size)
    return replace(
        signal,
        stream=Stream((*signal.stream.shape[:-1], count), signal.stream.type),
        scale=signal.scale if signal.scale.size == 1 else signal.scale[sources[0]],
        pending=(Segment(node.output[0], places.reshape(index.shape)),),
        repeats=Repeats(signal.stream, sources[0]),
    )


def one_source(weights: Ints) -> Ints | None:
    """The input channel of each output of 1x1 weights (M, C, 1, 1) with a single +1 each; else None."""
    flat = weights.reshape(len(weights), -1)
    single = np.all((flat == 0) | (flat == 1)) and np.all(flat.sum(axis=1) == 1)
    return flat.argmax(axis=1) if single and weights.shape[2:] == (1, 1) else None


def join_quantizers(build: Builder, node: onnx.NodeProto, signals: list[Signal]) -> Signal | None:
    """Quantizers of one tensor, concatenated along the channels, in one kernel; None if they are not that."""
    first = signals[0]
    made = [build.origin(signal.port) for signal in signals]
    maps = [origin[0] for origin in made if origin is not None and isinstance(origin[0], Map)]
    sources = {origin[1] for origin in made if origin is not None}
    if len(maps) != len(signals) or len(sources) != 1:
        return None
    for signal, step in zip(signals, maps, strict=True):
        alike = signal.stream == first.stream and np.array_equal(signal.index, first.index)
        if not (alike and signal.bare and np.array_equal(signal.scale, first.scale)):
            return None
        if step.source != maps[0].source or step.source.shape != first.stream.shape:
            return None
    count = first.stream.channels
    channels = np.tile(np.arange(count), len(maps))
    layer = Spread(maps[0].source, channels, Steps.joined([step.steps for step in maps]))
    port, kernel = build.add(node.name, layer, *sources.pop())
    build.say(f"thermometer code: {len(maps)} quantizers of one tensor, {len(channels):,} step functions")
    (stream,) = kernel.outputs
    # places of the first map's channels, made those of each map's in the wider pixels
    own = first.index // count * stream.channels + first.index % count
    index = np.concatenate([own + at for at in range(0, stream.channels, count)], axis=1)
    return replace(first, port=port, stream=stream, pending=(Segment(node.output[0], index),))
