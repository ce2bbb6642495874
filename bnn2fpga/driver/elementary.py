"""exp and log of float64 by sums and products in a fixed order, so with the same bits on every machine.

A machine's own exp may differ in the last bit from another's. These are within 2 units in the last place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Mapping

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LN2_HIGH = 0.693147180369123816490
"""ln 2 in 32 bits, so that a product with an exponent is exact; LN2_LOW is the rest (fdlibm)."""
LN2_LOW = 1.90821492927058770002e-10
EXP_TERMS = 14
LOG_TERMS = 12


def exponential(x: NDArray[Any]) -> NDArray[Any]:
    """exp(x): a power of two times the Taylor series at |r| <= ln(2) / 2."""
    number = np.where(np.isnan(x), 0.0, x).astype(np.float64)
    limited = np.minimum(np.maximum(number, -746.0), 710.0)
    power = np.rint(limited / (LN2_HIGH + LN2_LOW))
    r = (limited - power * LN2_HIGH) - power * LN2_LOW
    total = np.ones_like(r)
    for term in range(EXP_TERMS, 0, -1):
        total = total * (r / term) + 1.0
    # in two steps, as 2**1024 is none
    half = np.floor(power / 2)
    with np.errstate(over="ignore", under="ignore"):
        scaled = np.ldexp(np.ldexp(total, half.astype(np.int32)), (power - half).astype(np.int32))
    return np.where(np.isnan(x), np.nan, scaled)


def logarithm(x: NDArray[Any]) -> NDArray[Any]:
    """log(x): x = m * 2**e with m near 1, and log m = 2 artanh((m - 1) / (m + 1))."""
    positive = np.where(x > 0, x, 1.0).astype(np.float64)
    m, e = np.frexp(positive)
    low = m < np.sqrt(0.5)
    m, e = np.where(low, 2 * m, m), np.where(low, e - 1, e).astype(np.float64)
    s = (m - 1) / (m + 1)
    square = s * s
    total = np.zeros_like(s)
    for term in range(LOG_TERMS, -1, -1):
        total = total * square + 1.0 / (2 * term + 1)
    found = e * LN2_HIGH + (2 * s * total + e * LN2_LOW)
    return np.where(x > 0, found, np.where(x == 0, -np.inf, np.nan))


def _sigmoid(x: NDArray[Any]) -> NDArray[Any]:
    return 1.0 / (1.0 + exponential(-x))


def _tanh(x: NDArray[Any]) -> NDArray[Any]:
    """By the odd series where 1 - 2 / (exp(2x) + 1) would cancel."""
    y = np.abs(x.astype(np.float64))
    square = y * y
    small = y * (1 - square * (1 / 3 - square * (2 / 15 - square * 17 / 315)))
    found = np.where(y < 0.01, small, 1.0 - 2.0 / (exponential(2 * y) + 1.0))
    return np.where(x < 0, -found, found)


def _softplus(x: NDArray[Any]) -> NDArray[Any]:
    y = x.astype(np.float64)
    return np.maximum(y, 0) + logarithm(1.0 + exponential(-np.abs(y)))


TRANSCENDENT: Mapping[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "exp": exponential,
    "log": logarithm,
    "sigmoid": _sigmoid,
    "softplus": _softplus,
    "tanh": _tanh,
}
"""Functions of one number whose last bit IEEE does not define."""
