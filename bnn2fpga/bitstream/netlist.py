"""A netlist of the cells of a 7-series chip around a processing system.

A net is a Verilog name, or one of the constants LOW and HIGH. Where a net enables or resets, a "!" before it
inverts it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter

LOW, HIGH = "1'b0", "1'b1"
WITH_SHARED = 5
"""Bits of a block RAM's port of the lower half, the parity bit of both halves as the last."""


@dataclass(frozen=True)
class Table:
    """A look-up table: `output` is bit number {inputs, the last first} of `init`.

    Carry chains and multiplexers are tables, too.
    """

    output: str
    init: int
    inputs: tuple[str, ...]

    def reads(self) -> set[str]:
        """The nets that it depends on."""
        return _nets(self.inputs)


@dataclass(frozen=True)
class FlipFlop:
    """A flip-flop; it starts with `init`, and `reset` sets it to `value`, at the clock or at once."""

    output: str
    data: str
    clock: str
    falling: bool
    enable: str
    reset: str
    init: int
    value: int
    synchronous: bool

    def reads(self) -> set[str]:
        """The nets that it depends on."""
        return _nets((self.data, self.clock, self.enable, self.reset))


@dataclass(frozen=True)
class TableMemory:
    """A table that is written: 2^n bits, read at once, written at the clock if all `enables` are 1."""

    output: str
    init: int
    read_address: tuple[str, ...]
    write_address: tuple[str, ...]
    data: str
    enables: tuple[str, ...]
    clock: str

    def reads(self) -> set[str]:
        """The nets that it depends on."""
        return _nets((*self.read_address, *self.write_address, self.data, *self.enables, self.clock))


@dataclass(frozen=True)
class ReadPort:
    """Of a block RAM: `outputs` from the least bit on, parity bits after the data.

    `mode` says what it shows while its own side writes: the new word, the old one, or what it showed before.
    With `register`, the outputs come a clock later, if `register_enable`.
    """

    width: int
    outputs: tuple[str, ...]
    address: tuple[str, ...]
    clock: str
    enable: str
    reset: str
    mode: str
    register: bool
    register_enable: str
    register_reset: str

    def without_shared(self) -> ReadPort:
        """The port of four bits that is left without the parity bit of both halves."""
        if self.width != WITH_SHARED:
            return self
        return replace(self, width=WITH_SHARED - 1, outputs=self.outputs[:-1])

    def reads(self) -> set[str]:
        """The nets that it depends on."""
        enables = (self.enable, self.reset, self.register_enable, self.register_reset)
        return _nets((*self.address, self.clock, *enables))


@dataclass(frozen=True)
class WritePort:
    """Of a block RAM: each bit of `data`, parity bits after the data, has its own `enables`."""

    width: int
    data: tuple[str, ...]
    enables: tuple[str, ...]
    address: tuple[str, ...]
    clock: str
    enable: str

    def without_shared(self) -> WritePort:
        """The port of four bits that is left without the parity bit of both halves."""
        if self.width != WITH_SHARED:
            return self
        return replace(self, width=WITH_SHARED - 1, data=self.data[:-1], enables=self.enables[:-1])

    def reads(self) -> set[str]:
        """The nets that it depends on."""
        return _nets((*self.data, *self.enables, *self.address, self.clock, self.enable))


@dataclass(frozen=True)
class BlockMemory:
    """A block RAM of 16,384 bits and 2,048 parity bits; sides A and B, each with both ports or one.

    A port of 4 bits may have a fifth, of `shared`: the parity bits of both halves of a RAM of 36 Kbit.
    """

    name: str
    init: int
    parity: int
    shared: int
    sides: tuple[tuple[ReadPort | None, WritePort | None], ...]

    def reads(self) -> set[str]:
        """The nets that it depends on."""
        return {net for side in self.sides for port in side if port for net in port.reads()}


@dataclass(frozen=True)
class Netlist:
    """All cells that the processing system's inputs depend on, and its pins by name."""

    tables: tuple[Table, ...]
    flipflops: tuple[FlipFlop, ...]
    table_memories: tuple[TableMemory, ...]
    block_memories: tuple[BlockMemory, ...]
    inputs: dict[str, str]
    outputs: dict[str, str]

    def cells(self) -> tuple[Table | FlipFlop | TableMemory | BlockMemory, ...]:
        """All of them."""
        return (*self.tables, *self.flipflops, *self.table_memories, *self.block_memories)

    def ring(self) -> tuple[str, ...]:
        """Nets that depend on each other in a ring without a flip-flop, or none."""
        behind = {cell.output: _nets(cell.inputs) for cell in self.tables}
        behind |= {cell.output: _nets(cell.read_address) for cell in self.table_memories}
        try:
            TopologicalSorter(behind).prepare()
        except CycleError as error:
            return tuple(error.args[1])
        return ()

    def counts(self) -> dict[str, int]:
        """How many cells of each kind there are."""
        return {
            "tables": len(self.tables),
            "flip-flops": len(self.flipflops),
            "LUT RAM": len(self.table_memories),
            "block RAM of 18 Kbit": len(self.block_memories),
        }


def inverted(net: str) -> str:
    """The opposite of a net."""
    return {LOW: HIGH, HIGH: LOW}.get(net) or (net[1:] if net.startswith("!") else f"!{net}")


def _nets(given: Iterable[str]) -> set[str]:
    return {net.lstrip("!") for net in given} - {LOW, HIGH}
