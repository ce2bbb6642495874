"""Two streams of integers brought to one type and one grid."""

from __future__ import annotations

from dataclasses import replace
from math import log2

import numpy as np
import onnx

from bnn2fpga.design.integers import IntType
from bnn2fpga.design.layers import Bend, Layer, Shift
from bnn2fpga.design.stream import Stream
from bnn2fpga.design.two_slopes import TwoSlopes
from bnn2fpga.errors import ModelError
from bnn2fpga.frontend.lowering.builder import Builder
from bnn2fpga.frontend.lowering.signal import Signal

MOST_SHIFT = 16


def power_between(left: Signal, right: Signal) -> int | None:
    """log2 of the scales' ratio, if that is one integer for all channels."""
    if left.scale.size != right.scale.size and left.scale.size > 1 and right.scale.size > 1:
        return None
    ratio = np.atleast_1d(left.scale / right.scale)
    shift = log2(ratio[0])
    return None if np.any(ratio != ratio[0]) or shift % 1 or abs(shift) > MOST_SHIFT else int(shift)


def alike(
    build: Builder, node: onnx.NodeProto, left: Signal, right: Signal, one_scale: bool
) -> tuple[Signal, Signal]:
    """Both, without pending nodes, as integers of one type with one multiplier and offset.

    With `one_scale` also of one scale: a ModelError where their scales are no power of two apart.
    """
    same = all(getattr(left, name) == getattr(right, name) for name in ("multiplier", "offset", "grid_bits"))
    if same and left.stream.type == right.stream.type:
        return left, right
    power = power_between(_uniform(left), _uniform(right)) if one_scale else None
    if power is None and one_scale:
        raise ModelError(
            f"{node.name}: concatenates {left.stream.type} of scale {left.scale.flat[0]:g} and "
            f"{right.stream.type} of scale {right.scale.flat[0]:g}; quantize both alike in front of it"
        )
    if power is None:
        left, right = _plain(left), _plain(right)
    up_left, up_right = max(0, power or 0), max(0, -(power or 0))
    ends = [*_ends(left, up_left), *_ends(right, up_right)]
    kind = IntType.holding(min(ends), max(ends))
    for side, up in ((left, up_left), (right, up_right)):
        own = side.stream.type
        untouched = not up and side.multiplier == 1 and not side.offset and not own.bipolar
        if untouched and own.low <= min(ends) and own.high >= max(ends):
            kind = own
    return _moved(build, node, left, up_left, kind), _moved(build, node, right, up_right, kind)


def _uniform(signal: Signal) -> Signal:
    """The signal with one number for equal scales."""
    same = np.all(signal.scale == signal.scale.flat[0])
    return replace(signal, scale=signal.scale[:1]) if same else signal


def _plain(signal: Signal) -> Signal:
    """Multiplier and offset taken into the scale and the bias."""
    scale = np.broadcast_to(signal.scale, signal.stream.channels)
    bias = scale * signal.offset + signal.bias
    return replace(signal, scale=scale * signal.multiplier, bias=bias, multiplier=1, offset=0)


def _ends(signal: Signal, up: int) -> tuple[int, int]:
    """The least and largest integer behind `_moved`."""
    low, high = (int(signal.points[place]) * signal.multiplier + signal.offset for place in (0, -1))
    return low << up, high << up


def _moved(build: Builder, node: onnx.NodeProto, signal: Signal, up: int, kind: IntType) -> Signal:
    """(multiplier * n + offset) << up as an integer of `kind`; no kernel where n is that already."""
    slope, constant = signal.multiplier << up, signal.offset << up
    if slope == 1 and not constant and signal.stream.type == kind:
        return signal
    channels = signal.stream.channels
    source = Stream(signal.stream.shape, signal.stream.type)
    if slope == 1:
        layer: Layer = Shift(source, np.full(channels, constant), 0, kind)
    else:
        ones = np.ones((2, channels), np.int64)
        layer = Bend(source, TwoSlopes(np.zeros(channels, np.int64), slope * ones, constant * ones, 0), kind)
    port, kernel = build.add(f"{node.name}_{signal.port.node or 'input'}", layer, signal.port)
    build.say(f"integers of {signal.port.node or 'the input'} times {slope} plus {constant}, as {kind}")
    points = slope * np.asarray(signal.points) + constant
    return replace(
        signal,
        port=port,
        stream=kernel.outputs[0],
        scale=signal.scale / (1 << up),
        points=points,
        multiplier=1,
        offset=0,
        grid_bits=signal.grid_bits + up,
    )
