"""Two straight lines that meet at a knee, of shifts and additions only: RPReLU on integers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bnn2fpga.design.integers import Ints


@dataclass(frozen=True, eq=False)
class TwoSlopes:
    """y = (slopes[i, c] * x + constants[i, c]) >> shift, i = 0 where x < knee[c], else 1.

    knee: (C,). slopes, constants: (2, C) integers; the shift rounds down, so `constants` hold the half
    that makes it round half up. A slope is built from its `terms`, so few of them make a small circuit.
    """

    knee: Ints
    slopes: Ints
    constants: Ints
    shift: int

    @property
    def channels(self) -> int:
        """C, the number of functions."""
        return len(self.knee)

    def __call__(self, x: Ints) -> Ints:
        """y for integers x (…, C)."""
        wide = x.astype(np.int64)
        lower, upper = (
            slope * wide + constant for slope, constant in zip(self.slopes, self.constants, strict=True)
        )
        y: Ints = np.where(wide < self.knee, lower, upper) >> self.shift
        return y

    def bounds(self, low: int, high: int) -> tuple[Ints, Ints]:
        """The smallest and the largest y of each channel for x from `low` to `high`."""
        knees = np.clip(np.stack([self.knee - 1, self.knee]), low, high)
        ends = np.full_like(knees, low), np.full_like(knees, high)
        values = self(np.concatenate([knees, *ends]))
        return values.min(axis=0), values.max(axis=0)

    @cached_property
    def terms(self) -> tuple[Ints, Ints]:
        """Signs -1, 0, +1 and exponents of the fewest powers of two that sum up to each slope.

        Both have the shape (2, T, C), T the terms of the costliest slope, at least 1.
        """
        decomposed = [[signed_powers(int(value)) for value in line] for line in self.slopes]
        count = max(1, max(len(powers) for line in decomposed for powers in line))
        padded = np.array(
            [[powers + [(0, 0)] * (count - len(powers)) for powers in line] for line in decomposed]
        )
        signs, shifts = np.moveaxis(padded, (3, 2), (0, 2))
        return signs, shifts


def signed_powers(value: int) -> list[tuple[int, int]]:
    """(sign, exponent) of the fewest signed powers of two whose sum is `value`, smallest first.

    The non-adjacent form: Reitwiesner, Binary arithmetic, Advances in Computers 1, 1960.
    """
    powers, exponent = [], 0
    while value:
        if value & 1:
            digit = 2 - value % 4
            powers.append((digit, exponent))
            value -= digit
        value >>= 1
        exponent += 1
    return powers
