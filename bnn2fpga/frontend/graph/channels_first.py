"""qonnx' channels-last domain, and FINN's pools, in ONNX' own operators and free transposes."""

from __future__ import annotations

from typing import cast

import numpy as np
from onnx import NodeProto, helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.base import Transformation

from bnn2fpga.frontend.graph.quantizer import attribute
from bnn2fpga.frontend.graph.rewriting import Replacement

CHANNELS_LAST = "qonnx.custom_op.channels_last"
POOL = "MaxPoolNHWC"
AVERAGE = "QuantAvgPool2d"
"""FINN's own, in qonnx' general domain."""


class ChannelsFirst(Transformation):  # type: ignore[misc]
    """Conv, MaxPool and BatchNormalization of (1, H, W, C), or (1, L, C), on (1, C, H, W).

    It needs no shapes: qonnx' shape inference of this domain takes minutes for large images.
    """

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        for node in list(model.graph.node):
            if node.domain == CHANNELS_LAST or node.op_type == POOL:
                _first(model, node)
            elif node.op_type == AVERAGE:
                _average(model, node)
        kept = [one for one in model.model.opset_import if one.domain != CHANNELS_LAST]
        del model.model.opset_import[:]
        model.model.opset_import.extend(kept)
        return model, False


def _first(model: ModelWrapper, node: NodeProto) -> None:
    rank = 4 if node.op_type == POOL else _rank(model, node)
    to_first, to_last = [0, rank - 1, *range(1, rank - 1)], [0, *range(2, rank), 1]
    new = Replacement(model, node)
    inputs = [new.add("Transpose", node.input[0], perm=to_first), *node.input[1:]]
    if node.op_type == "Conv":
        inputs[1] = new.add("Transpose", node.input[1], perm=to_first)
    plain = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    result = new.add("MaxPool" if node.op_type == POOL else node.op_type, *inputs, **plain)
    new.nodes[-1].name = node.name
    new.add("Transpose", result, perm=to_last)
    new.finish()


def _average(model: ModelWrapper, node: NodeProto) -> None:
    """The sum of a window without its last bits: an average, times the taps, rounded down by a quantizer."""
    window, stride, bits, signed = (
        cast(int, attribute(node, name, default))
        for name, default in (("kernel", 1), ("stride", 1), ("obits", 1), ("signed", 0))
    )
    taps, last = window * window, attribute(node, "data_layout", b"NCHW") == b"NHWC"
    largest = ((1 << cast(int, attribute(node, "ibits", 1))) - 1) * taps
    dropped = max(0, largest.bit_length() - bits)
    new = Replacement(model, node)
    tensor = new.add("Transpose", node.input[0], perm=[0, 3, 1, 2]) if last else node.input[0]
    tensor = new.add("AveragePool", tensor, kernel_shape=[window, window], strides=[stride, stride])
    new.nodes[-1].name = node.name
    # the average is rounded, its sum is whole again
    tensor = new.add("Round", new.add("Mul", tensor, new.constant(np.float32(taps))))
    tensor = new.add("Mul", tensor, new.constant(np.float32(2.0**-dropped)))
    parameters = (new.constant(np.float32(value)) for value in (1, 0, bits))
    tensor = new.add(
        "Quant", tensor, *parameters, domain=node.domain, signed=signed, narrow=0, rounding_mode="FLOOR"
    )
    if last:
        new.add("Transpose", tensor, perm=[0, 2, 3, 1])
    new.finish()


def _rank(model: ModelWrapper, node: NodeProto) -> int:
    """Of an image or a line; by the kernel where the node has one, else by what the tensor is known to be."""
    kernel = attribute(node, "kernel_shape", None)
    if kernel is not None:
        return len(kernel) + 2  # type: ignore[arg-type]
    producer, tensor = model.find_producer(node.input[0]), node.input[0]
    while producer is not None:
        if attribute(producer, "kernel_shape", None) is not None:
            return len(attribute(producer, "kernel_shape", [])) + 2  # type: ignore[arg-type]
        if producer.op_type == "Transpose":
            return len(attribute(producer, "perm", []))  # type: ignore[arg-type]
        tensor = producer.input[0]
        producer = model.find_producer(tensor)
    shape = model.get_tensor_shape(tensor)
    return 4 if shape is None else len(shape)
