"""FracBNN's fractional activation: the second bit counts only where the first one's sum is large."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from bnn2fpga.circuits.memory import Memory, rom
from bnn2fpga.circuits.resources import Parts
from bnn2fpga.circuits.rom import Rom
from bnn2fpga.design.integers import BIPOLAR, Ints, IntType
from bnn2fpga.design.layers import GatedDot, Layer
from bnn2fpga.design.packed_frames import PackedFrames
from bnn2fpga.kernels.bases.binary_mvu import BinaryMvu
from bnn2fpga.kernels.bases.rom_fields import field_bits, lanes_rom
from bnn2fpga.packed.library import XOR, XOR_OUTSIDE

CODES = IntType(2)
CODES_AND_BORDER = IntType(3, signed=True)


@dataclass(frozen=True, eq=False)
class GatedMvu(BinaryMvu):
    """Bipolar weights times 2-bit codes, see `layers.GatedDot`; both bits in the same pass.

    The accumulator is the result itself, 2 * M + (L where M >= gates, else 0). The second pass of the
    paper's engine would take as long with the gate shut as with it open; here it takes no time but a
    second row of XNORs.
    """

    gates: Ints = field(default_factory=lambda: np.zeros(1, np.int64))

    summary = "gated fractional matrix-vector unit: 2-bit inputs, the low bits gated by the high bits' sum"
    template = "gated_mvu"

    @classmethod
    def implements(cls, layer: Layer) -> Self | None:
        if not isinstance(layer, GatedDot) or layer.source.type not in (CODES, CODES_AND_BORDER):
            return None
        return cls(
            layer.source.shape, layer.source.type, layer.weights, BIPOLAR, tap=layer.tap, gates=layer.gates
        )

    @property
    def masked(self) -> bool:
        """Whether inputs can be the border."""
        return self.source_type == CODES_AND_BORDER

    @property
    def accumulator_type(self) -> IntType:
        return IntType.holding(*self.accumulator_range)

    @property
    def accumulator_range(self) -> tuple[int, int]:
        """-3 to 3 an input."""
        return -3 * self.columns, 3 * self.columns

    @property
    def dot_affine(self) -> tuple[int, int]:
        """The accumulator is the result itself."""
        return (1, 0)

    def dot(self, x: Ints) -> Ints:
        """2 * M + (L where M >= gates, else 0) for codes x (…, K): (…, M)."""
        inside = x >= 0
        high = super().dot(np.where(inside, 2 * (x >> 1) - 1, 0))
        low = super().dot(np.where(inside, 2 * (x & 1) - 1, 0))
        return 2 * high + np.where(high >= self.gates, low, 0)

    def packed_sums(self, x: PackedFrames) -> npt.NDArray[Any]:
        # bit 2 marks the border
        way, borders = (XOR_OUTSIDE, [0, 0, -1]) if self.masked else (XOR, [0, 0])
        bits, gates = self.packed_weights.bits, np.clip(self.gates, -self.columns, self.columns + 1)
        return x.library.product(
            way, x.planes, bits, [-2], borders, self.columns, self.packed_ending, 1, 2, gates.astype(np.int32)
        )

    @property
    def halves(self) -> bool:
        return self.mask != "lanes"

    @property
    def sums(self) -> int:
        return 2

    @property
    def result_stages(self) -> int:
        # what the gate makes is too late to be compared in the same clock
        return 1 if self.steps else 0

    @property
    def parts(self) -> Parts:
        gates = self.pe * self.gate_table_bits
        gate = "constant gates" if self.row_folds == 1 else "gates"
        late = self.pe * (self.accumulator_type.bits + self.step_bits) if self.result_stages else 0
        return {**super().parts, gate: gates, "late registers": late}

    @property
    def memories(self) -> tuple[Memory, ...]:
        return (*super().memories, rom(self.row_folds, self.pe * self.gate_table_bits))

    @property
    def roms(self) -> Mapping[str, Rom]:
        gates = np.array(self.gate_table).reshape(-1)
        return {**super().roms, "gates": lanes_rom(self.pe, field_bits(gates, self.gate_table_bits))}

    @property
    def gate_table_bits(self) -> int:
        """Bits of one gate."""
        return IntType.holding(-self.columns, self.columns + 1).bits

    @property
    def gate_table(self) -> list[list[int]]:
        """[row fold][pe]: the gates; one that never, or always, opens lies just beyond the sums' range."""
        gates = np.clip(self.gates, -self.columns, self.columns + 1)
        table: list[list[int]] = gates.reshape(self.row_folds, self.pe).tolist()
        return table
