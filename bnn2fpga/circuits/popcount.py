"""A circuit that counts the equal bits of two vectors: XNOR, popcount, and registers in between.

The 7-series body is a bit heap. Three pairs of bits make a number of two bits in two LUT6.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Literal

from bnn2fpga.circuits.bit_heap import SEVEN, Heap, HeapCircuit

Mask = Literal["", "lanes", "pairs"]
"""Which lanes are valid or not of their own: none, each, or two together."""
FIRST = {"": ("agree", 3, 2), "lanes": ("agreevalid", 2, 2), "pairs": ("agreepair", 2, 1)}
"""Of each mask the cells that XNOR: their name, how many lanes they take, and their LUTs."""
WIRES = {"": ("w", "x"), "lanes": ("valid", "w", "x"), "pairs": ("w", "x")}
"""The bits that each lane gives to its cell."""


@dataclass(frozen=True)
class Popcount(HeapCircuit):
    """How many of `bits` lanes agree.

    With a mask of "lanes", how many of those that are valid. With one of "pairs" lanes 0 and 1, 2 and 3, …
    are valid together, and a pair that is not counts 1: half of its lanes, so that twice the count less all
    lanes is the dot product in which it is zero. That takes no LUT more than if all were valid.
    """

    bits: int
    mask: Mask = ""

    template = "popcount"

    @property
    def name(self) -> str:
        return f"{self.mask or 'xnor'}_popcount_{self.bits}_"

    @property
    def products(self) -> int:
        return self.bits

    @property
    def output_bits(self) -> int:
        """Of a count of 0 to `bits`."""
        return self.bits.bit_length()

    @cached_property
    def heap(self) -> Heap:
        return compressed(self.bits, self.mask)

    @property
    def half(self) -> int:
        """One lane of every pair, as a word of all lanes."""
        return sum(1 << lane for lane in range(0, self.bits, 2))


@cache  # folding asks for the same sizes thousands of times
def compressed(bits: int, mask: Mask) -> Heap:
    """The circuit that counts `bits` lanes."""
    heap = Heap()
    name, group, luts = FIRST[mask]
    for start in range(0, bits, group):
        lanes = range(start, min(start + group, bits))
        wires = [f"{wire}[{lane}]" for lane in lanes for wire in WIRES[mask]]
        wires += [f"valid[{start}]"] * (mask == "pairs")
        outputs = min(len(lanes), 2)
        heap.add(f"{name}{len(lanes)}_", tuple(wires), outputs, min(outputs, luts), 1)
    if heap.height >= SEVEN:
        # weights and inputs come from far
        heap.register()
    heap.compress()
    if not heap.layer and bits > 1:
        heap.register()
    return heap
