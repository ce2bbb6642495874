"""Equal quantizers of one tensor are one."""

from __future__ import annotations

from collections.abc import Hashable

from onnx import NodeProto
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.base import Transformation

from bnn2fpga.frontend.graph.quantizer import QUANTIZERS


class MergeEqualQuantizers(Transformation):  # type: ignore[misc]
    """Who reads the second of two equal quantizers reads the first; exporters write one for each branch."""

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        outputs = {value.name for value in model.graph.output}
        first: dict[Hashable, str] = {}
        for node in list(model.graph.node):
            if node.op_type not in QUANTIZERS or model.get_initializer(node.input[0]) is not None:
                continue
            kept = first.setdefault(_what(model, node), node.output[0])
            if kept != node.output[0] and node.output[0] not in outputs:
                for reader in model.graph.node:
                    for place, name in enumerate(reader.input):
                        if name == node.output[0]:
                            reader.input[place] = kept
                model.graph.node.remove(node)
        return model, False


def _what(model: ModelWrapper, node: NodeProto) -> Hashable:
    """Equal for nodes that compute the same."""
    values = [model.get_initializer(name) for name in node.input]
    inputs = [
        name if value is None else (value.shape, value.dtype.str, value.tobytes())
        for name, value in zip(node.input, values, strict=True)
    ]
    attributes = sorted(one.SerializeToString() for one in node.attribute)
    return node.op_type, tuple(inputs), tuple(attributes)
