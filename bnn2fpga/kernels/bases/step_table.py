"""Step functions as a table of constants."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bnn2fpga.circuits.resources import Parts
from bnn2fpga.circuits.rom import Bits
from bnn2fpga.design.integers import IntType
from bnn2fpga.design.step_functions import Steps
from bnn2fpga.kernels.bases.rom_fields import field_bits, threshold_type


@dataclass(frozen=True, eq=False)
class StepTable:
    """Step functions of numbers of type `source`, as a memory keeps and the macro `activate` reads them."""

    steps: Steps
    source: IntType

    @property
    def threshold_type(self) -> IntType:
        """Of the thresholds."""
        return threshold_type(self.source)

    def parts(self, lanes: int, folds: int) -> Parts:
        """What compares with the thresholds and adds up levels; every lane has a channel a fold."""
        fixed = "constant " if folds == 1 else ""
        steps = self.steps
        # what fills up a lane's channels is nothing
        used = int(steps.signs.reshape(folds, lanes, steps.count).any(axis=0).sum())
        added = max(0, used - lanes)
        levels = {"levels": added} if steps.rising else {"signed levels": added * steps.output.bits}
        return {
            f"{fixed}thresholds": used * self.source.bits,
            **{f"{fixed}{name}": count for name, count in levels.items()},
        }

    @property
    def width(self) -> int:
        """Bits of one channel."""
        return self.bits.shape[1]

    @property
    def bits(self) -> Bits:
        """A channel's base level, its thresholds and, unless all steps rise, its signs: (channels, width).

        Levels and signs have the output's bits and are added up modulo 2^bits. The low end of the output
        type is in the base.
        """
        steps, width = self.steps, self.steps.output.bits
        base = steps.base + (0 if steps.output.bipolar else steps.output.low)
        thresholds = np.clip(steps.thresholds, self.source.low, self.source.high + 1)
        fields = [field_bits(base, width), field_bits(thresholds, self.threshold_type.bits)]
        if not steps.rising:
            fields.append(field_bits(steps.signs, width))
        return np.concatenate([field.reshape(steps.channels, -1) for field in fields], axis=1)
