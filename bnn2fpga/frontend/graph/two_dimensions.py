"""Convolutions, pools and borders of one dimension as those of images that are one pixel high."""

from __future__ import annotations

from typing import cast

import numpy as np
from onnx import NodeProto
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.base import Transformation

from bnn2fpga.frontend.graph.quantizer import attribute
from bnn2fpga.frontend.graph.rewriting import Replacement, moving_tensors, shape_of

KINDS = frozenset(
    {"Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool", "LpPool"}
)


class TwoDimensions(Transformation):  # type: ignore[misc]
    """(1, C, L) becomes (1, C, 1, L) around each such node; a kernel of k becomes one of 1 x k."""

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        moving = moving_tensors(model)
        for node in list(model.graph.node):
            if node.op_type in KINDS and node.domain in ("", "ai.onnx") and node.input[0] in moving:
                shape = shape_of(model, node.input[0])
                if len(shape) == 3:
                    _lift(model, node, shape)
            elif (
                node.op_type == "Pad" and node.input[0] in moving and len(shape_of(model, node.input[0])) == 3
            ):
                _lift_pad(model, node)
        return model, False


def _lift_pad(model: ModelWrapper, node: NodeProto) -> None:
    """The border of a line, given in an attribute or, since opset 11, in the second input."""
    shape = shape_of(model, node.input[0])
    constant = model.get_initializer(node.input[1]) if len(node.input) > 1 else None
    pads = attribute(node, "pads", None) if constant is None else constant.tolist()
    if pads is None or len(node.input) > 3:
        return
    flat = cast(list[int], pads)
    lifted = [*flat[:2], 0, flat[2], *flat[3:5], 0, flat[5]]
    new = Replacement(model, node)
    tensor = new.reshape(node.input[0], (*shape[:2], 1, shape[2]))
    if constant is None:
        result = new.copy(tensor, pads=lifted)
    else:
        result = new.copy(tensor, new.constant(np.array(lifted, np.int64)), *node.input[2:])
    new.reshape(result, shape_of(model, node.output[0]))
    new.finish()


def _lift(model: ModelWrapper, node: NodeProto, shape: tuple[int, ...]) -> None:
    new = Replacement(model, node)
    inputs = [new.reshape(node.input[0], (*shape[:2], 1, shape[2])), *node.input[1:]]
    if len(inputs) > 1:
        taps = shape_of(model, inputs[1])
        inputs[1] = new.reshape(inputs[1], (*taps[:2], 1, taps[2]))
    lifted: dict[str, list[int]] = {}
    for name, before in (("kernel_shape", 1), ("strides", 1), ("dilations", 1), ("output_padding", 0)):
        values = cast(list[int], attribute(node, name, []))
        if values:
            lifted[name] = [before, *values]
    pads = cast(list[int], attribute(node, "pads", []))
    if pads:
        lifted["pads"] = [0, pads[0], 0, pads[1]]
    result = new.copy(*inputs, **lifted)
    new.reshape(result, shape_of(model, node.output[0]))
    new.finish()
