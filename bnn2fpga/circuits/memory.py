"""Memories: what they lie in, and what they cost on a 7-series chip."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, expm1, log1p
from typing import Literal

from bnn2fpga.circuits.resources import Parts, Resources, fitted

LUT_DEPTH = 64
"""Words that fit into one LUT a bit (UG474)."""
REGISTER_SLICE, MEMORY_SLICE = 64, 144
"""Bits of a FIFO's word that share flags or addresses, in registers and in memory; more make slow wires."""
ADDRESS_LUTS = 128
"""LUTs that a bit of a constant table's address drives, at most."""
USES = 4
"""How often a LUT of a table is used, about, before it is made again nearby: wires stay short."""
LUT_BITS = 2048
"""A smaller memory is not worth a block RAM."""
BLOCK_DEPTH = 32768
"""Words of one bit that a block RAM holds (UG473)."""

Store = Literal["auto", "block", "logic"]
"""What constants lie in: block RAM or the LUTs of the logic that uses them; `auto` is by their size."""
STORES: tuple[Store, ...] = ("logic", "block")


def in_luts(depth: int, width: int) -> bool:
    """Whether a memory of `depth` words of `width` bits belongs into LUTs rather than block RAM."""
    return depth <= LUT_DEPTH or depth * width <= LUT_BITS


def in_logic(store: Store, depth: int, width: int) -> bool:
    """Whether constants of `depth` words of `width` bits become LUTs."""
    return store == "logic" or depth == 1 or (store == "auto" and in_luts(depth, width))


@dataclass(frozen=True)
class Memory:
    """`depth` words of `width` bits in block RAM, in LUTs as memory, or as constants in the logic."""

    depth: int
    width: int
    style: Literal["block", "distributed", "logic"]

    @property
    def parts(self) -> Parts:
        """Constants in the logic, where bits of a piece that are equal in all words are made once unless the
        table is deep; what picks a block's bit."""
        if self.style == "block" and self.depth > BLOCK_DEPTH:
            return {"blocks behind one another": self.width * (ceil(self.depth / BLOCK_DEPTH) - 1)}
        if self.style != "logic" or self.depth == 1:
            return {}
        if self.depth > LUT_DEPTH:
            return {"deep constants": self.width * deep_luts(self.depth), "constant registers": self.width}
        functions, count = 2.0 ** min(self.depth, LUT_DEPTH), pieces(self.depth, self.width)
        different = count * functions * -expm1(self.width / count * log1p(-1 / functions))
        return {"constants": different, "constant registers": different}

    @property
    def resources(self) -> Resources:
        """Memory cells: four LUTs hold 32 x 6 or 64 x 3 (UG474), a RAMB18 512 x 36 to 16384 x 1 (UG473)."""
        if self.style == "logic":
            return Resources()
        if self.style == "distributed":
            bits = 6 if self.depth <= LUT_DEPTH // 2 else 3
            return Resources(lutrams=4 * ceil(self.width / bits) * ceil(self.depth / LUT_DEPTH))
        shapes = ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))
        blocks = min(ceil(self.depth / words) * ceil(self.width / bits) for words, bits in shapes)
        return Resources(bram36=blocks / 2)


def pieces(depth: int, width: int) -> int:
    """Into how many a constant word in LUTs falls, within which bits that are alike are made once."""
    return max(1, ceil(width / max(ADDRESS_LUTS, USES << min(depth, LUT_DEPTH))))


def deep_luts(depth: int) -> int:
    """LUTs of one bit of a table of more than LUT_DEPTH words, about: one a page, and multiplexers of four.

    Behind one full page the multiplexer makes a rest of up to 16 words itself.
    """
    full, rest = divmod(depth, LUT_DEPTH)
    pages = full + (rest > 0)
    return pages + ceil((pages - 1) / 3) - (full == 1 and 0 < rest <= 16)


def ram(depth: int, width: int) -> Memory:
    """One that is written at one port and read at another."""
    return Memory(depth, width, "distributed" if in_luts(depth, width) else "block")


def rom(depth: int, width: int, store: Store = "auto") -> Memory:
    """Constants."""
    return Memory(depth, width, "logic" if in_logic(store, depth, width) else "block")


def fifo_parts(depth: int, width: int) -> Parts:
    """The control of a FIFO of `depth` beats of `width` bits; every slice has addresses of its own."""
    bits = max(1, counter_bits(depth))
    return {"kernel": 1, "address": bits, "slice addresses": bits * (ceil(width / MEMORY_SLICE) - 1)}


def fifo(depth: int, width: int) -> Resources:
    """A FIFO of `depth` beats of `width` bits; one of two is registers, and a LUT picks two bits."""
    if depth == 2:
        others = ceil(width / REGISTER_SLICE) - 1
        return Resources(luts=7 + ceil(width / 2) + 3 * others, flipflops=5 + 2 * width + 2 * others)
    memory = Memory(depth, width, "distributed" if depth <= LUT_DEPTH else "block")
    return memory.resources + fitted("Fifo", fifo_parts(depth, width))


def counter_bits(*counts: int) -> int:
    """Bits of counters of so many states each."""
    return sum((count - 1).bit_length() for count in counts)
