"""Products of packed frames and weights: by popcounts of bit planes, or as floats that hold every sum."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from bnn2fpga.design.integers import Ints, IntType
from bnn2fpga.design.packed_frames import PackedFrames, plane_values
from bnn2fpga.packed.library import AND, Ending, Weights, words_of

DENSE = 6
"""Popcounts of a word and eight channels take about as long as so many float multiplications."""
MANTISSA = {np.float32: 24, np.float64: 53}


@dataclass(frozen=True, eq=False)
class PackedWeights:
    """Weights (M, K) of `type`, in each of the forms that a product wants."""

    weights: Ints
    type: IntType

    @cached_property
    def bits(self) -> Weights:
        """Bit planes; 1 for a bipolar +1."""
        codes = (self.weights + 1) // 2 if self.type.bipolar else self.weights
        return Weights.of(codes.astype(np.int64), self.type.bits)

    @cached_property
    def transposed(self) -> npt.NDArray[np.float64]:
        """(K, M filled up to a multiple of 64)."""
        rows = self.weights.T.astype(np.float64)
        return np.ascontiguousarray(np.pad(rows, ((0, 0), (0, -rows.shape[1] % 64))))

    @cached_property
    def transposed_single(self) -> npt.NDArray[np.float32]:
        """The same, of half the size."""
        return self.transposed.astype(np.float32)

    @cached_property
    def sums(self) -> npt.NDArray[np.int64]:
        """Of every channel's weights."""
        return self.weights.sum(axis=1, dtype=np.int64)

    def times(self, x: PackedFrames, ending: Ending) -> npt.NDArray[np.generic]:
        """The dot products of every pixel, by the faster way."""
        columns = self.weights.shape[1]
        if DENSE * x.type.bits * self.type.bits * words_of(columns) > columns:
            largest = max(-x.type.low, x.type.high) * max(-self.type.low, self.type.high)
            single = columns * largest < 1 << MANTISSA[np.float32]
            weights = self.transposed_single if single else self.transposed
            return x.library.dense(x.integers, weights, len(self.weights), ending)
        gains, offset = plane_values(x.type)
        of_weights, weight_offset = plane_values(self.type)
        return x.library.product(
            AND,
            x.planes,
            self.bits,
            np.multiply.outer(gains, of_weights),
            [weight_offset * gain for gain in gains],
            offset * self.sums,
            ending,
        )
