"""The operators of a graph by what becomes of them, and which of them alone follow a tensor."""

from __future__ import annotations

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
    """Whether nothing behind `tensor` needs the fabric: a last layer in floating point."""
    readers = [node for node in graph.nodes if tensor in node.input]
    return all(
        node.op_type in ELEMENTWISE | LAYOUT | OUTPUT and only_host(graph, node.output[0]) for node in readers
    )
