"""Means and maxima over axes as pools over whole images."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from onnx import NodeProto
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.base import Transformation

from bnn2fpga.frontend.graph.rewriting import Replacement, axes_of, moving_tensors, shape_of

POOLS = {"ReduceMean": "AveragePool", "ReduceMax": "MaxPool"}


class ReduceSpace(Transformation):  # type: ignore[misc]
    """ReduceMean, ReduceMax over any axes but the batch, and GlobalMaxPool, as pools of one window."""

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        moving = moving_tensors(model)
        for node in list(model.graph.node):
            if node.input and node.input[0] in moving:
                if node.op_type == "GlobalMaxPool":
                    shape = shape_of(model, node.input[0])
                    new = Replacement(model, node)
                    _pool(new, "MaxPool", node.input[0], shape[2:])
                    new.finish()
                elif node.op_type in POOLS:
                    _reduce(model, node)
        return model, False


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


def _pool(new: Replacement, kind: str, tensor: str, window: Sequence[int]) -> str:
    name = new.add(kind, tensor, kernel_shape=list(window))
    new.nodes[-1].name = new.node.name
    return name
