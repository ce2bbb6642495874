"""Moves an activation into the matrix-vector unit before it."""

from __future__ import annotations

from dataclasses import replace

from bnn2fpga.design.graph import Design, Edge, Node
from bnn2fpga.design.kernel import Kernel
from bnn2fpga.kernels.bases.matrix_vector import MatrixVector
from bnn2fpga.kernels.threshold import Threshold


def fuse_thresholds(design: Design) -> Design:
    """The same design with every Threshold that alone reads a matrix-vector unit's sums fused into it."""
    for node in design.nodes:
        (edge, *others) = design.incoming(node.name)
        if not isinstance(node.kernel, Threshold) or others or edge.source.node is None:
            continue
        producer = design[edge.source.node]
        alike = isinstance(producer, MatrixVector) and producer.rows == node.kernel.steps.channels
        if alike and isinstance(producer, MatrixVector) and producer.steps is None:
            fused = replace(producer, steps=node.kernel.steps, pe=node.kernel.pe)
            return fuse_thresholds(_without(design, node, edge, fused))
    return design


def _without(design: Design, gone: Node, edge: Edge, fused: Kernel) -> Design:
    """`gone`'s output becomes that of the kernel before it, which becomes `fused`."""
    nodes = tuple(
        Node(node.name, fused if node.name == edge.source.node else node.kernel)
        for node in design.nodes
        if node.name != gone.name
    )
    edges = tuple(
        replace(e, source=edge.source) if e.source.node == gone.name else e for e in design.edges if e != edge
    )
    return replace(design, nodes=nodes, edges=edges)
