"""ONNX' own quantizers, QuantizeLinear and DequantizeLinear with a Clip between them, as QONNX' Quant."""

from __future__ import annotations

import numpy as np
from onnx import NodeProto
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.base import Transformation
from qonnx.transformation.infer_shapes import InferShapes
from qonnx.transformation.qcdq_to_qonnx import QCDQToQuant

from bnn2fpga.design.integers import Ints, IntType
from bnn2fpga.frontend.graph.execute import Array
from bnn2fpga.frontend.graph.quantizer import attribute
from bnn2fpga.frontend.graph.rewriting import Replacement, UnfitError

PAIR = ("QuantizeLinear", "DequantizeLinear")
NO_PAIR = (
    "has no QuantizeLinear of the same constant scale in front of it; export both with constant scales "
    "(Brevitas: export_onnx_qcdq), or export QONNX (export_qonnx)"
)
MOST_BITS = 16
"""A constant of more is a bias, of which only the values matter."""


class QuantizeLinearPairs(Transformation):  # type: ignore[misc]
    """qonnx' QCDQToQuant, for what it does not take made ready: constants, absent zero points, idle axes."""

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        nodes = [node for node in model.graph.node if node.op_type in PAIR and not node.domain]
        for node in nodes:
            _complete(model, node)
            if node.op_type == "DequantizeLinear" and model.get_initializer(node.input[0]) is not None:
                _constant(model, node)
        for node in model.graph.node:
            if node.op_type == "DequantizeLinear" and not _is_whole(model, node):
                raise UnfitError(f"{node.name}: {node.op_type} {NO_PAIR}")
        if nodes:
            model = model.transform(InferShapes()).transform(QCDQToQuant())
        return model, False


def _is_whole(model: ModelWrapper, node: NodeProto) -> bool:
    """Whether a QuantizeLinear of the same constant scale and zero point leads to a DequantizeLinear."""
    before = model.find_producer(node.input[0])
    if before is not None and before.op_type == "Clip":
        bounds = [model.get_initializer(name) for name in before.input[1:]]
        if len(bounds) < 2 or any(bound is None for bound in bounds):
            return False
        before = model.find_producer(before.input[0])
    if before is None or before.op_type != "QuantizeLinear":
        return False
    pairs = [
        (model.get_initializer(ours), model.get_initializer(theirs))
        for ours, theirs in zip(node.input[1:3], before.input[1:3], strict=True)
    ]
    return all(a is not None and b is not None and np.array_equal(a, b) for a, b in pairs)


def _complete(model: ModelWrapper, node: NodeProto) -> None:
    """Gives a node its zero point; takes the axis of a scale that is one number away."""
    if len(node.input) < 3 or not node.input[2]:
        quantized = model.get_initializer(node.input[0]) if node.op_type == PAIR[1] else None
        scale = model.get_initializer(node.input[1])
        name = model.make_new_valueinfo_name()
        kind = np.uint8 if quantized is None else quantized.dtype
        model.set_initializer(name, np.zeros(() if scale is None else scale.shape, kind))
        del node.input[2:]
        node.input.append(name)
    scale = model.get_initializer(node.input[1])
    if scale is not None and scale.size == 1:
        kept = [one for one in node.attribute if one.name != "axis"]
        del node.attribute[:]
        node.attribute.extend(kept)


def _constant(model: ModelWrapper, node: NodeProto) -> None:
    """A constant behind DequantizeLinear: its values, and a quantizer of as many bits as they need."""
    quantized, scale, zero = (model.get_initializer(name) for name in node.input[:3])
    if scale is None or zero is None or attribute(node, "block_size", 0):
        return
    rank, axis = quantized.ndim, attribute(node, "axis", 1)
    if scale.ndim == 1 and scale.size > 1:
        spread = [1] * rank
        spread[axis] = scale.size  # type: ignore[call-overload]
        scale, zero = scale.reshape(spread), zero.reshape(spread)
    elif scale.size == 1:
        scale, zero = scale.reshape(()), zero.reshape(())
    integers = quantized.astype(np.int64) - zero.astype(np.int64)
    values = integers.astype(np.float32) * scale.astype(np.float32)
    new = Replacement(model, node)
    tensor, kind = new.constant(values), IntType.holding(int(integers.min()), int(integers.max()))
    if kind.bits > MOST_BITS or _is_bias(model, node):
        new.add("Identity", tensor)
    else:
        _quantize(new, tensor, scale.astype(np.float32), integers, kind)
    new.finish()


def _quantize(new: Replacement, tensor: str, scale: Array, integers: Ints, kind: IntType) -> None:
    domain = "qonnx.custom_op.general"
    if np.all(np.abs(integers) == 1):
        new.add("BipolarQuant", tensor, new.constant(scale), domain=domain)
        return
    narrow = kind.signed and int(integers.min()) > kind.low
    parameters = (new.constant(part) for part in (scale, np.float32(0), np.float32(kind.bits)))
    flags = {"signed": int(kind.signed), "narrow": int(narrow), "rounding_mode": "ROUND"}
    new.add("Quant", tensor, *parameters, domain=domain, **flags)


def _is_bias(model: ModelWrapper, node: NodeProto) -> bool:
    """Whether a layer takes the constant as its third input."""
    readers = [reader for reader in model.graph.node if node.output[0] in reader.input]
    return bool(readers) and all(list(reader.input).index(node.output[0]) == 2 for reader in readers)
