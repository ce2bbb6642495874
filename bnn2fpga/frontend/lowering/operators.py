"""The operators of a graph by what becomes of them, and which of them alone follow a tensor."""

from __future__ import annotations

import onnx

from bnn2fpga.frontend.graph.execute import Graph
from bnn2fpga.frontend.graph.quantizer import QUANTIZERS

_ELEMENTWISE = """
    Abs Add BatchNormalization Cast Ceil Celu Clip Div Dropout Elu Erf Exp Floor Gelu Greater GreaterOrEqual
    HardSigmoid HardSwish Identity LeakyRelu Less LessOrEqual Log Max Min Mish Mul Neg PRelu Pow Reciprocal
    Relu Round Selu Sigmoid Sign Softplus Softsign Sqrt Sub Tanh ThresholdedRelu Where
"""
ELEMENTWISE = frozenset(_ELEMENTWISE.split())
LAYOUT = frozenset(
    {"Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Tile", "Expand", "Slice", "Gather"}
)
OUTPUT = frozenset({"TopK", "ArgMax", "Softmax", "LogSoftmax"})
LAYERS = frozenset({"MatMul", "Gemm", "Conv", "ConvTranspose"})
AVERAGE = frozenset({"AveragePool", "GlobalAveragePool"})


def only_quantized(graph: Graph, tensor: str) -> bool:
    """Whether nothing but quantizers take `tensor`, at most elementwise nodes in front of them."""
    readers = [node for node in graph.nodes if tensor in node.input]
    return bool(readers) and all(
        node.op_type in QUANTIZERS
        or (node.op_type in ELEMENTWISE | LAYOUT and only_quantized(graph, node.output[0]))
        for node in readers
    )


def only_host(graph: Graph, tensor: str) -> bool:
    """Whether nothing behind `tensor` needs the fabric: no layer of quantized weights or activations."""
    behind = _behind(graph, {tensor})
    for node in behind:
        if node.op_type in LAYERS and _quantized(graph, node):
            return False
        if node.op_type in QUANTIZERS and feeds_layer(graph, node):
            return False
    return True


def feeds_layer(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether a layer stands anywhere behind `node`."""
    return any(other.op_type in LAYERS for other in _behind(graph, set(node.output)))


def _behind(graph: Graph, tensors: set[str]) -> list[onnx.NodeProto]:
    """The nodes that depend on `tensors`."""
    reached, found = set(tensors), []
    for node in graph.nodes:
        if reached.intersection(node.input):
            reached |= set(node.output)
            found.append(node)
    return found


def _quantized(graph: Graph, layer: onnx.NodeProto) -> bool:
    """Whether a quantizer made the layer's constant weights."""
    made = {name: node for node in graph.nodes for name in node.output}
    name = layer.input[1]
    while name in made and made[name].op_type in LAYOUT:
        name = made[name].input[0]
    return name in made and made[name].op_type in QUANTIZERS
