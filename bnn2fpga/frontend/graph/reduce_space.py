"""Means, maxima and sums over axes as pools over whole images, and products with ones."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
from onnx import NodeProto
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.base import Transformation

from bnn2fpga.frontend.graph.rewriting import Replacement, axes_of, integer_tensors, moving_tensors, shape_of

POOLS = {"ReduceMean": "AveragePool", "ReduceMax": "MaxPool"}


class ReduceSpace(Transformation):  # type: ignore[misc]
    """ReduceMean, ReduceMax over any axes but the batch, and GlobalMaxPool, as pools of one window.

    ReduceSum as a convolution, or matrix product, with weights of 1, which round nothing.
    """

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        moving, integers = moving_tensors(model), integer_tensors(model)
        for node in list(model.graph.node):
            if node.input and node.input[0] in moving:
                if node.op_type == "GlobalMaxPool":
                    shape = shape_of(model, node.input[0])
                    new = Replacement(model, node)
                    _pool(new, "MaxPool", node.input[0], shape[2:])
                    new.finish()
                elif node.op_type in POOLS and not _is_taken_off(model, node):
                    _reduce(model, node)
                elif node.op_type == "ReduceSum" and node.input[0] in integers:
                    _sum(model, node)
        return model, False


def _is_taken_off(model: ModelWrapper, node: NodeProto) -> bool:
    """Whether it is the largest of each row along the last axis, which is subtracted from all of the row."""
    shape, readers = shape_of(model, node.input[0]), model.find_consumers(node.output[0]) or []
    return (
        node.op_type == "ReduceMax"
        and [axis % len(shape) for axis in axes_of(model, node)] == [len(shape) - 1]
        and shape_of(model, node.output[0]) == (*shape[:-1], 1)
        and [reader.op_type for reader in readers] == ["Sub"]
        and list(readers[0].input) == [node.input[0], node.output[0]]
    )


def _reduce(model: ModelWrapper, node: NodeProto) -> None:
    """The axes in order: batch, those that stay, those that go; then one window of the latter."""
    shape = shape_of(model, node.input[0])
    gone = sorted({axis % len(shape) for axis in axes_of(model, node)})
    if not gone or 0 in gone:
        return
    new = Replacement(model, node)
    tensor = node.input[0]
    if len(shape) == 4 and min(gone) > 1:
        image: tuple[int, ...] = shape
        window = [shape[axis] if axis in gone else 1 for axis in (2, 3)]
    else:
        kept = [axis for axis in range(1, len(shape)) if axis not in gone]
        order = [0, *kept, *gone]
        if order != sorted(order):
            tensor = new.add("Transpose", tensor, perm=order)
        window = [shape[axis] for axis in gone]
        window = window if len(window) == 2 else [1, prod(window)]
        image = (1, prod(shape[axis] for axis in kept), *window)
        if image != tuple(shape[axis] for axis in order):
            tensor = new.reshape(tensor, image)
    pooled = _pool(new, POOLS[node.op_type], tensor, window)
    result = shape_of(model, node.output[0])
    if result != (*image[:2], image[2] // window[0], image[3] // window[1]):
        new.reshape(pooled, result)
    new.finish()


def _sum(model: ModelWrapper, node: NodeProto) -> None:
    """Over height and width a kernel a channel; else the axes that go are the rows of a matrix product."""
    shape = shape_of(model, node.input[0])
    gone = sorted({axis % len(shape) for axis in axes_of(model, node)})
    if not gone or 0 in gone:
        return
    new = Replacement(model, node)
    if len(shape) > 2 and min(gone) > 1:
        window = [shape[axis] if axis in gone else 1 for axis in range(2, len(shape))]
        ones = new.constant(np.ones((shape[1], 1, *window), np.float32))
        result = new.add("Conv", node.input[0], ones, kernel_shape=window, group=shape[1])
    else:
        kept = [axis for axis in range(1, len(shape)) if axis not in gone]
        tensor = new.add("Transpose", node.input[0], perm=[0, *kept, *gone])
        taps = prod(shape[axis] for axis in gone)
        tensor = new.reshape(tensor, (1, prod(shape[axis] for axis in kept), taps))
        result = new.add("MatMul", tensor, new.constant(np.ones((taps, 1), np.float32)))
    new.nodes[-1].name = node.name
    new.reshape(result, shape_of(model, node.output[0]))
    new.finish()


def _pool(new: Replacement, kind: str, tensor: str, window: Sequence[int]) -> str:
    name = new.add(kind, tensor, kernel_shape=list(window))
    new.nodes[-1].name = new.node.name
    return name
