"""Tells what `lower` did with a graph, from the steps that it took itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import onnx
from qonnx.core.modelwrapper import ModelWrapper

from bnn2fpga.design.explanation import (
    Change,
    Explanation,
    GraphNode,
    Input,
    Integers,
    Refusal,
    Region,
    Unit,
)
from bnn2fpga.design.graph import Design, Port
from bnn2fpga.design.host import IntegerHost
from bnn2fpga.errors import BuildError
from bnn2fpga.frontend.graph.execute import Graph
from bnn2fpga.frontend.graph.streamline import Applied
from bnn2fpga.frontend.lowering.below_max import RowMax
from bnn2fpga.frontend.lowering.host_share import work
from bnn2fpga.frontend.lowering.lower import Lowering, Step
from bnn2fpga.frontend.lowering.signal import HostTensor, Parameter, Pooled, Result, Signal
from bnn2fpga.frontend.lowering.threshold_fusion import fuse_thresholds
from bnn2fpga.kernels.stream_fork import StreamFork


def explain(
    model: ModelWrapper,
    name: str = "network",
    exact_sums: bool = False,
    trunk_bits: int | None = None,
    host_layers: bool = False,
    transformations: Iterable[Applied] = (),
) -> Explanation:
    """What `lower` makes of a loaded and streamlined `model`, or up to where it refuses it.

    The other arguments are those of `lower`, and what `streamline` did. A refusal of `lower` is part of
    the explanation; raises ConfigError for bad `trunk_bits`, ModelError for a graph that cannot be read.
    """
    lowering = Lowering(Graph(model), exact_sums, trunk_bits, host_layers)
    refusal = None
    try:
        built = lowering.design(name)
    except BuildError as error:
        refusal = _refusal(lowering, error)
        built = lowering.build.finish(name, _ends(lowering), IntegerHost(()))
    regions = tuple(_regions(lowering, built, refusal is not None))
    changed = [one for one in transformations if one.changed]
    changes = tuple(Change(one.name, one.nodes_before, one.nodes_after) for one in changed)
    return Explanation(name, regions, changes, refusal)


def _ends(lowering: Lowering) -> list[Port]:
    """The ports that a refused graph leaves open: those nothing reads, and those the refused node takes."""
    values = [] if lowering.at is None else [lowering.values[name] for name in lowering.at.input if name]
    wanted = [value.port for value in values if isinstance(value, Signal)]
    return list(dict.fromkeys([*lowering.build.unread, *wanted]))


def _regions(lowering: Lowering, built: Design, refused: bool) -> Iterator[Region]:
    """Every region: in graph order the input's and those with kernels, then the rest."""
    kernels = _Kernels.of(lowering.steps, built)
    if lowering.core_input == lowering.graph.input and lowering.first is not None:
        rule = "the design's input: the graph's own integers"
        yield kernels.region((), None, (rule,), lowering.first)
    taken: set[str] = set()
    for step in lowering.steps:
        tensor = step.node.output[0]
        enters = tensor == lowering.core_input
        if enters or kernels.owned_by(tensor):
            nodes = _take(lowering.graph, tensor, taken)
            said = (*step.said, *_cost(lowering.graph, nodes)) if enters else step.said
            yield kernels.region(nodes, None if enters else tensor, said, step.value)
    if lowering.joining:
        rule = "the outputs behind one another in one stream; the driver takes them apart"
        names = [name for name in lowering.joining if name in kernels.final]
        yield Region((), tuple(Unit(name, kernels.final[name]) for name in names), rules=(rule,))
    yield from _rest(lowering, taken, refused)


def _take(graph: Graph, tensor: str, taken: set[str]) -> tuple[onnx.NodeProto, ...]:
    """The nodes that compute `tensor` and are not `taken` yet; now they are."""
    wanted, chosen = {tensor}, []
    for node in reversed(graph.nodes):
        if wanted & set(node.output) and node.output[0] not in taken:
            chosen.append(node)
            wanted |= set(node.input)
    taken |= {node.output[0] for node in chosen}
    return tuple(reversed(chosen))


def _rest(lowering: Lowering, taken: set[str], refused: bool) -> Iterator[Region]:
    """The nodes that no kernel took: the host's, then those that wait or lead nowhere."""
    rest = [step for step in lowering.steps if step.node.output[0] not in taken]
    if refused:
        host = [step for step in rest if isinstance(step.value, HostTensor | Result)]
        # constants may belong to nodes behind the refused one
        idle = [step for step in rest if isinstance(step.value, Signal)]
    else:
        for output in lowering.graph.outputs:
            _take(lowering.graph, output, taken)
        host = [step for step in rest if step.node.output[0] in taken]
        idle = [step for step in rest if step.node.output[0] not in taken]
    if host:
        said = [sentence for step in host for sentence in step.said]
        what = "float nodes that no kernel takes" if refused else "float nodes behind the last kernel"
        rules = (*said, what, *_cost(lowering.graph, (step.node for step in host)))
        yield Region(_named(step.node for step in host), on_host=True, rules=rules)
    if idle:
        why = "waits for the node that takes it" if refused else "the graph's output does not depend on it"
        yield Region(_named(step.node for step in idle), rules=(why,))


