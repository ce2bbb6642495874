"""Gives kernels their folding and puts width converters between those that disagree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from math import gcd, lcm

from bnn2fpga.design.folding import WIDEST_BEAT
from bnn2fpga.design.graph import Design, Edge, Node, Port
from bnn2fpga.design.kernel import Kernel
from bnn2fpga.design.layers import Regroup
from bnn2fpga.design.stream import Stream
from bnn2fpga.kernels import implement
from bnn2fpga.kernels.width_converter import WidthConverter
from bnn2fpga.planning.timing.steady_state import SMALLEST


def without_converters(design: Design) -> tuple[tuple[Node, ...], tuple[Edge, ...]]:
    """The nodes and edges as if every kernel's lanes fitted."""
    gone = {node.name for node in design.nodes if isinstance(node.kernel, WidthConverter)}
    edges = []
    for edge in design.edges:
        if edge.target.node not in gone:
            source = edge.source
            while source.node in gone:
                source = design.incoming(source.node)[0].source
            edges.append(replace(edge, source=source))
    return tuple(node for node in design.nodes if node.name not in gone), tuple(edges)


def refold(design: Design, foldings: Mapping[str, Kernel]) -> Design:
    """The same graph with the kernels of `foldings` and the width converters that they need.

    FIFOs get their smallest depth again: another one was for another folding.
    """
    bare_nodes, bare_edges = without_converters(design)
    bare_edges = tuple(replace(edge, depth=SMALLEST) for edge in bare_edges)
    kernels = {node.name: foldings.get(node.name, node.kernel) for node in bare_nodes}

    def leaving(edge: Edge, otherwise: Stream) -> Stream:
        return otherwise if edge.source.node is None else kernels[edge.source.node].outputs[edge.source.index]

    nodes: list[Node] = []
    edges: list[Edge] = []
    for node in bare_nodes:
        for edge in (edge for edge in bare_edges if edge.target.node == node.name):
            wanted = kernels[node.name].inputs[edge.target.index]
            between, pieces = _convert(edge, leaving(edge, wanted), wanted)
            nodes += between
            edges += pieces
        nodes.append(Node(node.name, kernels[node.name]))
    outgoing = (edge for edge in bare_edges if edge.target.node is None)
    edges += [replace(edge, stream=leaving(edge, edge.stream)) for edge in outgoing]
    return replace(design, nodes=tuple(nodes), edges=tuple(edges))


def converters(have: Stream, wanted: Stream) -> list[Kernel]:
    """The kernels that turn one stream into the other: none, one, or two by way of a common multiple.

    The common divisor would be narrower, but slower than both ends; it stands in where the multiple is
    wider than a stream may be.
    """
    lanes = [have.lanes, wanted.lanes]
    if have.lanes % wanted.lanes and wanted.lanes % have.lanes:
        wide = lcm(*lanes)
        lanes.insert(1, wide if wide * have.type.bits <= WIDEST_BEAT else gcd(*lanes))
    # either end may view the frame as flattened, with more lane counts to choose from
    shapes = (have.shape, wanted.shape, (have.size,))
    shape = next(shape for shape in shapes if all(shape[-1] % count == 0 for count in lanes))
    return [
        implement(Regroup(Stream(shape, have.type, before), after))
        for before, after in pairwise(lanes)
        if before != after
    ]


def _convert(edge: Edge, have: Stream, wanted: Stream) -> tuple[list[Node], list[Edge]]:
    """The converters on an edge and its pieces."""
    nodes, edges, source, stream = [], [], edge.source, have
    for number, kernel in enumerate(converters(have, wanted)):
        name = f"{edge.target.node}_in{edge.target.index}_width{number}"
        nodes.append(Node(name, kernel))
        edges.append(replace(edge, source=source, target=Port(name), stream=stream))
        source, stream = Port(name), kernel.outputs[0]
    return nodes, [*edges, replace(edge, source=source, stream=stream)]
