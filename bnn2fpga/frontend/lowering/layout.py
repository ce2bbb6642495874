"""Lowers nodes that move elements: reshapes, transposes, and those that repeat or cut channels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx

from bnn2fpga.errors import ModelError
from bnn2fpga.frontend.graph.execute import Graph
from bnn2fpga.frontend.lowering.builder import Builder
from bnn2fpga.frontend.lowering.channel_slice import lower_cut
from bnn2fpga.frontend.lowering.repeated_channels import repeated
from bnn2fpga.frontend.lowering.signal import Segment, Signal


def lower_layout(graph: Graph, build: Builder, node: onnx.NodeProto, signal: Signal) -> Signal:
    """Follows where the elements go by sending their places through the node."""
    if signal.padding:
        raise ModelError(f"{node.name}: a padded tensor is reshaped; pad right before the convolution")
    places = signal.index.astype(np.float64 if signal.index.size > 1 << 24 else np.float32)
    index = graph.run([node], {node.input[0]: places})[node.output[0]].astype(np.int64)
    if index.ndim < 2 or index.shape[0] != 1:
        raise ModelError(f"{node.name}: gives shape {index.shape}; keep the first axis for the batch: (1, …)")
    if index.size < signal.index.size:
        return lower_cut(graph, build, node, signal, index)
    if index.size > signal.index.size:
        return repeated(node, signal, index)
    segment = Segment(node.output[0], index)
    if not signal.segment.nodes:
        return signal.with_segment(replace(segment, tensor=segment.tensor))
    return replace(signal, pending=(*signal.pending, segment))
