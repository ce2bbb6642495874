"""Tables of constants: the words, and what they lie in."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
import numpy.typing as npt

from bnn2fpga.circuits.memory import ADDRESS_LUTS, LUT_DEPTH, Store, in_logic, pieces

Bits = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Rom:
    """`words` of `width` bits; the first one at address 0. `store` says what they lie in."""

    width: int
    words: tuple[int, ...]
    store: Store = "auto"

    @classmethod
    def of_bits(cls, bits: Bits, store: Store = "auto") -> Rom:
        """From single bits (depth, width), bit 0 of a word first."""
        packed = np.packbits(bits, axis=-1, bitorder="little")
        return cls(bits.shape[1], tuple(int.from_bytes(word.tobytes(), "little") for word in packed), store)

    @property
    def depth(self) -> int:
        """Number of words."""
        return len(self.words)

    def part(self, low: int, high: int) -> tuple[int, ...]:
        """Bits `low` to `high` - 1 of every word."""
        mask = (1 << (high - low)) - 1
        return tuple(word >> low & mask for word in self.words)

    @property
    def style(self) -> str:
        """The ram_style attribute: the kind of memory that synthesis takes."""
        return "logic" if in_logic(self.store, self.depth, self.width) else "block"

    @property
    def paged(self) -> bool:
        """Whether it lies in so many LUTs a bit that its module is one of its own."""
        return self.style == "logic" and self.depth > LUT_DEPTH

    @property
    def read_from_file(self) -> bool:
        """Whether the SystemVerilog reads `text`; other words stand in it."""
        return self.style == "block" or self.paged

    @property
    def bits(self) -> Bits:
        """Single bits (depth, width), bit 0 of a word first."""
        size = (self.width + 7) // 8
        packed = np.frombuffer(b"".join(word.to_bytes(size, "little") for word in self.words), np.uint8)
        return np.unpackbits(packed.reshape(self.depth, size), axis=1, count=self.width, bitorder="little")

    @property
    def slices(self) -> int:
        """Pieces of a word in LUTs that have a register of the address each, and make their bits themselves.

        Bits of a piece that are alike are made once. Of all bits of a wide word that would save more LUTs,
        but each would drive wires to everywhere.
        """
        if self.paged:
            return min(self.width, ceil(self.width * ceil(self.depth / LUT_DEPTH) / ADDRESS_LUTS))
        different = len(np.unique(np.packbits(self.bits.T, axis=1), axis=0))
        return max(pieces(self.depth, self.width), ceil(different / ADDRESS_LUTS))

    @property
    def pages(self) -> list[list[int]]:
        """Of every LUT_DEPTH words, as far as these are full, what the LUT of each bit holds."""
        bits = self.bits
        full = bits[: self.depth // LUT_DEPTH * LUT_DEPTH].reshape(-1, LUT_DEPTH, self.width)
        columns = np.packbits(full.transpose(0, 2, 1), axis=-1, bitorder="little")
        pages: list[list[int]] = np.ascontiguousarray(columns).view("<u8")[..., 0].tolist()
        return pages

    @property
    def rest(self) -> tuple[int, ...]:
        """The words behind the full pages."""
        return self.words[self.depth // LUT_DEPTH * LUT_DEPTH :]

    @property
    def text(self) -> str:
        """For $readmemh: a word a line in hexadecimal."""
        digits = (self.width + 3) // 4
        return "".join(f"{word:0{digits}x}\n" for word in self.words)
