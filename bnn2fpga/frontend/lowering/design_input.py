"""The design's input: the integers of the first quantized tensor."""

from __future__ import annotations

import numpy as np
import onnx
from qonnx.core.datatype import DataType

from bnn2fpga.design.integers import BIPOLAR, IntType
from bnn2fpga.design.stream import Stream
from bnn2fpga.errors import ModelError
from bnn2fpga.frontend.graph.execute import Array, Graph
from bnn2fpga.frontend.lowering.builder import Builder
from bnn2fpga.frontend.lowering.elementwise_chain import evaluate
from bnn2fpga.frontend.lowering.input_order import input_order
from bnn2fpga.frontend.lowering.signal import Segment, Signal

MOST_POINTS = 1 << 16


def open_input(graph: Graph, build: Builder, tensor: str, scale: Array, kind: IntType) -> Signal:
    """The signal of `tensor`, whose integers of type `kind` stand for `scale` each; it enters the design.

    Raises ModelError for a shape without a batch of 1, and for a scale that varies over channels.
    """
    shape = graph.shape(tensor)
    if len(shape) < 2 or shape[0] != 1:
        raise ModelError(f"{tensor}: shape {shape}; legal: (1, features) or (1, channels, height, width)")
    if scale.size > 1 and np.any(scale != scale.flat[0]):
        raise ModelError(f"{tensor}: the input's scale varies over channels; use one scale")
    stream_shape, index = input_order(graph, tensor)
    stream = Stream(stream_shape, kind)
    points = np.arange(kind.low, kind.high + 1, kind.step)
    segment = Segment(tensor, index)
    return Signal(build.open_input(stream), stream, scale.reshape(-1)[:1], points, (segment,))


def is_input_renamed(graph: Graph, node: onnx.NodeProto, signal: Signal) -> bool:
    """Whether quantizer `node` gives other values, as many, to the integers of the design's input.

    Then the host may send these, and no kernel is needed; as long as nothing else reads what comes before.
    """
    start = signal.pending[0]
    assert isinstance(start, Segment)
    plain = signal.port.node is None and not (signal.pools or signal.padding or signal.repeats)
    if not plain or len(signal.points) > MOST_POINTS:
        return False
    between = graph.between([start.tensor], node.output[0])
    inside = {start.tensor, *(one.output[0] for one in between[:-1])}
    if inside.intersection(graph.outputs) or any(sum(t in n.input for n in graph.nodes) != 1 for t in inside):
        return False
    values = evaluate(graph, signal, [node], node.output[0]).values
    return bool(np.all(values == values[:, :1])) and len(np.unique(values[:, 0])) == len(signal.points)


def annotated_type(kind: DataType) -> IntType:
    """qonnx' annotated integer types."""
    if kind == DataType["BIPOLAR"]:
        return BIPOLAR
    if kind == DataType["TERNARY"]:
        return IntType(2, signed=True, narrow=True)
    if not kind.is_integer():
        raise ModelError(f"the graph's input is annotated {kind}; legal: FLOAT32 or an integer type")
    return IntType(kind.bitwidth(), kind.signed())
