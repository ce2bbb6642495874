"""Gemm in plain nodes."""

from __future__ import annotations

from typing import cast

import numpy as np
from onnx import NodeProto, helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.base import Transformation

from bnn2fpga.frontend.graph.quantizer import attribute


class SplitGemm(Transformation):  # type: ignore[misc]
    """alpha * A B + beta * C as MatMul and Add, with a Transpose or a Mul only where the node has one.

    qonnx' GemmToMatMul does the same and then cleans the whole graph up several times a node, which takes
    minutes for a residual network.
    """

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        graph = model.graph
        for node in [node for node in graph.node if node.op_type == "Gemm"]:
            place = list(graph.node).index(node)
            new = _plain(model, node)
            graph.node.remove(node)
            for offset, one in enumerate(new):
                graph.node.insert(place + offset, one)
        return model, False


def _plain(model: ModelWrapper, node: NodeProto) -> list[NodeProto]:
    nodes: list[NodeProto] = []

    def add(kind: str, *inputs: str) -> str:
        name = f"{node.output[0]}_{kind}{len(nodes)}"
        nodes.append(helper.make_node(kind, list(inputs), [name], name=f"{node.name}_{kind}{len(nodes)}"))
        return name

    def scaled(tensor: str, factor: str) -> str:
        value = cast(float, attribute(node, factor, 1.0))
        if value == 1.0:
            return tensor
        constant = f"{node.output[0]}_{factor}"
        model.set_initializer(constant, np.float32(value))
        return add("Mul", tensor, constant)

    left, right = node.input[0], node.input[1]
    if attribute(node, "transA", 0):
        left = add("Transpose", left)
    if attribute(node, "transB", 0):
        right = add("Transpose", right)
    product = scaled(add("MatMul", left, right), "alpha")
    if len(node.input) > 2 and node.input[2]:
        add("Add", product, scaled(node.input[2], "beta"))
    nodes[-1].output[0] = node.output[0]
    return nodes
