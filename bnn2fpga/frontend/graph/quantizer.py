"""Reads BipolarQuant and Quant nodes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx

from bnn2fpga.design.integers import BIPOLAR, Ints, IntType
from bnn2fpga.errors import ModelError
from bnn2fpga.frontend.graph.execute import Array, Graph

QUANTIZERS = frozenset({"BipolarQuant", "Quant", "IntQuant", "Trunc"})


def attribute(node: onnx.NodeProto, name: str, default: object) -> object:
    """The value of a node's attribute, or `default`."""
    found = next((a for a in node.attribute if a.name == name), None)
    return default if found is None else onnx.helper.get_attribute_value(found)


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
