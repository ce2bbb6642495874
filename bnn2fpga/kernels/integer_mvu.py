"""Integers times 1 or 2 bit weights: additions and subtractions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from bnn2fpga.area import Parts
from bnn2fpga.ir import BIPOLAR, TERNARY, IntType
from bnn2fpga.layers import Dot, Layer, dot_range
from bnn2fpga.matrix_vector import MatrixVector


@dataclass(frozen=True, eq=False)
class IntegerMvu(MatrixVector):
    """Weights of 1 or 2 bits times inputs of any integer type, where XNOR-popcount does not apply.

    The accumulator is the dot product; its width follows from the weights' exact range.
    """

    summary = (
        "integer-activation, 1 or 2 bit weight matrix-vector unit (8-bit first layers), fused thresholds"
    )
    template = "integer_mvu"

    @classmethod
    def implements(cls, layer: Layer) -> Self | None:
        if not isinstance(layer, Dot) or layer.weight_type.bits > 2:
            return None
        if layer.weight_type == BIPOLAR and layer.source.type in (BIPOLAR, TERNARY):
            return None
        return cls(layer.source.shape, layer.source.type, layer.weights, layer.weight_type)

    @property
    def accumulator_type(self) -> IntType:
        # every partial sum lies between 0 and a bound of the whole sum, so it needs no wider type
        low, high = dot_range(self.weights, self.source_type)
        return IntType.holding(min(low, 0), max(high, 0))

    @property
    def dot_affine(self) -> tuple[int, int]:
        return (1, 0)

    @property
    def parts(self) -> Parts:
        bits = self.accumulator_type.bits
        # to add an input or not, as weights of more than one bit have it, costs more than to subtract it
        kind = "" if self.weight_type.bipolar else "multi-bit "
        if self.tiles == 1:
            return {**super().parts, f"constant {kind}adders": int(np.count_nonzero(self.weights)) * bits}
        # yosys builds weights that are nearly always the same into the adders
        known = "nearly constant " if self.tiles == 2 else ""
        return {**super().parts, f"{known}{kind}adders": self.pe * self.simd * bits}
