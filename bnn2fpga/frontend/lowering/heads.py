"""Where a graph ends in several places: their streams behind one another in the core's one output."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bnn2fpga.design.graph import Port
from bnn2fpga.design.integers import Ints, IntType
from bnn2fpga.design.layers import Concat, Shift
from bnn2fpga.design.stream import Stream
from bnn2fpga.frontend.lowering.builder import Builder
from bnn2fpga.frontend.lowering.signal import Signal


def join_heads(build: Builder, signals: Sequence[Signal]) -> tuple[Port, list[Ints]]:
    """One port for all `signals`, and for each the places of its stream's elements in the port's.

    Streams of equal height and width go pixel by pixel; others frame by frame, where the later ones wait in
    FIFOs. All become integers of one type that holds every one of them.
    """
    ports = list(dict.fromkeys(signal.port for signal in signals))
    streams = {signal.port: signal.stream for signal in signals}
    if len(ports) == 1:
        return ports[0], [np.arange(signal.stream.size) for signal in signals]
    kind = _common([streams[port].type for port in ports])
    pixelwise = len({streams[port].shape[:-1] for port in ports}) == 1
    (port, stream), *others = [
        _one_type(build, port, _viewed(streams[port], pixelwise), kind) for port in ports
    ]
    places = {ports[0]: np.arange(stream.size).reshape(stream.shape)}
    for head, (other_port, other) in zip(ports[1:], others, strict=True):
        name = f"{other_port.node}_joined"
        port, kernel = build.add(name, Concat(stream, other), port, other_port)
        (whole,) = kernel.outputs
        number = np.arange(whole.size).reshape(whole.shape)
        before = number[..., : stream.channels].ravel()
        places = {known: before[place] for known, place in places.items()}
        places[head] = number[..., stream.channels :].reshape(other.shape)
        stream = whole
    return port, [places[signal.port].ravel() for signal in signals]


def _common(kinds: Sequence[IntType]) -> IntType:
    if len(set(kinds)) == 1:
        return kinds[0]
    return IntType.holding(min(kind.low for kind in kinds), max(kind.high for kind in kinds))


def _viewed(stream: Stream, pixelwise: bool) -> Stream:
    """A whole frame is the channels of one pixel, unless it goes pixel by pixel."""
    return Stream(stream.shape if pixelwise else (stream.size,), stream.type)


def _one_type(build: Builder, port: Port, stream: Stream, kind: IntType) -> tuple[Port, Stream]:
    if stream.type == kind:
        return port, stream
    layer = Shift(stream, np.zeros(stream.channels, np.int64), 0, kind)
    port, kernel = build.add(f"{port.node or 'input'}_widened", layer, port)
    return port, kernel.outputs[0]
