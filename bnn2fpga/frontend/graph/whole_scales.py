"""Resize and Upsample by whole factors, whether their node gives scales or sizes, of images and of lines."""

from __future__ import annotations

import numpy as np
from onnx import NodeProto
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.base import Transformation

from bnn2fpga.frontend.graph.rewriting import Replacement, moving_tensors, opset, shape_of


class WholeScales(Transformation):  # type: ignore[misc]
    """Scales instead of sizes, which would hold a batch; (1, C, L) as an image that is one pixel high."""

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        moving = moving_tensors(model)
        for node in list(model.graph.node):
            if node.op_type == "Resize" and node.input[0] in moving and opset(model) > 10:
                before, after = shape_of(model, node.input[0]), shape_of(model, node.output[0])
                whole = not any(large % small for large, small in zip(after, before, strict=True))
                if whole and (len(before) == 3 or len(node.input) > 3):
                    _scaled(model, node, before, after)
        return model, False


def _scaled(model: ModelWrapper, node: NodeProto, before: tuple[int, ...], after: tuple[int, ...]) -> None:
    new, tensor = Replacement(model, node), node.input[0]
    scales = [large // small for large, small in zip(after, before, strict=True)]
    if len(before) == 3:
        tensor, scales = new.reshape(tensor, (*before[:2], 1, before[2])), [*scales[:2], 1, scales[2]]
    new.copy(tensor, "", new.constant(np.array(scales, np.float32)))
    if len(before) == 3:
        new.reshape(new.nodes[-1].output[0], after)
    new.finish()
