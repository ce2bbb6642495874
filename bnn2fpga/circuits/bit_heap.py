"""Bit heaps: bits of many weights that cells take away, layer by layer, until two numbers are left.

Counters of seven bits into three, two LUT and half a carry chain, take most of the bits away, two for a LUT:
Preusser, "Generic and Universal Parallel Matrix Summation with a Flexible Compression Goal for Xilinx FPGAs",
FPL 2017.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

ADDERS = 2
"""Full adders, of one LUT each, that a bit passes between two registers."""
SEVEN = 6
"""Bits from which a counter of seven is worth its two LUT."""


@dataclass(frozen=True)
class Cell:
    """One instance of a module of the 7-series body: `inputs` to `outputs`, lowest bit first."""

    module: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(eq=False)
class Heap:
    """Bits of every weight, as names of wires, while cells take them away; `layers` of cells so far.

    A register lies behind every layer, and behind the sum of the last two `rows`.
    """

    layers: list[list[Cell]] = field(default_factory=lambda: [[]])
    columns: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    kept: list[list[str]] = field(default_factory=list)
    """The bits that are registered behind each layer."""
    luts: int = 0
    wires: int = 0

    @property
    def layer(self) -> int:
        """Finished layers."""
        return len(self.kept)

    def take(self, weight: int, count: int) -> tuple[str, ...]:
        """The oldest `count` bits of a weight."""
        column = self.columns[weight]
        taken, self.columns[weight] = column[:count], column[count:]
        return tuple(taken)

    def cell(self, module: str, inputs: tuple[str, ...], outputs: int, luts: int) -> tuple[str, ...]:
        """A new cell; its outputs."""
        names = tuple(f"b{self.wires + index}" for index in range(outputs))
        self.wires += outputs
        self.luts += luts
        self.layers[-1].append(Cell(module, inputs, names))
        return names

    def add(self, module: str, inputs: tuple[str, ...], outputs: int, luts: int, weight: int) -> None:
        """A new cell whose outputs have `weight` and the next powers of two, back on the heap."""
        for index, name in enumerate(self.cell(module, inputs, outputs, luts)):
            self.columns[weight << index].append(name)

    def register(self) -> None:
        """Ends the layer: all bits go through a register, from which they are called NAMEr."""
        self.kept.append(sorted(name for column in self.columns.values() for name in column))
        self.columns = defaultdict(list, {w: [f"{n}r" for n in column] for w, column in self.columns.items()})
        self.layers.append([])

    def compress(self) -> None:
        """Adds the layers that leave two numbers."""
        while self.height > 2:
            if self.height >= SEVEN:
                _count_sevens(self)
            else:
                for _ in range(ADDERS):
                    _add_threes(self)
            self.register()
        self.luts += len(self.columns) if self.height > 1 else 0

    @property
    def height(self) -> int:
        """Of the highest column."""
        return max(map(len, self.columns.values()))

    @property
    def rows(self) -> list[str]:
        """At most two numbers, as concatenations, whose sum is the count."""
        top = max(weight for weight, column in self.columns.items() if column)
        weights = [1 << place for place in reversed(range(top.bit_length()))]
        picked = [[self.columns[w][row : row + 1] for w in weights] for row in range(self.height)]
        return ["{" + ", ".join(bit[0] if bit else "1'b0" for bit in row) + "}" for row in picked]


def _count_sevens(heap: Heap) -> None:
    """Counters of seven where enough bits are; two share a carry chain, and the carry between them."""
    arrived = {weight: list(column) for weight, column in heap.columns.items()}
    made: dict[int, list[str]] = defaultdict(list)
    for weight in sorted(arrived):
        while len(arrived[weight]) >= SEVEN:
            lower, arrived[weight] = arrived[weight][:7], arrived[weight][7:]
            lower += ["1'b0"] * (7 - len(lower))
            upper = arrived.get(4 * weight, [])
            if len(upper) >= SEVEN:
                arrived[4 * weight] = upper[6:]
                outputs = heap.cell("count13_", (*lower, *upper[:6]), 5, 4)
            else:
                outputs = heap.cell("count7_", tuple(lower), 3, 2)
            for index, name in enumerate(outputs):
                made[weight << index].append(name)
    heap.columns = defaultdict(list, {w: arrived.get(w, []) + made[w] for w in {*arrived, *made}})


def _add_threes(heap: Heap) -> None:
    """Full adders until no column is higher than two; their carries come on top."""
    made: dict[int, list[str]] = defaultdict(list)
    for weight in sorted(heap.columns):
        while len(heap.columns[weight]) >= 3:
            for index, name in enumerate(heap.cell("count3_", heap.take(weight, 3), 2, 1)):
                made[weight << index].append(name)
    for weight, names in made.items():
        heap.columns[weight] += names


class HeapCircuit(ABC):
    """A module whose 7-series body is a bit heap: what it has of circuits and registers follows from that.

    `template` is the file of hls_templates/rtl that writes it.
    """

    template: ClassVar[str]

    @property
    @abstractmethod
    def name(self) -> str:
        """Of the module; no `c_name` ends in an underscore."""

    @property
    @abstractmethod
    def products(self) -> int:
        """Of single bits, in every clock."""

    @property
    @abstractmethod
    def output_bits(self) -> int:
        """Of the largest sum."""

    @cached_property
    @abstractmethod
    def heap(self) -> Heap:
        """The circuit of the 7-series body."""

    @property
    def stages(self) -> int:
        """Clocks from the vectors to the sum."""
        return self.heap.layer + 1

    @property
    def luts(self) -> int:
        """LUT sites of the 7-series body."""
        return self.heap.luts

    @property
    def registers(self) -> int:
        """Flip-flops of the 7-series body."""
        return sum(map(len, self.heap.kept)) + self.output_bits
