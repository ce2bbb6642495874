"""Nodes of a graph as operations of the driver, each of which gives the same bits on every machine.

Where a graph's node is a single operation of IEEE arithmetic, these are the graph's bits. A sum of floats
and a curve such as exp have no bits of their own: the driver computes them in float64 in a fixed order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import onnx

from bnn2fpga.design.host import HostWork
from bnn2fpga.driver.operations import (
    TYPES,
    Arithmetic,
    Bipolar,
    Cast,
    Concatenate,
    Elementwise,
    Largest,
    Operation,
    Quantize,
    Reshape,
    Select,
    Slope,
    Thresholds,
    Together,
    Transpose,
)
from bnn2fpga.driver.program import Step
from bnn2fpga.errors import ModelError
from bnn2fpga.frontend.graph.execute import Graph
from bnn2fpga.frontend.graph.quantizer import QUANTIZERS, attribute, threshold_axis
from bnn2fpga.frontend.lowering.host_layers import LAYER_RULES, constant, frame_shape

ARITHMETIC = {
    "Add": "add",
    "Sub": "subtract",
    "Mul": "multiply",
    "Div": "divide",
    "Max": "maximum",
    "Min": "minimum",
}
UNARY = {"Abs": "abs", "Neg": "negative", "Sqrt": "sqrt", "Floor": "floor", "Ceil": "ceil", "Round": "rint"}
ROUNDING = {"ROUND": "rint", "HALF_EVEN": "rint", "CEIL": "ceil", "FLOOR": "floor", "DOWN": "trunc"}
"""QONNX's rounding modes that numpy has under a name."""

LARGEST = frozenset({"MaxPool", "GlobalMaxPool", "ReduceMax", "ReduceMin"})
"""Layers that only compare."""

Rule = Callable[[Graph, onnx.NodeProto, int], tuple[Operation, ...]]


def append(graph: Graph, nodes: Sequence[onnx.NodeProto], steps: list[Step], values: dict[str, int]) -> bool:
    """Appends `nodes` to the `steps` of a program; `values` says which value each known tensor is.

    Whether every result has the graph's bits. A ModelError names the node that has no form in the driver.
    """
    exact = True
    for node in nodes:
        rule = EXACT_RULES.get(node.op_type) or LAYER_RULES.get(node.op_type)
        if rule is None:
            raise ModelError(f"{node.name}: {node.op_type} has no form in the driver, which has numpy alone")
        exact = exact and (node.op_type in EXACT_RULES or node.op_type in LARGEST)
        sources = tuple(values[name] for name in node.input if name and name not in graph.constants)
        for place, output in enumerate(node.output):
            if output and graph.reads(output):
                at = sources
                for operation in rule(graph, node, place):
                    steps.append(Step(operation, at))
                    at = (len(steps),)
                values[output] = at[0]
    return exact


