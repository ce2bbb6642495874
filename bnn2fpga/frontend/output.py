"""The end of the graph: top-1 in the fabric where the integers alone decide it, else the host's."""

from __future__ import annotations

from typing import cast

import numpy as np
import onnx

from bnn2fpga.frontend.builder import Builder
from bnn2fpga.frontend.chain import evaluate
from bnn2fpga.frontend.execute import Graph
from bnn2fpga.frontend.quantizer import attribute
from bnn2fpga.frontend.signal import Result, Segment, Signal
from bnn2fpga.layers import Top1


def lower_output(graph: Graph, build: Builder, node: onnx.NodeProto, signal: Signal) -> Result:
    """TopK, ArgMax or Softmax: the host's, but for the top-1 of scores that their integers order."""
    if not (_is_top1(graph, node, signal) and _ordered_alike(graph, signal)):
        return Result(signal)
    port, kernel = build.add(node.name, Top1(signal.stream), signal.port)
    index = np.zeros(graph.shape(node.output[-1]), np.int64)
    points = np.arange(signal.index.size)
    return Result(Signal(port, kernel.outputs[0], np.ones(1), points, (Segment(node.output[-1], index),)))


def _is_top1(graph: Graph, node: onnx.NodeProto, signal: Signal) -> bool:
    """Whether only the place of the largest of all scores, the first of equals, is asked for."""
    axis = cast(int, attribute(node, "axis", -1 if node.op_type == "TopK" else 0))
    if signal.padding or signal.index.shape[axis] != signal.index.size:
        return False
    if node.op_type == "ArgMax":
        return not attribute(node, "select_last_index", 0)
    if node.op_type != "TopK" or not attribute(node, "largest", 1) or graph.reads(node.output[0]):
        return False
    count = graph.constants.get(node.input[1]) if len(node.input) > 1 else attribute(node, "k", 1)
    return bool(np.all(np.asarray(count if count is not None else 0) == 1))


def _ordered_alike(graph: Graph, signal: Signal) -> bool:
    """Whether every score is the same strictly rising function of its integer, in the stream's order."""
    if signal.pools or not np.array_equal(signal.index.ravel(), np.arange(signal.index.size)):
        return False
    nodes = signal.segment.nodes
    end = nodes[-1].output[0] if nodes else ""
    values = evaluate(graph, signal, [], end).values
    return bool(np.all(values == values[:, :1]) and np.all(np.diff(values[:, 0]) > 0))
