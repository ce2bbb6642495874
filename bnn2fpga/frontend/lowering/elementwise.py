"""Lowers elementwise nodes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from bnn2fpga.errors import ModelError
from bnn2fpga.frontend.graph.execute import Graph
from bnn2fpga.frontend.lowering.builder import Builder
from bnn2fpga.frontend.lowering.gate import GATES, lower_gate
from bnn2fpga.frontend.lowering.joins import lower_add
from bnn2fpga.frontend.lowering.repeated_channels import repeated
from bnn2fpga.frontend.lowering.signal import Segment, Signal


def lower_elementwise(
    graph: Graph, build: Builder, node: onnx.NodeProto, signals: Sequence[Signal], trunk_bits: int | None
) -> Signal:
    """Keeps a node of one stream waiting for the quantizer behind it; joins two streams."""
    first, *others = signals
    if any(signal.padding for signal in signals):
        raise ModelError(
            f"{node.name}: stands between a Pad and the convolution; pad right before the convolution"
        )
    if any(other.port != first.port or other.segment.tensor != first.segment.tensor for other in others):
        refuse_repeats(node, signals)
        if node.op_type == "Add":
            return lower_add(graph, build, node, first, others[0], trunk_bits)
        if node.op_type in GATES:
            return lower_gate(graph, build, node, first, others[0])
        way_out = "; quantize the negative of the second one, and add it" if node.op_type == "Sub" else ""
        raise ModelError(f"{node.name}: {node.op_type} joins two streams; legal: Add, Concat{way_out}")
    shape = graph.shape(node.output[0])
    if shape != first.index.shape:
        if shape[:1] != (1,) or others:
            raise ModelError(f"{node.name}: gives shape {shape}; keep the first axis for the batch: (1, …)")
        spread = repeated(node, first, np.broadcast_to(first.index, shape))
        first = spread.with_segment(Segment(first.segment.tensor, spread.index))
    joined = first.segment
    for other in others:
        joined = joined.extended(*other.segment.nodes)
    return first.with_segment(joined.extended(node))


def refuse_repeats(node: onnx.NodeProto, values: Sequence[object]) -> None:
    """A ModelError if one of a node's inputs holds an integer several times."""
    if any(isinstance(value, Signal) and value.repeats for value in values):
        raise ModelError(f"{node.name}: its input repeats channels; put a quantizer in front of it")
