"""What the graph itself computes, for comparison with the design."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from qonnx.core.modelwrapper import ModelWrapper

from bnn2fpga.design.integers import Ints
from bnn2fpga.frontend.graph.execute import Array, Graph
from bnn2fpga.frontend.graph.frames_at_once import frames_at_once
from bnn2fpga.frontend.lowering.exact_sums import ExactGraph
from bnn2fpga.frontend.lowering.graph_host import GraphHost

BATCH = 256


@dataclass(frozen=True, eq=False)
class Computed:
    """A level's results for N frames: the core's output integers (N, size) and the graph's outputs."""

    integers: Ints | None
    outputs: tuple[Array, ...]


@dataclass(frozen=True, eq=False)
class BeforeCore:
    """What the first quantizer takes, by the graph and by the driver; and the graph's integers."""

    graph: Array
    driver: Array
    integers: Ints


def compute_graph(
    model: ModelWrapper, host: GraphHost, frames: Array, inputs: Ints | None = None, exact: bool = False
) -> Computed:
    """Executes `model` (the loaded or the streamlined one) and reads off the core's integers.

    With `inputs`, the core's integers (N, …), it begins there instead of at the `frames`. With `exact` the
    sums that float32 rounds are put on their grids. The integers are None where the graph does not hold the
    tensors at the core's border.
    """
    graph = ExactGraph(model, host.sums) if exact else Graph(model)
    known = {name for node in graph.nodes for name in node.output}
    tensors = [core.tensor for core in host.cores]
    whole = known.issuperset(tensors)
    names = [*graph.outputs, *(tensors if whole else ())]
    if inputs is None or host.core_input not in known:
        values = graph.execute(
            np.asarray(frames, np.float32), tensors if whole else (), frames_at_once(model)
        )
    else:
        values = _from(graph, host, inputs, names)
    return Computed(host.scores(values) if whole else None, tuple(values[name] for name in graph.outputs))


def _from(graph: Graph, host: GraphHost, inputs: Ints, names: list[str]) -> dict[str, Array]:
    """The tensors `names` from the core's integers on."""
    nodes = graph.between([host.core_input], *names)
    real = host.inputs(inputs)
    chunks = [graph.run(nodes, {host.core_input: real[at : at + BATCH]}) for at in range(0, len(real), BATCH)]
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in names}


def compute_host(model: ModelWrapper, host: GraphHost, frames: Array) -> BeforeCore:
    """What lies before the core, where its nodes add floats; `model` is the loaded one."""
    graph = Graph(model)
    tensor, program = host.before_core()
    x = np.asarray(frames, np.float32)
    values = graph.execute(x, [tensor, host.core_input], frames_at_once(model))
    driven = np.concatenate([program.run(x[at : at + BATCH])[0] for at in range(0, len(x), BATCH)])
    integers = host.integers(values[host.core_input], host.input_scale, host.input_index)
    return BeforeCore(values[tensor], driven, integers)
