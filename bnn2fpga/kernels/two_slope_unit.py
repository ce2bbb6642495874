"""RPReLU and batch norm on an integer trunk: shifts and additions, no multiplier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Self

import numpy as np

from bnn2fpga.circuits.memory import Memory, counter_bits, rom
from bnn2fpga.circuits.resources import Parts
from bnn2fpga.circuits.rom import Rom
from bnn2fpga.design.integers import Ints, IntType
from bnn2fpga.design.layers import Bend, Layer
from bnn2fpga.design.packed_frames import PackedFrames
from bnn2fpga.design.two_slopes import TwoSlopes
from bnn2fpga.errors import BuildError, FoldingError
from bnn2fpga.kernels.bases.elementwise import Elementwise
from bnn2fpga.kernels.bases.rom_fields import field_bits, lanes_rom, threshold_type

AT_ONCE = 2
"""Terms added in a clock; more would make it a slow one."""


@dataclass(frozen=True, eq=False)
class TwoSlopeUnit(Elementwise):
    """One of two lines per channel, `lanes` channels a beat; a slope is a sum of signed powers of two."""

    slopes: TwoSlopes
    output: IntType

    summary = "two straight lines per channel (PReLU, RPReLU) by shifts and additions"
    template = "two_slope_unit"

    @classmethod
    def implements(cls, layer: Layer) -> Self | None:
        if not isinstance(layer, Bend):
            return None
        kind = layer.output
        if kind is None:
            low, high = layer.slopes.bounds(layer.source.type.low, layer.source.type.high)
            kind = IntType.holding(int(low.min()), int(high.max()))
        return cls(layer.source.shape, layer.source.type, 1, layer.slopes, kind)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.slopes.channels != self.channels:
            raise FoldingError(f"{self.slopes.channels} pairs of lines for {self.channels} channels")
        if not 0 <= self.slopes.shift <= 31 or self.sum_bits > 64:
            raise BuildError(
                f"lines of {self.sum_bits} bits, shifted by {self.slopes.shift}; "
                "legal: 64 bits, shifts 0 to 31"
            )

    @property
    def output_type(self) -> IntType:
        return self.output

    @property
    def sum_bits(self) -> int:
        """Of the signed sum before the shift, whatever the order of the terms."""
        signs, shifts = self.slopes.terms
        gain = int((np.abs(signs) << shifts).sum(axis=1).max())
        largest = max(-self.source_type.low, self.source_type.high)
        return 1 + (gain * largest + int(np.abs(self.slopes.constants).max())).bit_length()

    @property
    def terms(self) -> int:
        """Powers of two in the costliest slope."""
        return self.slopes.terms[0].shape[1]

    @property
    def stages(self) -> int:
        return 4 + max(1, ceil(self.terms / AT_ONCE))

    @property
    def at_once(self) -> int:
        """Terms that are added in a clock."""
        return AT_ONCE

    @property
    def knee_bits(self) -> int:
        """Of a knee, and of the inputs compared with it."""
        return 1 + threshold_type(self.source_type).bits

    @property
    def term_bits(self) -> int:
        """Of a term: used, minus, shift."""
        return 2 + max(1, int(self.slopes.terms[1].max()).bit_length())

    @property
    def line_bits(self) -> int:
        """Of a line: its constant, then its terms."""
        return self.sum_bits + self.terms * self.term_bits

    @property
    def lane_bits(self) -> int:
        """One channel's part of a word: the knee, the lower and the upper line."""
        return self.knee_bits + 2 * self.line_bits

    @property
    def roms(self) -> Mapping[str, Rom]:
        signs, shifts = self.slopes.terms
        terms = (shifts << 2) + 2 * (signs < 0) + (signs != 0)
        knees = np.clip(self.slopes.knee, self.source_type.low, self.source_type.high + 1)
        fields = [field_bits(knees, self.knee_bits)]
        for line in range(2):
            fields.append(field_bits(self.slopes.constants[line], self.sum_bits))
            fields.append(field_bits(terms[line].T, self.term_bits))
        return {"lines": lanes_rom(self.lanes, *fields)}

    def compute(self, *arrays: Ints) -> tuple[Ints, ...]:
        return (self.slopes(arrays[0]).astype(self.output_type.dtype),)

    def packed(self, *frames: PackedFrames) -> tuple[PackedFrames, ...]:
        (x,) = frames
        of = self.slopes
        knee, slopes, constants = (
            np.ascontiguousarray(table, np.int64) for table in (of.knee, of.slopes, of.constants)
        )
        bent = x.library.two_slopes(x.integers, (knee, slopes, constants), of.shift)
        return (x.following(self.outputs[0], bent),)

    @property
    def parts(self) -> Parts:
        """A bit that is the same in all words of a lane needs no register and no stage of a shifter."""
        fixed = "constant " if self.channel_folds == 1 else ""
        words = (0, 2)
        constants = np.ptp(field_bits(self.constants, self.sum_bits), axis=words)
        stages = np.ptp(field_bits(self.shifts, self.term_bits - 2), axis=words).sum(axis=-1)
        used = self.signs.any(axis=words)
        return {
            "counters": counter_bits(self.channel_folds),
            "arrived": self.inputs[0].bits,
            f"{fixed}knees": self.lanes * self.knee_bits,
            "lines": int(constants.sum() + stages.sum()),
            "sums": self.sum_bits * int(used.sum()),
            "shifters": self.sum_bits * int(stages[used].sum()),
            "power registers": self.lanes * self.sum_bits * (self.stages - 4 + self._kept_powers),
        }

    @property
    def _kept_powers(self) -> int:
        """Registers of terms, those included that wait for others to be added."""
        return sum(1 + term // AT_ONCE for term in range(self.terms))

    @property
    def memories(self) -> tuple[Memory, ...]:
        return (rom(self.channel_folds, self.lanes * self.lane_bits),)

    # what the template reads

    @property
    def knees(self) -> Ints:
        """(channel folds, lanes)."""
        return self.slopes.knee.reshape(self.channel_folds, self.lanes)

    @property
    def constants(self) -> Ints:
        """(channel folds, lanes, 2)."""
        return self.slopes.constants.T.reshape(self.channel_folds, self.lanes, 2)

    @property
    def signs(self) -> Ints:
        """(channel folds, lanes, 2, terms)."""
        return self.slopes.terms[0].transpose(2, 0, 1).reshape(self.channel_folds, self.lanes, 2, self.terms)

    @property
    def shifts(self) -> Ints:
        """(channel folds, lanes, 2, terms)."""
        return self.slopes.terms[1].transpose(2, 0, 1).reshape(self.channel_folds, self.lanes, 2, self.terms)
