"""The end of the graph: top-1 in the fabric where the integers alone decide it."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
import onnx

from bnn2fpga.errors import ModelError
from bnn2fpga.frontend.builder import Builder
from bnn2fpga.frontend.chain import evaluate
from bnn2fpga.frontend.execute import Graph
from bnn2fpga.frontend.quantizer import attribute
from bnn2fpga.frontend.signal import Segment, Signal
from bnn2fpga.layers import Top1


def lower_top1(graph: Graph, build: Builder, node: onnx.NodeProto, signal: Signal) -> Signal:
    """TopK (k = 1) or ArgMax over all scores: a kernel if the integers order the scores, else left to the host."""
    axis = cast(int, attribute(node, "axis", -1)) % signal.index.ndim
    if signal.index.shape[axis] != signal.index.size:
        raise ModelError(
            f"{node.name}: its axis {axis} holds {signal.index.shape[axis]} of {signal.index.size} scores"
        )
    if node.op_type == "TopK":
        count = (
            graph.constants.get(node.input[1]) if len(node.input) > 1 else np.asarray(attribute(node, "k", 1))
        )
        if count is None or count.size != 1 or count.item() != 1 or not attribute(node, "largest", 1):
            raise ModelError(f"{node.name}: legal is the largest score, k=1, known at build time")
    elif attribute(node, "select_last_index", 0):
        raise ModelError(f"{node.name}: legal is the first of equal scores (select_last_index=0)")
    if not _ordered_alike(graph, signal):
        # per-channel scales or biases: the host applies them and picks
        return signal.with_segment(signal.segment.extended(node))
    port, kernel = build.add(node.name, Top1(signal.stream), signal.port)
    index = np.zeros(graph.shape(node.output[-1]), np.int64)
    points = np.arange(signal.index.size)
    return Signal(port, kernel.outputs[0], np.ones(1), points, (Segment(node.output[-1], index),))


def _ordered_alike(graph: Graph, signal: Signal) -> bool:
    """Whether every score is the same strictly rising function of its integer, in the stream's order."""
    if signal.pools or not np.array_equal(signal.index.ravel(), np.arange(signal.index.size)):
        return False
    nodes = signal.segment.nodes
    end = nodes[-1].output[0] if nodes else ""
    values = evaluate(graph, replace(signal, rounding=0.0), [], end).values
    return bool(np.all(values == values[:, :1]) and np.all(np.diff(values[:, 0]) > 0))
