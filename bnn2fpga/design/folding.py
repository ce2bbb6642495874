"""What a folding may be: divisors, widths, and the error for one that is illegal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnn2fpga.errors import FoldingError

if TYPE_CHECKING:
    pass


WIDEST_BEAT = 4096
"""Bits; the widest ap_uint and stream that Vitis HLS takes."""


def divisors(number: int) -> tuple[int, ...]:
    """Every divisor of `number`, rising."""
    return tuple(d for d in range(1, number + 1) if number % d == 0)


def halvings(count: int) -> tuple[int, ...]:
    """`count` values, then how many are left whenever two become one, to a single one."""
    return (count,) if count == 1 else (count, *halvings((count + 1) // 2))


def lane_counts(channels: int, bits: int) -> tuple[int, ...]:
    """The divisors of `channels` that make beats of `bits` a lane that are not too wide."""
    return tuple(lanes for lanes in divisors(channels) if lanes * bits <= WIDEST_BEAT)


def check_folding(what: str, value: int, whole: int, of: str) -> None:
    """A FoldingError unless `value` divides `whole`."""
    if value < 1 or whole % value:
        legal = ", ".join(map(str, divisors(whole)))
        raise FoldingError(f"{what}={value} does not divide {whole} {of}; legal: {legal}")
