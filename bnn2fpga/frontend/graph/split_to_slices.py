"""Split and torch.chunk in plain slices."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from onnx import helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.base import Transformation

from bnn2fpga.frontend.graph.quantizer import attribute
from bnn2fpga.frontend.graph.rewriting import opset, shape_of


class SplitToSlices(Transformation):  # type: ignore[misc]
    """Each output of a Split becomes a Slice of its input."""

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        for node in [node for node in model.graph.node if node.op_type == "Split"]:
            place = list(model.graph.node).index(node)
            axis, start = cast(int, attribute(node, "axis", 0)), 0
            for offset, result in enumerate(node.output):
                end = start + shape_of(model, result)[axis]
                slice_ = _slice(model, node.input[0], result, axis, start, end)
                slice_.name = f"{node.name}_{offset}"
                model.graph.node.insert(place + 1 + offset, slice_)
                start = end
            model.graph.node.remove(node)
        return model, False


def _slice(model: ModelWrapper, tensor: str, result: str, axis: int, start: int, end: int) -> Any:
    if opset(model) < 10:
        return helper.make_node("Slice", [tensor], [result], axes=[axis], starts=[start], ends=[end])
    names = []
    for value in (start, end, axis):
        names.append(model.make_new_valueinfo_name())
        model.set_initializer(names[-1], np.array([value], np.int64))
    return helper.make_node("Slice", [tensor, *names], [result])
