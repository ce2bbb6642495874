"""The end of the graph: top-1 in the fabric where the integers alone decide it, else the host's."""

from __future__ import annotations

from typing import cast

import numpy as np
import onnx

from bnn2fpga.design.layers import Top1
from bnn2fpga.errors import ModelError
from bnn2fpga.frontend.graph.execute import Array, Graph
from bnn2fpga.frontend.graph.quantizer import attribute
from bnn2fpga.frontend.lowering.builder import Builder
from bnn2fpga.frontend.lowering.elementwise_chain import evaluate
from bnn2fpga.frontend.lowering.signal import Result, Segment, Signal


def lower_output(
    graph: Graph, build: Builder, node: onnx.NodeProto, signal: Signal, exact_sums: bool
) -> Result:
    """TopK, ArgMax or Softmax: the host's, but for the top-1 of scores that their integers order."""
    scores = _scores(graph, signal)
    selects = node.op_type in ("TopK", "ArgMax") and graph.reads(node.output[-1])
    if selects and scores is not None and np.any(signal.rounding) and not exact_sums:
        raise ModelError(
            f"{node.name}: the rounding of the float sum in {signal.port.node} decides between equal "
            "scores; make its scales powers of two, or allow exact_sums (--exact-sums: the first is taken)"
        )
    in_order = np.array_equal(signal.index.ravel(), np.arange(signal.index.size))
    if scores is None or np.any(np.diff(scores) <= 0) or not in_order or not _is_top1(graph, node, signal):
        build.say(f"{node.name} is no top-1 of scores that their integers alone order")
        return Result((signal,))
    build.say("the integers alone order the scores; the first of equal ones is taken")
    port, kernel = build.add(node.name, Top1(signal.stream), signal.port)
    index = np.zeros(graph.shape(node.output[-1]), np.int64)
    points = np.arange(signal.index.size)
    label = Signal(port, kernel.outputs[0], np.ones(1), points, (Segment(node.output[-1], index),))
    return Result((label,))


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


def _scores(graph: Graph, signal: Signal) -> Array | None:
    """The scores that the signal's points stand for; None if that differs from place to place."""
    if signal.pools:
        return None
    nodes = signal.segment.nodes
    values = evaluate(graph, signal, [], nodes[-1].output[0] if nodes else "").values
    return values[:, 0] if np.all(values == values[:, :1]) else None
