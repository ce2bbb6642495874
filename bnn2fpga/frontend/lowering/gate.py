"""A tensor that another one switches on and off: `Where(a > t, b, 0)`, or `(a > t) * b`."""

from __future__ import annotations

from dataclasses import replace
from math import log2

import numpy as np
import onnx

from bnn2fpga.design.integers import Ints
from bnn2fpga.design.layers import Gate
from bnn2fpga.design.stream import Stream
from bnn2fpga.errors import ModelError
from bnn2fpga.frontend.graph.execute import Graph
from bnn2fpga.frontend.lowering.builder import Builder
from bnn2fpga.frontend.lowering.linear_chain import as_linear, chain_values
from bnn2fpga.frontend.lowering.signal import Segment, Signal

GATES = frozenset({"Mul", "Where"})


def lower_gate(graph: Graph, build: Builder, node: onnx.NodeProto, left: Signal, right: Signal) -> Signal:
    """One side's integers where the other, a comparison that rises, is true; 0 elsewhere.

    Raises ModelError for any other product or choice of two streams.
    """
    opened = [_opens(graph, signal) for signal in (left, right)]
    if node.op_type == "Where":
        zero = graph.constants.get(node.input[2])
        opened = [opened[0] if zero is not None and not np.any(zero) else None, None]
    if (opened[0] is None) == (opened[1] is None):
        raise ModelError(
            f"{node.name}: {node.op_type} joins two streams; legal: a tensor times a comparison with a "
            "constant, or Where(comparison, tensor, 0); Add, Concat"
        )
    (control, thresholds), value = (
        ((left, opened[0]), right) if opened[0] is not None else ((right, opened[1]), left)
    )
    passed = as_linear(graph, value)
    if passed is None or passed.padding or not np.array_equal(value.index, control.index):
        raise ModelError(
            f"{node.name}: what is switched are no exact integers in the order of what switches them; "
            "put a quantizer in front of it"
        )
    assert thresholds is not None
    source, shift = passed.stream, int(log2(passed.multiplier))
    layer = Gate(source, Stream(source.shape, control.stream.type), thresholds, shift, passed.offset)
    port, kernel = build.add(node.name, layer, passed.port, control.port)
    build.say("passes where the other stream reaches a threshold, else 0; a threshold per channel")
    reached = passed.multiplier * np.asarray(passed.points) + passed.offset
    return replace(
        passed,
        port=port,
        stream=kernel.outputs[0],
        points=np.union1d(reached, [0]),
        multiplier=1,
        offset=0,
        pending=(Segment(node.output[0], value.index),),
    )


def _opens(graph: Graph, signal: Signal) -> Ints | None:
    """The first point of every channel at which the chain is 1, if it is 0 before and 1 from there on."""
    if signal.bare or signal.pools or signal.padding or signal.repeats:
        return None
    values = chain_values(graph, signal, signal.points)
    if values is None or not np.all((values == 0) | (values == 1)) or np.any(np.diff(values, axis=0) < 0):
        return None
    closed = (values == 0).sum(axis=0)
    beyond = np.append(signal.points, signal.points[-1] + 1)
    first: Ints = beyond[closed]
    return first
