"""The batch stays the first axis of every tensor.

Networks lose it and find it again: Flatten(axis=0), Reshape(-1), a Squeeze of all axes and an Unsqueeze. At
batch size 1 that moves no element; here it is kept, so that the same nodes take any number of frames.
"""

from __future__ import annotations

from typing import cast

from onnx import NodeProto
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.base import Transformation

from bnn2fpga.frontend.graph.quantizer import attribute
from bnn2fpga.frontend.graph.rewriting import Replacement, axes_of, moving_tensors, shape_of, shift_axes

RESHAPES = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze"})
"""They keep the order of the elements."""


class KeepBatch(Transformation):  # type: ignore[misc]
    """Reshapes that lose or find the batch become reshapes that keep it; what stands between them follows."""

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        moving, lost = moving_tensors(model), set[str]()
        for node in list(model.graph.node):
            if not moving & set(node.input):
                continue
            shape, without = shape_of(model, node.output[0]), lost & set(node.input)
            if node.op_type in RESHAPES:
                if without or moves_batch(model, node):
                    found = shape[:1] == (1,)
                    if not found:
                        lost.add(node.output[0])
                    new = Replacement(model, node)
                    new.reshape(node.input[0], shape if found else (1, *shape))
                    new.nodes[-1].name = node.name
                    new.finish()
            elif without and any(len(shape) <= len(shape_of(model, name)) for name in without):
                shift_axes(node, 1)
                lost |= set(filter(None, node.output))
        for name in lost:
            model.set_tensor_shape(name, (1, *shape_of(model, name)))
        return model, False


def moves_batch(model: ModelWrapper, node: NodeProto) -> bool:
    """Whether a node that the graph's input reaches has its batch elsewhere than in the first axis."""
    shape = shape_of(model, node.output[0])
    if shape[:1] != (1,):
        return True
    if node.op_type == "Flatten":
        return attribute(node, "axis", 1) != 1
    if node.op_type in ("Squeeze", "Unsqueeze"):
        rank = max(len(shape), len(shape_of(model, node.input[0])))
        axes = axes_of(model, node)
        return not axes or any(axis in (0, -rank) for axis in axes)
    if node.op_type == "Reshape":
        target = model.get_initializer(node.input[1])
        return target is None or not target.size or target.flat[0] not in (-1, 0, 1)
    if node.op_type == "Resize":
        return len(node.input) > 3
    if node.op_type == "Transpose":
        return cast(list[int], attribute(node, "perm", [1]))[0] != 0
    return False


def keeps_batch(model: ModelWrapper) -> bool:
    """Whether the batch is the first axis of everything that the graph's input reaches."""
    moving = moving_tensors(model)
    return not any(moves_batch(model, node) for node in model.graph.node if moving & set(node.input))
