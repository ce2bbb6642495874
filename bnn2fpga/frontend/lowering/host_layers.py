"""Float layers and curves as operations of the driver: the same bits on every machine, not the graph's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import onnx

from bnn2fpga.driver.layers import Affine, Convolution, Curve, MatMul, Pool, Reduce, Softmax
from bnn2fpga.driver.operations import Arithmetic, Operation, Reshape
from bnn2fpga.errors import ModelError
from bnn2fpga.frontend.graph.execute import Array, Graph
from bnn2fpga.frontend.graph.quantizer import attribute

CURVES = {"Exp": "exp", "Log": "log", "Sigmoid": "sigmoid", "Softplus": "softplus", "Tanh": "tanh"}
REDUCED = {"ReduceMean": "mean", "ReduceSum": "sum", "ReduceMax": "max", "ReduceMin": "min"}


def constant(graph: Graph, node: onnx.NodeProto, place: int) -> Array:
    """A float32 constant that the node takes; numpy's versions convert other types differently."""
    value = graph.constants.get(node.input[place])
    if value is None:
        raise ModelError(f"{node.name}: {node.input[place]} is computed; only a constant has a form there")
    if value.dtype != np.float32:
        raise ModelError(f"{node.name}: a constant of {value.dtype}; legal: float32")
    return value


def frame_shape(graph: Graph, tensor: str, node: onnx.NodeProto) -> tuple[int, ...]:
    """The shape of `tensor` without the batch."""
    shape = graph.shape(tensor)
    if not shape or shape[0] != 1:
        raise ModelError(f"{node.name}: shape {shape} at {tensor}; legal: (1, …)")
    return shape[1:]


def _matmul(graph: Graph, node: onnx.NodeProto, place: int) -> tuple[Operation, ...]:
    weight = constant(graph, node, 1)
    if node.input[0] in graph.constants or weight.ndim != 2:
        raise ModelError(f"{node.name}: needs an activation and constant weights (inputs, outputs)")
    return (MatMul(weight),)


def _gemm(graph: Graph, node: onnx.NodeProto, place: int) -> tuple[Operation, ...]:
    weight = constant(graph, node, 1)
    if node.input[0] in graph.constants or attribute(node, "transA", 0):
        raise ModelError(f"{node.name}: needs an activation and constant weights, the activation as it is")
    found: tuple[Operation, ...] = (MatMul(weight.T if attribute(node, "transB", 0) else weight),)
    alpha, beta = (cast(float, attribute(node, name, 1.0)) for name in ("alpha", "beta"))
    if alpha != 1:
        found += (Arithmetic("multiply", np.asarray(alpha, np.float32)),)
    if len(node.input) > 2 and node.input[2]:
        found += (Arithmetic("add", np.asarray(beta, np.float32) * constant(graph, node, 2)),)
    return found


def _convolution(graph: Graph, node: onnx.NodeProto, place: int) -> tuple[Operation, ...]:
    weight = constant(graph, node, 1)
    with_bias = len(node.input) > 2 and node.input[2]
    bias = constant(graph, node, 2) if with_bias else np.zeros(len(weight), np.float32)
    groups = cast(int, attribute(node, "group", 1))
    around, window = _window(graph, node, weight.shape[2:])
    if len(weight.shape) == 3:
        weight = weight[:, :, None]
    return _flat(graph, node, around, Convolution(weight, bias, groups, window))


def _pool(graph: Graph, node: onnx.NodeProto, place: int) -> tuple[Operation, ...]:
    around, window = _window(graph, node, cast(Sequence[int], attribute(node, "kernel_shape", ())))
    if attribute(node, "ceil_mode", 0) and node.op_type == "AveragePool":
        raise ModelError(f"{node.name}: an average pool with ceil_mode has no form in the driver")
    kind = "max" if node.op_type == "MaxPool" else "mean"
    return _flat(graph, node, around, Pool(kind, bool(attribute(node, "count_include_pad", 0)), window))


