"""Binary times binary: XNOR and popcount."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from bnn2fpga.design.integers import BIPOLAR, TERNARY, Ints, IntType
from bnn2fpga.design.layers import Dot, Layer
from bnn2fpga.kernels.bases.binary_mvu import BinaryMvu


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

    @property
    def halves(self) -> bool:
        return self.mask == "pairs"

    @property
    def rom_weights(self) -> Ints:
        return -self.weights if self.masked else self.weights