def _cost(graph: Graph, nodes: Iterable[onnx.NodeProto]) -> tuple[str, ...]:
    """What the host has to do for a frame, if it is more than moving and scaling results."""
    costs = [work(graph, node, False) for node in nodes]
    products = sum(cost.multiply_accumulates for cost in costs)
    parameters = sum(cost.parameters for cost in costs)
    if not products:
        return ()
    return (f"{parameters:,} float parameters, {products:,} multiply-accumulates a frame",)


@dataclass(frozen=True, eq=False)
class _Kernels:
    """The kernels of a design before (`built`) and after thresholds were fused.

    `owners` says by the first output of which node each was added, None for the graph's input. A fork is
    its source's; kernels that a refused node left behind are nobody's.
    """

    built: Design
    final: dict[str, str]
    owners: dict[str, str | None]

    @classmethod
    def of(cls, steps: Iterable[Step], built: Design) -> _Kernels:
        """The kernels of the design that `steps` led to."""
        owners: dict[str, str | None] = {name: step.node.output[0] for step in steps for name in step.kernels}
        for node in built.nodes:
            source = built.incoming(node.name)[0].source.node
            if isinstance(node.kernel, StreamFork) and (source is None or source in owners):
                owners[node.name] = None if source is None else owners[source]
        final = {node.name: type(node.kernel).__name__ for node in fuse_thresholds(built).nodes}
        return cls(built, final, owners)

    def owned_by(self, tensor: str | None) -> list[str]:
        """The kernels, in order, that the node of this first output added."""
        return [n.name for n in self.built.nodes if n.name in self.owners and self.owners[n.name] == tensor]

    def region(
        self, nodes: Iterable[onnx.NodeProto], tensor: str | None, rules: tuple[str, ...], value: object
    ) -> Region:
        """The region of `nodes` with the kernels owned by `tensor`; the host's if it is the input's."""
        own = self.owned_by(tensor)
        fused = [self.built.incoming(name)[0].source.node for name in own if name not in self.final]
        return Region(
            _named(nodes),
            tuple(Unit(name, self.final[name]) for name in own if name in self.final),
            tuple(name for name in fused if name is not None),
            tensor is None,
            rules,
            _integers(value),
        )


def _named(nodes: Iterable[onnx.NodeProto]) -> tuple[GraphNode, ...]:
    return tuple(GraphNode(node.name, node.op_type) for node in nodes)


def _integers(value: object) -> Integers | None:
    """What is known of a signal, before its pending nodes; None for anything else."""
    signal = value.signals[0] if isinstance(value, Result) and len(value.signals) == 1 else value
    if not isinstance(signal, Signal):
        return None
    bias = np.asarray(signal.bias)
    return Integers(
        str(signal.stream.type),
        int(signal.points[0]),
        int(signal.points[-1]),
        (float(signal.scale.min()), float(signal.scale.max())),
        signal.multiplier,
        signal.offset,
        (float(bias.min()), float(bias.max())),
    )


def _refusal(lowering: Lowering, error: BuildError) -> Refusal:
    node = lowering.at
    if node is None:
        return Refusal(str(error), error.exit_code)
    inputs = tuple(_input(lowering, tensor) for tensor in node.input if tensor)
    return Refusal(str(error), error.exit_code, GraphNode(node.name, node.op_type), inputs)


def _input(lowering: Lowering, tensor: str) -> Input:
    value = lowering.values[tensor]
    shape = lowering.graph.model.get_tensor_shape(tensor)
    shape = None if shape is None else tuple(shape)
    if isinstance(value, Parameter):
        kind = "float" if value.type is None else str(value.type)
        return Input(tensor, shape, f"constant, {kind}")
    if isinstance(value, HostTensor):
        return Input(tensor, shape, "float values, on the host")
    if isinstance(value, Result):
        return Input(tensor, shape, "the network's result, on the host")
    if isinstance(value, RowMax):
        return Input(tensor, shape, "the largest of each row of scores")
    waiting = tuple(
        name
        for item in value.pending
        for name in ([item.name] if isinstance(item, Pooled) else [node.name for node in item.nodes])
    )
    known = f"integers of {value.port.node or 'the design’s input'}"
    return Input(tensor, shape, known, _integers(value), waiting)