def _window(
    graph: Graph, node: onnx.NodeProto, kernel: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The input's frame shape as a picture, and the numbers of a `Window`; a line is a picture of one row."""
    shape, places = frame_shape(graph, node.input[0], node), frame_shape(graph, node.output[0], node)[1:]
    if attribute(node, "auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID") or len(kernel) not in (1, 2):
        raise ModelError(
            f"{node.name}: only 1-D and 2-D windows with explicit pads have a form in the driver"
        )
    axes = len(kernel)
    strides, dilations = (
        tuple(cast(Sequence[int], attribute(node, name, [1] * axes))) for name in ("strides", "dilations")
    )
    pads = tuple(cast(Sequence[int], attribute(node, "pads", [0] * 2 * axes)))
    if axes == 2:
        return shape, (*kernel, *strides, *dilations, *pads, *places)
    numbers = ((1, *kernel), (1, *strides), (1, *dilations), (0, pads[0], 0, pads[1]), (1, *places))
    return (shape[0], 1, *shape[1:]), tuple(number for part in numbers for number in part)


def _flat(
    graph: Graph, node: onnx.NodeProto, around: tuple[int, ...], operation: Operation
) -> tuple[Operation, ...]:
    """`operation` on frames of shape `around`, which a line becomes and ceases to be."""
    if around == frame_shape(graph, node.input[0], node):
        return (operation,)
    return (Reshape(around), operation, Reshape(frame_shape(graph, node.output[0], node)))


def _normalize(graph: Graph, node: onnx.NodeProto, place: int) -> tuple[Operation, ...]:
    gain, bias, mean, variance = (constant(graph, node, number).astype(np.float64) for number in range(1, 5))
    scale = gain / np.sqrt(variance + cast(float, attribute(node, "epsilon", 1e-5)))
    shape = (len(scale), *[1] * (len(graph.shape(node.input[0])) - 2))
    return (Affine(scale.reshape(shape), (bias - mean * scale).reshape(shape)),)


def _curve(graph: Graph, node: onnx.NodeProto, place: int) -> tuple[Operation, ...]:
    return (Curve(CURVES[node.op_type]),)


def _hard_sigmoid(graph: Graph, node: onnx.NodeProto, place: int) -> tuple[Operation, ...]:
    slope, shift = (
        np.asarray(attribute(node, name, value), np.float64)
        for name, value in (("alpha", 0.2), ("beta", 0.5))
    )
    low, high = np.zeros((), np.float32), np.ones((), np.float32)
    return (Affine(slope, shift), Arithmetic("maximum", low), Arithmetic("minimum", high))


def _softmax(graph: Graph, node: onnx.NodeProto, place: int) -> tuple[Operation, ...]:
    shape = frame_shape(graph, node.input[0], node)
    version = graph.version(node)
    axis = cast(int, attribute(node, "axis", -1 if version >= 13 else 1)) % (len(shape) + 1)
    if axis == 0:
        raise ModelError(f"{node.name}: goes over the batch; legal: other axes")
    if version < 13 and axis != len(shape):
        raise ModelError(f"{node.name}: before opset 13 it goes over several axes; legal: the last one")
    return (Softmax(axis, logarithm=node.op_type == "LogSoftmax"),)


def _reduce(graph: Graph, node: onnx.NodeProto, place: int) -> tuple[Operation, ...]:
    shape = frame_shape(graph, node.input[0], node)
    found = graph.constants.get(node.input[1]) if len(node.input) > 1 else attribute(node, "axes", None)
    if found is None:
        raise ModelError(f"{node.name}: reduces all axes, or computed ones; legal: constant axes")
    axes = tuple(sorted(int(axis) % (len(shape) + 1) for axis in np.ravel(np.asarray(found))))
    if 0 in axes:
        raise ModelError(f"{node.name}: goes over the batch; legal: other axes")
    return (Reduce(REDUCED[node.op_type], axes, frame_shape(graph, node.output[0], node)),)


def _global_pool(graph: Graph, node: onnx.NodeProto, place: int) -> tuple[Operation, ...]:
    axes = tuple(range(2, len(frame_shape(graph, node.input[0], node)) + 1))
    kind = "max" if node.op_type == "GlobalMaxPool" else "mean"
    return (Reduce(kind, axes, frame_shape(graph, node.output[0], node)),)


LAYER_RULES: dict[str, Callable[[Graph, onnx.NodeProto, int], tuple[Operation, ...]]] = {
    **dict.fromkeys(CURVES, _curve),
    **dict.fromkeys(REDUCED, _reduce),
    **dict.fromkeys(("AveragePool", "MaxPool"), _pool),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool"), _global_pool),
    **dict.fromkeys(("Softmax", "LogSoftmax"), _softmax),
    "BatchNormalization": _normalize,
    "Conv": _convolution,
    "Gemm": _gemm,
    "HardSigmoid": _hard_sigmoid,
    "MatMul": _matmul,
}
"""Nodes that add floats, or whose curve has no bits of its own."""
