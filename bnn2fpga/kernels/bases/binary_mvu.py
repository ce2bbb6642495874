"""What the matrix-vector kernels share that XNOR: which inputs are zeros, and what their sums start from."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from math import gcd

from bnn2fpga.circuits.popcount import Mask, Popcount
from bnn2fpga.circuits.resources import Parts
from bnn2fpga.design.folding import check_folding
from bnn2fpga.design.integers import IntType
from bnn2fpga.kernels.bases.matrix_vector import MatrixVector


@dataclass(frozen=True, eq=False)
class BinaryMvu(MatrixVector):
    """Bipolar weights times signs, of which some can be zeros if they are `masked`; `tap` is as in `Dot`."""

    tap: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_folding("tap", self.tap, self.columns, "inputs")

    @property
    @abstractmethod
    def masked(self) -> bool:
        """Whether inputs can be zeros."""

    @property
    @abstractmethod
    def halves(self) -> bool:
        """Whether sums are kept as half of what they stand for, rounded down.

        A sum that starts at -K/2 and counts the lanes that agree, of a zero every other one, is that.
        """

    @property
    def group(self) -> int:
        """Lanes of a beat that are zeros together."""
        return gcd(self.tap, self.simd)

    @property
    def readers(self) -> int:
        return self.group if self.masked else 1

    @property
    def mask(self) -> Mask:
        """What lanes are valid or not of their own."""
        if not self.masked:
            return ""
        return "lanes" if self.group % 2 else "pairs"

    @property
    def popcounts(self) -> tuple[Popcount, ...]:
        return (Popcount(self.simd, self.mask),)

    @property
    def sum_type(self) -> IntType:
        if self.halves:
            return IntType.holding(self.sum_start, self.columns // 2)
        return IntType.holding(-self.columns if self.masked else 0, self.columns)

    @property
    def sum_start(self) -> int:
        return -((self.columns + 1) // 2) if self.halves else 0

    @property
    def parts(self) -> Parts:
        # what is valid is counted once and taken from every sum
        taken = self.popcounts[0].luts + self.pe * self.sums * self.sum_type.bits
        return {**super().parts, "border": taken if self.mask == "lanes" else 0}
