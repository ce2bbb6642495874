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
        return _line_or_image(graph, node, signal)
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


def _line_or_image(graph: Graph, node: onnx.NodeProto, signal: Signal) -> Signal:
    """A padded line (1, C, L) as an image that is one pixel high, or back; any other move is refused."""
    assert signal.padding is not None
    top, left, bottom, right = signal.padding.pads
    shape, index = graph.shape(node.output[0]), signal.index
    image = index.reshape(*index.shape[:2], 1, -1) if index.ndim == 3 else index
    long = index.shape[-1] + left + right
    if (
        top
        or bottom
        or image.shape[2] != 1
        or shape not in ((*index.shape[:2], long), (*image.shape[:3], long))
    ):
        raise ModelError(f"{node.name}: a padded tensor is reshaped; pad right before the convolution")
    moved = image if len(shape) == 4 else image[:, :, 0]
    return replace(signal, pending=(*signal.pending, Segment(node.output[0], moved)))
