"""Operators that are refused for what they are, each with a way out that works."""

from __future__ import annotations

import onnx

from bnn2fpga.errors import ModelError

_INTEGER_OPERATORS = (
    "is one of onnxruntime's integer operators; export QuantizeLinear and DequantizeLinear pairs instead "
    "(quant_format=QuantFormat.QDQ), which are taken"
)
_GRAPHS = "holds a graph of its own, and a design is fed forward; unroll it into layers"

WAYS_OUT = {
    "QuantizeLinear": (
        "has no DequantizeLinear of the same constant scale behind it; export both with constant scales "
        "(Brevitas: export_onnx_qcdq), or export QONNX (export_qonnx)"
    ),
    "DequantizeLinear": (
        "has no QuantizeLinear of the same constant scale in front of it; export both with constant scales "
        "(Brevitas: export_onnx_qcdq), or export QONNX (export_qonnx)"
    ),
    "DynamicQuantizeLinear": (
        "computes its scale at run time; quantize with constant scales (static quantization)"
    ),
    "FloatQuant": (
        "quantizes to small floating-point numbers, and streams carry integers; quantize to integers of 1 to "
        "16 bits there (Brevitas: Int8ActPerTensorFloat, or any act_quant with QuantType.INT or BINARY)"
    ),
    "Resize": "is legal with mode nearest and whole factors; use nn.Upsample(scale_factor=2, mode='nearest')",
    **dict.fromkeys(
        ("ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul", "QGemm"), _INTEGER_OPERATORS
    ),
    **dict.fromkeys(("QLinearAdd", "QLinearGlobalAveragePool", "QLinearConcat"), _INTEGER_OPERATORS),
    **dict.fromkeys(("Scan", "Loop", "If"), _GRAPHS),
    "InstanceNormalization": "depends on the frame's own mean; use BatchNormalization",
    "LayerNormalization": "depends on the frame's own mean; use BatchNormalization",
    "GroupNormalization": "depends on the frame's own mean; use BatchNormalization",
    "LRN": "depends on the frame's own mean; use BatchNormalization",
}
"""What stands there, and what to do, by operator."""

ANY = (
    "has no kernel and no exact form in others; use another layer there, or end the file in front of it "
    "(onnx.utils.extract_model) and compute the rest from the outputs"
)


SOFTMAX_WITHIN = (
    "a Softmax within the network divides floats; quantize the scores themselves (weights by a threshold: "
    "bits of scores + bias - limit), or the scores less the largest of their row (a ladder below it); see "
    "docs/hybrid.md"
)
"""Attention's own, whose weights go on into a layer."""

OTHER_QUANTIZERS = frozenset({"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "FloatQuant"})


def refusal(node: onnx.NodeProto) -> ModelError:
    """Why `node` is not taken, and what to do."""
    return ModelError(f"{node.name}: {node.op_type} {WAYS_OUT.get(node.op_type, ANY)}")
