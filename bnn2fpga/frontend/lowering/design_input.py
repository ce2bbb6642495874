"""The design's input: the integers of the first quantized tensor."""

from __future__ import annotations

import numpy as np
from qonnx.core.datatype import DataType

from bnn2fpga.design.integers import BIPOLAR, IntType
from bnn2fpga.design.stream import Stream
from bnn2fpga.errors import ModelError
from bnn2fpga.frontend.graph.execute import Array, Graph
from bnn2fpga.frontend.lowering.builder import Builder
from bnn2fpga.frontend.lowering.input_order import input_order
from bnn2fpga.frontend.lowering.signal import Segment, Signal


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


def annotated_type(kind: DataType) -> IntType:
    """qonnx' annotated integer types."""
    if kind == DataType["BIPOLAR"]:
        return BIPOLAR
    if kind == DataType["TERNARY"]:
        return IntType(2, signed=True, narrow=True)
    if not kind.is_integer():
        raise ModelError(f"the graph's input is annotated {kind}; legal: FLOAT32 or an integer type")
    return IntType(kind.bitwidth(), kind.signed())
