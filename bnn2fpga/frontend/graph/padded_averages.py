"""Average pools whose windows reach over the image: sums of what lies within, then divided."""

from __future__ import annotations

from functools import reduce
from typing import cast

import numpy as np
import numpy.typing as npt
from onnx import NodeProto
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.base import Transformation

from bnn2fpga.frontend.graph.execute import Graph
from bnn2fpga.frontend.graph.quantizer import attribute
from bnn2fpga.frontend.graph.rewriting import Replacement, integer_tensors, shape_of

Counts = npt.NDArray[np.int64]


class PaddedAverages(Transformation):  # type: ignore[misc]
    """AveragePool with padding or ceil_mode as a convolution with ones, a kernel a channel, and a Div.

    The divisor, one number or one a position, is what the node itself divides by.
    """

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        integers = integer_tensors(model)
        for node in list(model.get_nodes_by_op_type("AveragePool")):
            padded = any(cast(list[int], attribute(node, "pads", [])))
            automatic = cast(bytes, attribute(node, "auto_pad", b"NOTSET")).startswith(b"SAME")
            if node.input[0] in integers and (padded or automatic or attribute(node, "ceil_mode", 0)):
                _summed(model, node)
        return model, False


def _summed(model: ModelWrapper, node: NodeProto) -> None:
    shape, after = shape_of(model, node.input[0]), shape_of(model, node.output[0])
    rank = len(shape) - 2
    kernel = cast(list[int], attribute(node, "kernel_shape", []))
    strides = cast(list[int], attribute(node, "strides", [1] * rank))
    dilations = cast(list[int], attribute(node, "dilations", [1] * rank))
    begins, ends, counts = [], [], []
    for axis in range(rank):
        reach = (after[axis + 2] - 1) * strides[axis] + dilations[axis] * (kernel[axis] - 1) + 1
        begin = _begin(node, axis, reach - shape[axis + 2])
        starts = np.arange(after[axis + 2]) * strides[axis] - begin
        taps = starts[:, None] + np.arange(kernel[axis]) * dilations[axis]
        counts.append(((taps >= 0) & (taps < shape[axis + 2])).sum(axis=1))
        begins.append(begin)
        ends.append(max(0, reach - shape[axis + 2] - begin))
    within: Counts = reduce(np.multiply.outer, counts)[None, None]
    ones = np.ones(shape, np.float32)
    means = Graph(model).run([node], {node.input[0]: ones})[node.output[0]][:, :1]
    if means.shape[2:] != tuple(after[2:]):
        return  # onnx and onnxruntime disagree on a last window that lies in the padding
    divisors = np.rint(within / means).astype(np.float32)
    divisors = divisors.ravel()[:1] if np.all(divisors == divisors.flat[0]) else divisors
    new = Replacement(model, node)
    weights = new.constant(np.ones((shape[1], 1, *kernel), np.float32))
    total = new.add(
        "Conv", node.input[0], weights, kernel_shape=kernel, pads=[*begins, *ends], strides=strides,
        dilations=dilations, group=shape[1],
    )  # fmt: skip
    new.nodes[-1].name = node.name
    new.add("Div", total, new.constant(divisors))
    new.finish()


def _begin(node: NodeProto, axis: int, total: int) -> int:
    """The pixels in front of the image along an axis; `total` is how many the windows reach beyond it."""
    automatic = cast(bytes, attribute(node, "auto_pad", b"NOTSET"))
    if automatic.startswith(b"SAME"):
        less = max(0, total) // 2
        return less if automatic == b"SAME_UPPER" else max(0, total) - less
    pads = cast(list[int], attribute(node, "pads", []))
    return pads[axis] if pads else 0
