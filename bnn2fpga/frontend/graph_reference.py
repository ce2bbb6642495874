"""What the graph itself computes, for comparison with the design."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from qonnx.core.modelwrapper import ModelWrapper

from bnn2fpga.design.integers import Ints
from bnn2fpga.frontend.graph.execute import Array, Graph
from bnn2fpga.frontend.graph.frames_at_once import frames_at_once
from bnn2fpga.frontend.lowering.graph_host import GraphHost


@dataclass(frozen=True, eq=False)
class Computed:
    """A level's results for N frames: the core's output integers (N, size) and the graph's output."""

    integers: Ints | None
    outputs: Array


def compute_graph(model: ModelWrapper, host: GraphHost, frames: Array) -> Computed:
    """Executes `model` (the loaded or the streamlined one) and reads off the core's integers.

    They are None where the graph does not hold the tensor at the core's border.
    """
    graph = Graph(model)
    known = {name for node in graph.nodes for name in node.output}
    tensors = [host.core_output] if host.core_output in known else []
    values = graph.execute(np.asarray(frames, np.float32), tensors, frames_at_once(model))
    integers = host.scores(values[host.core_output]) if tensors else None
    return Computed(integers, values[graph.output])
