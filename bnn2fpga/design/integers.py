"""The integer types that streams carry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bnn2fpga.errors import BuildError

if TYPE_CHECKING:
    pass


Ints = npt.NDArray[np.signedinteger[Any]]
"""Signed integer array of any width; the range is the `IntType`'s."""


@dataclass(frozen=True)
class IntType:
    """The values that one lane of a stream can take.

    `bits` wide, two's complement when `signed`. `bipolar` is the two values -1 (bit 0) and
    +1 (bit 1). `narrow` leaves out the most negative value, so `IntType(2, True, narrow=True)`
    is the ternary -1, 0, +1.
    """

    bits: int
    signed: bool = False
    bipolar: bool = False
    narrow: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 32:
            way_out = (
                "; quantize to fewer bits in front of it, or take fewer trunk_bits" if self.bits > 32 else ""
            )
            raise BuildError(f"an integer type of {self.bits} bits is not supported; legal: 1 to 32{way_out}")
        if self.bipolar and (self.bits != 1 or self.signed or self.narrow):
            raise BuildError("a bipolar type has one bit and no other property")

    @classmethod
    def holding(cls, low: int, high: int) -> IntType:
        """The smallest plain type that holds every integer from `low` to `high`."""
        if low >= 0:
            return cls(max(1, int(high).bit_length()))
        return cls(1 + max(int(-low - 1).bit_length(), int(max(high, 0)).bit_length()), signed=True)

    @property
    def low(self) -> int:
        """The smallest value."""
        if self.bipolar:
            return -1
        return -(1 << (self.bits - 1)) + self.narrow if self.signed else 0

    @property
    def high(self) -> int:
        """The largest value."""
        if self.bipolar:
            return 1
        return (1 << (self.bits - self.signed)) - 1

    @property
    def step(self) -> int:
        """The distance between neighbouring values: 2 for bipolar, otherwise 1."""
        return 2 if self.bipolar else 1

    @property
    def levels(self) -> int:
        """How many values there are."""
        return (self.high - self.low) // self.step + 1

    @property
    def dtype(self) -> type[np.signedinteger[Any]]:
        """The narrowest signed numpy integer that holds every value."""
        for candidate in (np.int8, np.int16, np.int32):
            if np.iinfo(candidate).min <= self.low and self.high <= np.iinfo(candidate).max:
                return candidate
        return np.int64

    def __str__(self) -> str:
        if self.bipolar:
            return "bipolar"
        return f"{'int' if self.signed else 'uint'}{self.bits}{'n' if self.narrow else ''}"

    def check(self, values: Ints, where: str) -> Ints:
        """`values` in this type's dtype; a BuildError naming `where` if one is not of this type."""
        if values.size and (values.min() < self.low or values.max() > self.high):
            raise BuildError(
                f"{where}: value {values.min() if values.min() < self.low else values.max()} "
                f"is outside {self} ({self.low} to {self.high})"
            )
        if self.bipolar and np.any(values == 0):
            raise BuildError(f"{where}: value 0 is not bipolar; legal: -1, 1")
        return values.astype(self.dtype, copy=False)


BIPOLAR = IntType(1, bipolar=True)
TERNARY = IntType(2, signed=True, narrow=True)
