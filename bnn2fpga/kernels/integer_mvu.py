"""Integers times 1 or 2 bit weights: additions and subtractions."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np

from bnn2fpga.circuits.memory import LUT_DEPTH
from bnn2fpga.circuits.resources import Parts
from bnn2fpga.design.folding import halvings
from bnn2fpga.design.integers import BIPOLAR, TERNARY, Ints, IntType
from bnn2fpga.design.layers import Dot, Layer, partial_sum_type
from bnn2fpga.kernels.bases.matrix_vector import MatrixVector


@dataclass(frozen=True)
class Level:
    """`count` sums of `bits`, two's complement, behind the adders of one pipeline stage."""

    count: int
    bits: int


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
        return partial_sum_type(*self.dot_range)

    @property
    def dot_affine(self) -> tuple[int, int]:
        return (1, 0)

    @property
    def levels(self) -> tuple[Level, ...]:
        """A processing element's products, then the sums of 2, 4, … of them, to the one of all.

        Each is without the sign of its first product.
        """
        weight = -self.weight_type.low if self.weight_type.signed else self.weight_type.high
        largest = weight * max(-self.source_type.low, self.source_type.high + 1)
        bits, most = IntType.holding(-largest, largest - 1).bits, self.accumulator_type.bits
        return tuple(Level(count, min(bits + place, most)) for place, count in enumerate(halvings(self.simd)))

    @property
    def product_stages(self) -> int:
        return len(halvings(self.simd)) - 1

    @property
    def rom_weights(self) -> Ints:
        """Signs are those between the halves of the sum whose second half begins with the lane.

        The first lane's is its own. Other than bipolar weights are as they are.
        """
        if not self.weight_type.bipolar:
            return self.weights
        tiled = self.weights.reshape(-1, self.simd)
        lanes = np.arange(self.simd)
        before = lanes - (lanes & -lanes)
        between = np.where(lanes > 0, tiled * tiled[:, before], tiled)
        return between.reshape(self.weights.shape)

    @property
    def parts(self) -> Parts:
        products, *sums = levels = self.levels
        selected = 0 if self.weight_type.bipolar else self.pe * products.count * products.bits
        kept = sum(level.count * (level.bits + 1) for level in sums)
        return {
            **super().parts,
            "selected": selected,
            "adders": self._adder_bits(levels),
            "product registers": self.pe * kept,
        }

    def _adder_bits(self, levels: tuple[Level, ...]) -> int:
        """Of the adders behind the products.

        Those of the same products are made once for all elements where their weights lie in LUTs, a page at
        most: synthesis does not see through more.
        """
        weights, *_ = self.memories
        shared = weights.style == "logic" and weights.depth <= LUT_DEPTH
        tiled = self.weights.reshape(self.row_folds, self.pe, self.column_folds, self.simd)
        of_element = tiled.transpose(1, 0, 2, 3).reshape(self.pe, self.tiles, self.simd)
        total = 0
        for place, (before, level) in enumerate(pairwise(levels)):
            for pair in range(before.count // 2):
                lanes = of_element[..., pair << place + 1 : pair + 1 << place + 1]
                count = self._different(lanes, 1 << place) if shared else self.pe
                total += count * (level.bits + 1)
        return total

    def _different(self, lanes: Ints, half: int) -> int:
        """Of how many different sums the weights (PE, tiles, lanes) of two halves are, zeros apart."""
        if self.tiles == 1 or self.weight_type.bipolar:  # what differs in the sign alone is the same sum
            lanes = lanes * np.where(lanes[..., :1] < 0, -1, 1)
        used = lanes[..., :half].any((1, 2)) & lanes[..., half:].any((1, 2))
        return len({element.tobytes() for element in lanes[used]})
