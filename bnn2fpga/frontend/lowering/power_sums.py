"""Slopes as sums of few powers of two, and where a line with such a slope should meet the real one."""

from __future__ import annotations

from math import erf

import numpy as np
import numpy.typing as npt

from bnn2fpga.design.integers import Ints

Floats = npt.NDArray[np.float64]

RARE = 1e-3
"""Probabilities below this count as this much."""


def mean_beside(knee: Floats, spread: float) -> Floats:
    """The means below and above `knee` of a normal variable around 0; (2, channels)."""
    edge = knee / spread
    density = np.exp(-(edge**2) / 2) / (2 * np.pi) ** 0.5
    below = np.array([(1 + erf(value / 2**0.5)) / 2 for value in edge])
    return spread * density * np.stack([-1 / np.maximum(below, RARE), 1 / np.maximum(1 - below, RARE)])


def sums_of_powers(values: Floats, terms: int) -> Ints:
    """Integers next to `values`, each the sum of at most `terms` signed powers of two.

    Each term is the power of two next to what is left, the larger one of two; none where less than 1/2
    is left.
    """
    total = np.zeros(values.shape, np.int64)
    for _ in range(terms):
        left = values - total
        magnitude = np.maximum(np.abs(left), 0.5)
        exponent = np.maximum(np.floor(np.log2(magnitude / 1.5)).astype(np.int64) + 1, 0)
        sign = np.where(np.abs(left) < 0.5, 0, np.sign(left)).astype(np.int64)
        total += sign << exponent
    return total
