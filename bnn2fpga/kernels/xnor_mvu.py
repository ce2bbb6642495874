"""Binary times binary: XNOR and popcount."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy.typing as npt

from bnn2fpga.design.integers import BIPOLAR, TERNARY, Ints, IntType
from bnn2fpga.design.layers import Dot, Layer
from bnn2fpga.design.packed_frames import PackedFrames
from bnn2fpga.kernels.bases.binary_mvu import BinaryMvu
from bnn2fpga.packed.library import XOR, XOR_WITHIN


@dataclass(frozen=True, eq=False)
class XnorMvu(BinaryMvu):
    """Bipolar weights times bipolar or ternary inputs.

    Bipolar inputs: the accumulator is the popcount of equal bits, 0..K, and the dot product is
    2 * popcount - K. Ternary inputs (a bipolar image padded with zeros): positions that hold 0 are
    masked out, and the accumulator is the dot product itself, -K..K.
    """

    summary = "XNOR-popcount matrix-vector unit, fused thresholds; bipolar or zero-padded bipolar input"
    template = "xnor_mvu"

    @classmethod
    def implements(cls, layer: Layer) -> Self | None:
        if not isinstance(layer, Dot) or layer.weight_type != BIPOLAR:
            return None
        if layer.source.type not in (BIPOLAR, TERNARY):
            return None
        return cls(layer.source.shape, layer.source.type, layer.weights, BIPOLAR, tap=layer.tap)

    @property
    def masked(self) -> bool:
        """Whether the inputs are ternary."""
        return self.source_type == TERNARY

    @property
    def accumulator_type(self) -> IntType:
        return IntType.holding(-self.columns if self.masked else 0, self.columns)

    @property
    def dot_affine(self) -> tuple[int, int]:
        return (1, 0) if self.masked else (2, -self.columns)

    def packed_sums(self, x: PackedFrames) -> npt.NDArray[Any]:
        product, bits, ending = x.library.product, self.packed_weights.bits, self.packed_ending
        if self.masked:
            # bit 0 of -1 and +1 is set, bit 1 is the sign
            return product(XOR_WITHIN, x.planes, bits, [2], [-1, 0], 0, ending, first=1, second=0)
        return product(XOR, x.planes, bits, [-1], [0], self.columns, ending)

    @property
    def halves(self) -> bool:
        return self.mask == "pairs"

    @property
    def rom_weights(self) -> Ints:
        return -self.weights if self.masked else self.weights
