"""DepthToSpace and SpaceToDepth, which move channels to pixels and back, as convolutions with ones."""

from __future__ import annotations

from typing import cast

import numpy as np
from onnx import NodeProto
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.base import Transformation

from bnn2fpga.frontend.graph.execute import Graph
from bnn2fpga.frontend.graph.quantizer import attribute
from bnn2fpga.frontend.graph.rewriting import Replacement, integer_tensors, shape_of


class BlockMoves(Transformation):  # type: ignore[misc]
    """A ConvTranspose, or Conv, of stride and kernel `blocksize`; its weights are where ones would go."""

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        integers = integer_tensors(model)
        for node in list(model.graph.node):
            if node.op_type in ("DepthToSpace", "SpaceToDepth") and node.input[0] in integers:
                _picking(model, node)
        return model, False


def _picking(model: ModelWrapper, node: NodeProto) -> None:
    block = cast(int, attribute(node, "blocksize", 1))
    channels = shape_of(model, node.input[0])[1]
    enlarges = node.op_type == "DepthToSpace"
    side = 1 if enlarges else block
    single = np.eye(channels * side * side, dtype=np.float32).reshape(-1, channels, side, side)
    picked = Graph(model).run([node], {node.input[0]: single})[node.output[0]]
    weights = picked if enlarges else picked[:, :, 0, 0].T.reshape(-1, channels, side, side)
    new = Replacement(model, node)
    kind = "ConvTranspose" if enlarges else "Conv"
    ones, size = new.constant(np.ascontiguousarray(weights)), [block, block]
    new.add(kind, node.input[0], ones, kernel_shape=size, strides=size)
    new.nodes[-1].name = node.name
    new.finish()
