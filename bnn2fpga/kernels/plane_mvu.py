"""Weights of 3 to 8 bits: bit planes of weights times bit planes of inputs, in one bit heap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from bnn2fpga.circuits.plane_products import PlaneProducts
from bnn2fpga.design.integers import Ints, IntType
from bnn2fpga.design.layers import Dot, Layer, partial_sum_type
from bnn2fpga.kernels.bases.matrix_vector import MatrixVector
from bnn2fpga.kernels.bases.weight_planes import MOST_BITS, flipped, is_planes, plane_products, weight_type


@dataclass(frozen=True, eq=False)
class PlaneMvu(MatrixVector):
    """Weights of more bits than 2 times inputs of any type; no multiplier.

    The accumulator is the dot product. In every clock an element's products become one number, which is
    larger than their sum by `PlaneProducts.excess` an input; the sums start that much lower.
    """

    summary = f"3 to {MOST_BITS} bit weight matrix-vector unit of bit planes, fused thresholds"
    template = "plane_mvu"

    @classmethod
    def implements(cls, layer: Layer) -> Self | None:
        if not isinstance(layer, Dot) or not is_planes(layer.weight_type):
            return None
        source, kind = layer.source, weight_type(layer.source.type, layer.weight_type)
        return cls(source.shape, source.type, layer.weights, kind)

    @property
    def popcounts(self) -> tuple[PlaneProducts, ...]:
        return (plane_products(self.simd, self.source_type, self.weight_type),)

    @property
    def accumulator_type(self) -> IntType:
        return partial_sum_type(*self.dot_range)

    @property
    def dot_affine(self) -> tuple[int, int]:
        return (1, 0)

    @property
    def sum_start(self) -> int:
        return -self.popcounts[0].excess * self.columns

    @property
    def rom_weights(self) -> Ints:
        return flipped(self.weights, self.source_type, self.weight_type)

    @property
    def readers(self) -> int:
        return self.weight_type.bits
