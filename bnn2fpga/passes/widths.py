"""Gives kernels their folding and puts width converters between those that disagree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import gcd

from bnn2fpga.ir import Design, Edge, Node, Port, Stream
from bnn2fpga.kernel import Kernel
from bnn2fpga.kernels import implement
from bnn2fpga.kernels.width_converter import WidthConverter
from bnn2fpga.layers import Regroup


def refold(design: Design, foldings: Mapping[str, Kernel]) -> Design:
    """The same graph with the kernels of `foldings` and the width converters that they need."""
    bare = without_converters(design)
    kernels = {node.name: foldings.get(node.name, node.kernel) for node in bare.nodes}
    nodes: list[Node] = []
    edges: list[Edge] = []
    for node in bare.nodes:
        for edge in bare.incoming(node.name):
            wanted = kernels[node.name].inputs[edge.target.index]
            have = (
                wanted if edge.source.node is None else kernels[edge.source.node].outputs[edge.source.index]
            )
            converters, joined = _convert(edge, have, wanted)
            nodes += converters
            edges += joined
        nodes.append(Node(node.name, kernels[node.name]))
    for edge in bare.outputs:
        stream = (
            edge.stream if edge.source.node is None else kernels[edge.source.node].outputs[edge.source.index]
        )
        edges.append(replace(edge, stream=stream))
    return replace(design, nodes=tuple(nodes), edges=tuple(edges))


def without_converters(design: Design) -> Design:
    """The design as if every kernel's lanes fitted; not valid on its own where they do not."""
    gone = {node.name for node in design.nodes if isinstance(node.kernel, WidthConverter)}
    edges = []
    for edge in design.edges:
        if edge.target.node in gone:
            continue
        source = edge.source
        while source.node in gone:
            source = design.incoming(source.node)[0].source
        edges.append(replace(edge, source=source, stream=design_stream(design, source, edge)))
    kept = tuple(node for node in design.nodes if node.name not in gone)
    unchecked = object.__new__(Design)
    for name, value in (
        ("name", design.name),
        ("nodes", kept),
        ("edges", tuple(edges)),
        ("host", design.host),
    ):
        object.__setattr__(unchecked, name, value)
    return unchecked


def design_stream(design: Design, source: Port, edge: Edge) -> Stream:
    """The stream that leaves port `source`."""
    return edge.stream if source.node is None else design[source.node].outputs[source.index]


def _convert(edge: Edge, have: Stream, wanted: Stream) -> tuple[list[Node], list[Edge]]:
    """The converters on an edge, none, one, or two by way of the common divisor, and its pieces."""
    lanes = [have.lanes, wanted.lanes]
    if have.lanes % wanted.lanes and wanted.lanes % have.lanes:
        lanes.insert(1, gcd(*lanes))
    # a flattened frame has more lane counts to choose from than its channels
    shape = have.shape if have.channels % wanted.lanes == 0 else wanted.shape
    nodes, edges, source, stream = [], [], edge.source, have
    for number, (before, after) in enumerate(zip(lanes, lanes[1:], strict=False)):
        if before == after:
            continue
        kernel = implement(Regroup(Stream(shape, have.type, before), after))
        name = f"{edge.target.node}_in{edge.target.index}_width{number}"
        nodes.append(Node(name, kernel))
        edges.append(replace(edge, source=source, target=Port(name), stream=stream))
        source, stream = Port(name), kernel.outputs[0]
    return nodes, [*edges, replace(edge, source=source, stream=stream)]