def work(graph: Graph, node: onnx.NodeProto, before: bool) -> HostWork:
    """What `node` costs for one frame; nothing where it is constant."""
    if node.output[0] in graph.constants:
        return HostWork(node.name, node.op_type, before, 0, 0, 0)
    results = sum(int(np.prod(graph.shape(name))) for name in node.output if name and graph.reads(name))
    floats = [graph.constants[name] for name in node.input if name in graph.constants]
    if node.op_type in QUANTIZERS:
        floats = []
    parameters = sum(value.size for value in floats if np.issubdtype(value.dtype, np.floating))
    products = 0
    if node.op_type in ("Conv", "MatMul", "Gemm") and node.input[1] in graph.constants:
        weight = graph.constants[node.input[1]]
        outputs = weight.shape[0] if node.op_type == "Conv" else weight.size // graph.shape(node.input[0])[-1]
        products = results * (weight.size // outputs)
    return HostWork(node.name, node.op_type, before, parameters, products, results)


def _arithmetic(graph: Graph, node: onnx.NodeProto, place: int) -> tuple[Operation, ...]:
    function = ARITHMETIC[node.op_type]
    constants = [name in graph.constants for name in node.input]
    if len(constants) != 2:
        raise ModelError(f"{node.name}: {node.op_type} of {len(constants)} tensors; legal: two")
    if not any(constants):
        return (Together(function),)
    return (Arithmetic(function, constant(graph, node, constants.index(True)), reversed=constants[0]),)


def _unary(graph: Graph, node: onnx.NodeProto, place: int) -> tuple[Operation, ...]:
    return (Elementwise(UNARY[node.op_type]),)


def _relu(graph: Graph, node: onnx.NodeProto, place: int) -> tuple[Operation, ...]:
    return (Arithmetic("maximum", np.zeros((), np.float32)),)


def _slope(graph: Graph, node: onnx.NodeProto, place: int) -> tuple[Operation, ...]:
    if node.op_type == "PRelu":
        return (Slope(constant(graph, node, 1)),)
    return (Slope(np.asarray(attribute(node, "alpha", 0.01), np.float32)),)


def _clip(graph: Graph, node: onnx.NodeProto, place: int) -> tuple[Operation, ...]:
    found: list[Operation] = []
    for number, (function, name) in enumerate((("maximum", "min"), ("minimum", "max")), 1):
        if len(node.input) > number and node.input[number]:
            found.append(Arithmetic(function, constant(graph, node, number)))
        elif attribute(node, name, None) is not None:
            found.append(Arithmetic(function, np.asarray(attribute(node, name, None), np.float32)))
    return tuple(found)


def _bipolar(graph: Graph, node: onnx.NodeProto, place: int) -> tuple[Operation, ...]:
    return (Bipolar(constant(graph, node, 1)),)


def _quantize(graph: Graph, node: onnx.NodeProto, place: int) -> tuple[Operation, ...]:
    scale, zero, bits = (constant(graph, node, number) for number in (1, 2, 3))
    mode = cast(bytes, attribute(node, "rounding_mode", b"ROUND")).decode().upper()
    signed, narrow = bool(attribute(node, "signed", 1)), bool(attribute(node, "narrow", 0))
    width = int(bits.item())
    if mode not in ROUNDING or (signed and width == 1):
        raise ModelError(f"{node.name}: rounding {mode} of {width} bits has no form in the driver")
    low = -(1 << (width - 1)) + narrow if signed else 0
    high = (1 << (width - 1)) - 1 if signed else (1 << width) - 1 - narrow
    return (Quantize(scale, zero, low, high, ROUNDING[mode]),)


def _thresholds(graph: Graph, node: onnx.NodeProto, place: int) -> tuple[Operation, ...]:
    rows, axis = np.sort(constant(graph, node, 1)), threshold_axis(node, len(graph.shape(node.input[0])))
    scale, bias = (
        cast(float, attribute(node, name, one)) for name, one in (("out_scale", 1.0), ("out_bias", 0.0))
    )
    return (Thresholds(rows, axis, scale, bias),)


def _reshape(graph: Graph, node: onnx.NodeProto, place: int) -> tuple[Operation, ...]:
    frame_shape(graph, node.input[0], node)
    return (Reshape(frame_shape(graph, node.output[0], node)),)


def _transpose(graph: Graph, node: onnx.NodeProto, place: int) -> tuple[Operation, ...]:
    axes = tuple(cast(Sequence[int], attribute(node, "perm", ())))
    if not axes or axes[0] != 0:
        raise ModelError(f"{node.name}: moves the batch; only other axes have a form in the driver")
    return (Transpose(axes),)


def _moved(graph: Graph, node: onnx.NodeProto, place: int) -> tuple[Operation, ...]:
    """Any node that only moves elements: where each one comes from is what it makes of their places."""
    shape = (1, *frame_shape(graph, node.input[0], node))
    size = int(np.prod(shape))
    if node.op_type == "Resize" and attribute(node, "mode", b"nearest") != b"nearest":
        raise ModelError(f"{node.name}: interpolates; only the nearest pixel has a form in the driver")
    if size > 1 << 24 or any(name and name not in graph.constants for name in node.input[1:]):
        raise ModelError(f"{node.name}: what it selects is no constant, or of over 2**24 elements")
    places = np.arange(size, dtype=np.float32).reshape(shape)
    found = graph.run([node], {node.input[0]: places})[node.output[place]]
    if found.shape[:1] != (1,):
        raise ModelError(f"{node.name}: gives shape {found.shape}; legal: (1, …)")
    return (Select(found.astype(np.int64).ravel(), found.shape[1:]),)


def _concatenate(graph: Graph, node: onnx.NodeProto, place: int) -> tuple[Operation, ...]:
    axis = cast(int, attribute(node, "axis", 1)) % len(graph.shape(node.output[0]))
    if axis == 0 or any(name in graph.constants for name in node.input):
        raise ModelError(f"{node.name}: concatenates the batch or a constant; legal: activations")
    return (Concatenate(axis),)


def _largest(graph: Graph, node: onnx.NodeProto, place: int) -> tuple[Operation, ...]:
    """ArgMax; TopK whose values nobody reads. The first of equal elements comes first in both."""
    top = node.op_type == "TopK"
    axis = cast(int, attribute(node, "axis", -1 if top else 0)) % len(graph.shape(node.input[0]))
    allowed = attribute(node, "largest", 1) if top else not attribute(node, "select_last_index", 0)
    if not allowed or axis == 0 or (top and graph.reads(node.output[0])):
        raise ModelError(f"{node.name}: only the places of the largest elements have a form in the driver")
    count = 1
    if top:
        asked = graph.constants[node.input[1]] if len(node.input) > 1 else attribute(node, "k", 1)
        count = int(np.asarray(asked).item())
    return (Largest(axis, count, frame_shape(graph, node.output[-1], node)),)


def _cast(graph: Graph, node: onnx.NodeProto, place: int) -> tuple[Operation, ...]:
    name = str(onnx.helper.tensor_dtype_to_np_dtype(cast(int, attribute(node, "to", 1))))
    if name not in TYPES:
        raise ModelError(f"{node.name}: type {name} has no form in the driver; legal: {', '.join(TYPES)}")
    return (Cast(name),)


EXACT_RULES: dict[str, Rule] = {
    **dict.fromkeys(ARITHMETIC, _arithmetic),
    **dict.fromkeys(UNARY, _unary),
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), _reshape),
    **dict.fromkeys(("Slice", "Split", "Gather", "Tile", "Expand", "DepthToSpace", "SpaceToDepth"), _moved),
    **dict.fromkeys(("Quant", "IntQuant"), _quantize),
    **dict.fromkeys(("ArgMax", "TopK"), _largest),
    **dict.fromkeys(("LeakyRelu", "PRelu"), _slope),
    **dict.fromkeys(("Identity", "Dropout"), lambda graph, node, place: ()),
    "BipolarQuant": _bipolar,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concatenate,
    "MultiThreshold": _thresholds,
    "Relu": _relu,
    "Resize": _moved,
    "Transpose": _transpose,
}
"""Nodes whose bits IEEE arithmetic defines."""
