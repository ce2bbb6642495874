"""Weights as matrix-vector units keep them: tiles of one beat's weights, one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np

from bnn2fpga.circuits.memory import Store
from bnn2fpga.circuits.rom import Rom
from bnn2fpga.design.integers import Ints, IntType
from bnn2fpga.kernels.bases.rom_fields import type_bits


@dataclass(frozen=True, eq=False)
class WeightTiles:
    """`weights` (M, K) of `type` for `pe` rows and `simd` columns a beat; row n lies in element n % pe."""

    weights: Ints
    type: IntType
    pe: int
    simd: int

    @property
    def count(self) -> int:
        """Words of one processing element's memory."""
        return self.weights.size // (self.pe * self.simd)

    def rom(self, store: Store) -> Rom:
        """The memory of the SystemVerilog: a word a tile, all processing elements side by side."""
        rows, columns = self.weights.shape
        bits = type_bits(self.weights, self.type)
        tiled = bits.reshape(rows // self.pe, self.pe, columns // self.simd, -1).transpose(0, 2, 1, 3)
        return Rom.of_bits(tiled.reshape(self.count, -1), store)

    @property
    def words(self) -> list[list[list[int]]]:
        """[pe][tile][word] for the C++: the weight bits of a tile, column 0 in the lowest bits."""
        rows, columns = self.weights.shape
        bits = type_bits(self.weights, self.type)
        shape = (rows // self.pe, self.pe, columns // self.simd, -1)
        flat = bits.reshape(shape).transpose(1, 0, 2, 3).reshape(self.pe, self.count, -1)
        padding = -flat.shape[-1] % self.word_bits
        packed = np.packbits(np.pad(flat, ((0, 0), (0, 0), (0, padding))), axis=-1, bitorder="little")
        words: list[list[list[int]]] = np.ascontiguousarray(packed).view(f"<u{self.word_bits // 8}").tolist()
        return words

    @property
    def word_bits(self) -> int:
        """The native C integer that a word is kept in: 8, 16, 32 or 64 bits."""
        return next((b for b in (8, 16, 32) if self.simd * self.type.bits <= b), 64)

    @property
    def tile_words(self) -> int:
        """Native words of one tile."""
        return ceil(self.simd * self.type.bits / self.word_bits)
