"""Nodes of a graph as operations of the driver, where each has one exact result on every machine.

An operation of IEEE arithmetic has; a sum of floats has not, as its rounding depends on the order of
additions, nor has anything with exp.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import onnx

from bnn2fpga.driver.operations import (
    Arithmetic,
    Bipolar,
    Cast,
    Largest,
    Operation,
    Quantize,
    Reshape,
    Transpose,
)
from bnn2fpga.errors import ModelError
from bnn2fpga.frontend.graph.execute import Array, Graph
from bnn2fpga.frontend.graph.quantizer import attribute

ARITHMETIC = {"Add": "add", "Sub": "subtract", "Mul": "multiply", "Div": "divide"}
ROUNDING = {"ROUND": "rint", "HALF_EVEN": "rint", "CEIL": "ceil", "FLOOR": "floor", "DOWN": "trunc"}
"""QONNX's rounding modes that numpy has under a name."""


def chain(graph: Graph, nodes: Sequence[onnx.NodeProto], start: str, end: str) -> tuple[Operation, ...]:
    """The operations of `nodes` from tensor `start` to `end`, one node behind the other.

    A ModelError names the node that has no exact form outside of the graph, and why.
    """
    at = start
    operations: list[Operation] = []
    for node in nodes:
        inputs = [name for name in node.input if name and name not in graph.constants]
        if inputs != [at]:
            raise ModelError(f"{node.name}: takes {', '.join(inputs)}, but only a chain of nodes is exported")
        rule = RULES.get(node.op_type)
        if rule is None:
            raise ModelError(
                f"{node.name}: {node.op_type} has no form that is exact on every machine; the driver has "
                f"{', '.join(sorted(RULES))}"
            )
        found = rule(graph, node)
        operations += [found] if found else []
        at = next(name for name in node.output if graph.reads(name))
    if at != end:
        raise ModelError(f"{end}: is not the result of a chain of nodes")
    return tuple(operations)


def _constant(graph: Graph, node: onnx.NodeProto, place: int) -> Array:
    """A float32 constant; numpy's versions convert other types differently."""
    value = graph.constants[node.input[place]]
    if value.dtype != np.float32:
        raise ModelError(f"{node.name}: a constant of {value.dtype}; only float32 is exported")
    return value


def _frame_shape(graph: Graph, tensor: str, node: onnx.NodeProto) -> tuple[int, ...]:
    shape = graph.shape(tensor)
    if not shape or shape[0] != 1:
        raise ModelError(f"{node.name}: gives shape {shape}; only (1, …) is exported")
    return shape[1:]


def _arithmetic(graph: Graph, node: onnx.NodeProto) -> Operation:
    first = node.input[0] in graph.constants
    return Arithmetic(ARITHMETIC[node.op_type], _constant(graph, node, 0 if first else 1), reversed=first)


def _bipolar(graph: Graph, node: onnx.NodeProto) -> Operation:
    return Bipolar(_constant(graph, node, 1))


def _quantize(graph: Graph, node: onnx.NodeProto) -> Operation:
    scale, zero, bits = (_constant(graph, node, place) for place in (1, 2, 3))
    mode = cast(bytes, attribute(node, "rounding_mode", b"ROUND")).decode().upper()
    signed, narrow = bool(attribute(node, "signed", 1)), bool(attribute(node, "narrow", 0))
    width = int(bits.item())
    if mode not in ROUNDING or (signed and width == 1):
        raise ModelError(f"{node.name}: rounding {mode} of {width} bits is not exported")
    low = -(1 << (width - 1)) + narrow if signed else 0
    high = (1 << (width - 1)) - 1 if signed else (1 << width) - 1 - narrow
    return Quantize(scale, zero, low, high, ROUNDING[mode])


def _reshape(graph: Graph, node: onnx.NodeProto) -> Operation:
    _frame_shape(graph, node.input[0], node)
    return Reshape(_frame_shape(graph, node.output[0], node))


def _transpose(graph: Graph, node: onnx.NodeProto) -> Operation:
    axes = tuple(cast(Sequence[int], attribute(node, "perm", ())))
    if not axes or axes[0] != 0:
        raise ModelError(f"{node.name}: moves the batch; only other axes are exported")
    return Transpose(axes)


def _largest(graph: Graph, node: onnx.NodeProto) -> Operation:
    """ArgMax; TopK whose values nobody reads. The first of equal elements comes first in both."""
    top = node.op_type == "TopK"
    axis = cast(int, attribute(node, "axis", -1 if top else 0)) % len(graph.shape(node.input[0]))
    allowed = attribute(node, "largest", 1) if top else not attribute(node, "select_last_index", 0)
    if not allowed or axis == 0 or (top and graph.reads(node.output[0])):
        raise ModelError(f"{node.name}: only the places of the largest elements are exported")
    count = 1
    if top:
        asked = graph.constants[node.input[1]] if len(node.input) > 1 else attribute(node, "k", 1)
        count = int(np.asarray(asked).item())
    return Largest(axis, count, _frame_shape(graph, node.output[-1], node))


def _cast(graph: Graph, node: onnx.NodeProto) -> Operation:
    return Cast(str(onnx.helper.tensor_dtype_to_np_dtype(cast(int, attribute(node, "to", 1)))))


RULES: dict[str, Callable[[Graph, onnx.NodeProto], Operation | None]] = {
    **dict.fromkeys(ARITHMETIC, _arithmetic),
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), _reshape),
    **dict.fromkeys(("Quant", "IntQuant"), _quantize),
    **dict.fromkeys(("ArgMax", "TopK"), _largest),
    "BipolarQuant": _bipolar,
    "Cast": _cast,
    "Identity": lambda graph, node: None,
    "Transpose": _transpose,
}
