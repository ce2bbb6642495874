"""Reads BipolarQuant, Quant, Trunc and MultiThreshold nodes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import cast

import numpy as np
import numpy.typing as npt
import onnx

from bnn2fpga.design.integers import BIPOLAR, Ints, IntType
from bnn2fpga.errors import ModelError
from bnn2fpga.frontend.graph.execute import Array, Graph

QUANTIZERS = frozenset({"BipolarQuant", "Quant", "IntQuant", "Trunc", "MultiThreshold"})


def attribute(node: onnx.NodeProto, name: str, default: object) -> object:
    """The value of a node's attribute, or `default`."""
    found = next((a for a in node.attribute if a.name == name), None)
    return default if found is None else onnx.helper.get_attribute_value(found)


def threshold_axis(node: onnx.NodeProto, rank: int) -> int:
    """The axis of a MultiThreshold's input that has a row of thresholds for each place, as qonnx finds it."""
    named = cast(bytes, attribute(node, "data_layout", b"")).decode()
    layout = named or {2: "NC", 3: "NWC", 4: "NCHW"}.get(rank, "")
    return layout.index("C") if "C" in layout else 1


@dataclass(frozen=True, eq=False)
class Quantizer:
    """real = scale * integer, with integers of `type`; a zero point is part of the type's range.

    `scale` has the shape of the node's scale parameter.
    """

    scale: npt.NDArray[np.float64]
    type: IntType

    @classmethod
    def of(cls, graph: Graph, node: onnx.NodeProto, most_bits: int = 16) -> Quantizer:
        """The quantizer that `node` is; a ModelError if its parameters are not constant and integer."""
        constants = [graph.constants.get(name) for name in node.input[1:]]
        if any(constant is None for constant in constants):
            raise ModelError(f"{node.name}: its scale or bit width is computed at run time; make it constant")
        if node.op_type == "MultiThreshold":
            return cls._counting(node, cast(Array, constants[0]).shape[-1], most_bits)
        scale, *rest = (np.asarray(constant, np.float64) for constant in constants)
        if node.op_type == "Trunc":
            scale, rest = _behind_trunc(graph, node, scale, rest)
        if not np.all(scale > 0):
            raise ModelError(f"{node.name}: scale {scale.min()} is not positive")
        if node.op_type == "BipolarQuant":
            return cls(scale, BIPOLAR)
        zero, bits = rest
        signed, narrow = bool(attribute(node, "signed", 1)), bool(attribute(node, "narrow", 0))
        if (
            zero.size != 1
            or zero.item() % 1
            or bits.size != 1
            or bits.item() % 1
            or not 1 <= bits.item() <= most_bits
        ):
            raise ModelError(
                f"{node.name}: zero point {zero.ravel()[:3]} or bit width {bits.ravel()[:3]} is not one "
                f"integer; legal: one zero point, 1 to {most_bits} bits"
            )
        if bits.item() == 1 and signed:
            return cls(scale, BIPOLAR)
        plain = IntType(int(bits.item()), signed)
        low = plain.low + (narrow and signed)
        high = plain.high - (narrow and not signed)
        if zero.item():
            return cls(scale, IntType.holding(low - int(zero.item()), high - int(zero.item())))
        return cls(scale, IntType(plain.bits, signed, narrow=narrow and signed))

    @classmethod
    def _counting(cls, node: onnx.NodeProto, thresholds: int, most_bits: int) -> Quantizer:
        """FINN's: out_scale * (how many thresholds are reached) + out_bias."""
        scale, bias = (
            Fraction(float(np.float32(cast(float, attribute(node, name, default)))))
            for name, default in (("out_scale", 1.0), ("out_bias", 0.0))
        )
        if scale <= 0:
            raise ModelError(f"{node.name}: out_scale {float(scale)} is not positive; turn its input's sign")
        if thresholds == 1 and bias * 2 == -scale:
            return cls(np.array(float(scale / 2)), BIPOLAR)
        low = bias / scale
        if low.denominator != 1 or max(abs(low), low + thresholds) >= 1 << most_bits:
            raise ModelError(
                f"{node.name}: out_bias {float(bias)} is no multiple of out_scale {float(scale)}, or "
                f"{thresholds} thresholds are too many; legal: integers of up to {most_bits} bits, times "
                "out_scale"
            )
        kind = IntType.holding(int(low), int(low) + thresholds)
        return cls(np.array(float(scale)), replace(kind, narrow=kind.signed and low > kind.low))

    def integers(self, values: Array) -> Ints:
        """The integers of quantized real `values`, whose shape the scale broadcasts to."""
        return np.rint(values / self.scale).astype(np.int64)


Floats = npt.NDArray[np.float64]


def _behind_trunc(
    graph: Graph, node: onnx.NodeProto, scale: Floats, rest: list[Floats]
) -> tuple[Floats, list[Floats]]:
    """Scale, and zero point and bits, of what Trunc gives: version 1 leaves bits out, 2 names both itself."""
    zero = rest[0]
    if len(rest) != (3 if graph.version(node) == 1 else 4) or np.any(zero):
        raise ModelError(
            f"{node.name}: Trunc of a zero point; legal: zero point 0, and the inputs of its version"
        )
    if graph.version(node) == 1:
        # one bit more, as it does not say whether its integers are signed
        return scale, [zero, rest[2] + 1]
    return rest[2], [zero, rest[3]]
