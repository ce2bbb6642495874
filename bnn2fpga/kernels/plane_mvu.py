"""Weights of 3 to 8 bits: bit planes of weights times bit planes of inputs, in one bit heap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from bnn2fpga.circuits.plane_products import PlaneProducts, Sign
from bnn2fpga.design.integers import Ints, IntType
from bnn2fpga.design.layers import Dot, Layer, partial_sum_type
from bnn2fpga.kernels.bases.matrix_vector import MatrixVector

MOST_BITS = 8


@dataclass(frozen=True, eq=False)
class PlaneMvu(MatrixVector):
    """Weights of more bits than 2 times inputs of any type; no multiplier.

    The accumulator is the dot product. In every clock an element's products become one number, which is larger
    than their sum by `PlaneProducts.excess` an input; the sums start that much lower.
    """

    summary = "3 to 8 bit weight matrix-vector unit of bit planes, no multiplier; any input, fused thresholds"
    template = "plane_mvu"

    @classmethod
    def implements(cls, layer: Layer) -> Self | None:
        if not isinstance(layer, Dot) or not 2 < layer.weight_type.bits <= MOST_BITS:
            return None
        kind = layer.weight_type
        # +x and -x alike take signed weights
        if layer.source.type.bipolar and not kind.signed:
            kind = IntType(kind.bits + 1, signed=True)
        return cls(layer.source.shape, layer.source.type, layer.weights, kind)

    @property
    def products(self) -> PlaneProducts:
        """What an element makes of one beat."""
        source = self.source_type
        sign: Sign = "bipolar" if source.bipolar else "signed" if source.signed else ""
        return PlaneProducts(self.simd, source.bits, sign, self.weight_type.bits, self.weight_type.signed)

    @property
    def popcounts(self) -> tuple[PlaneProducts, ...]:
        return (self.products,)

    @property
    def accumulator_type(self) -> IntType:
        return partial_sum_type(self.weights, self.source_type)

    @property
    def dot_affine(self) -> tuple[int, int]:
        return (1, 0)

    @property
    def sum_start(self) -> int:
        return -self.products.excess * self.columns

    @property
    def rom_weights(self) -> Ints:
        return self.weights.astype(np.int64) + self.products.excess if self.source_type.bipolar else self.weights

    @property
    def readers(self) -> int:
        return self.weight_type.bits
