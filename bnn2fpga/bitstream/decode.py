"""From the features of a bitstream to a netlist: every cell that the processing system's inputs depend on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from graphlib import TopologicalSorter
from pathlib import Path

from bnn2fpga.bitstream.block_ram import BlockRam
from bnn2fpga.bitstream.database import Database, Tile
from bnn2fpga.bitstream.features import Configuration, read_features
from bnn2fpga.bitstream.netlist import (
    HIGH,
    LOW,
    BlockMemory,
    FlipFlop,
    Netlist,
    Table,
    TableMemory,
)
from bnn2fpga.bitstream.packets import read_frames
from bnn2fpga.bitstream.slices import Slice, reduced
from bnn2fpga.bitstream.wiring import Driver, Wiring
from bnn2fpga.errors import BitstreamError

PROCESSOR = "PS7_X0Y0"
READ = re.compile(r"SLICE[LM]_X[01]\.|RAMB18_Y[01]\.|RAMB36\.|BUFGCTRL\.|BUFHCE\.")
"""Features of cells that are read back."""
HARMLESS = re.compile(
    r"ALWAYS_ON_PROP[123]"  # set in every bitstream
    r"|CASCOUT_(ARD|BWR)_ACTIVE"  # an address leaves a block RAM upwards; a connection takes it or none does
    r"|.*_(ACTIVE|USED)|GCLK\d+_ENABLE_(ABOVE|BELOW)|ENABLE_BUFFER\..*"  # power of clock lines
    r"|(EN_SYN|FIRST_WORD_FALL_THROUGH)|Z?ALMOST_(EMPTY|FULL)_OFFSET"  # of FIFOs, refused where one is
)
"""Features that change nothing of what a netlist computes."""


def decode(bitstream: Path, part: str, database: Path) -> Netlist:
    """The netlist in a .bit file for `part`; `database` is prjxray's folder of the chip's family.

    Raises a BitstreamError for a file that is damaged, of another chip, or has bits or cells that are not
    understood, and a ToolError for a database that is not whole.
    """
    data = Database(database, part)
    header, frames = read_frames(bitstream, data.part)
    if header.part not in part:
        raise BitstreamError(f"{bitstream.name}: is for {header.part}, not {part}")
    configurations = read_features(frames, data, bitstream.name)
    _refuse_unread(configurations)
    netlist = Extraction(Wiring(data, configurations)).netlist()
    if ring := netlist.ring():
        raise BitstreamError(
            f"{bitstream.name}: {' depends on '.join(ring[:3])}, in a ring without a flip-flop"
        )
    return with_constants(netlist)


def with_constants(netlist: Netlist) -> Netlist:
    """The same with fewer inputs: place and route takes constants from tables of zeros, too."""
    tables = {table.output: table for table in netlist.tables}
    constants: dict[str, str] = {}
    for net in TopologicalSorter({name: table.inputs for name, table in tables.items()}).static_order():
        if net in tables:
            own = tables[net]
            nets = tuple(constants.get(other, other) for other in own.inputs)
            tables[net] = own if nets == own.inputs else reduced(net, own.init, nets)
            if not tables[net].inputs:
                constants[net] = HIGH if tables[net].init else LOW
    inputs = {pin: constants.get(net, net) for pin, net in netlist.inputs.items()}
    memories = tuple(_with_enables(memory, constants) for memory in netlist.block_memories)
    return replace(netlist, tables=tuple(tables.values()), inputs=inputs, block_memories=memories)


def _with_enables(memory: BlockMemory, constants: Mapping[str, str]) -> BlockMemory:
    """Whether a side ever writes shows in its enables."""
    sides = []
    for read, write in memory.sides:
        enables = () if write is None else tuple(constants.get(net, net) for net in write.enables)
        sides.append((read, write and replace(write, enables=enables)))
    return replace(memory, sides=tuple(sides))


class Extraction:
    """Goes backwards from the processing system's inputs; each cell is made once, when a net needs it."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._slices: dict[tuple[str, str], Slice] = {}
        self._known: set[str] = set()
        self._origins: dict[str, tuple[Slice, str]] = {}
        self._ahead: list[str] = []
        self._cells: list[Table | FlipFlop | TableMemory] = []
        self._memories: dict[str, BlockMemory] = {}
        self._outputs: dict[str, str] = {}

    def netlist(self) -> Netlist:
        """The netlist; a BitstreamError tells what cannot be read back."""
        tile, pins = self._processor()
        inputs = {}
        for pin, wire in pins.items():
            known = self._wiring.database.type(tile.type).pins[wire]
            driver = None if known.output else self._wiring.driver(tile, wire)
            if driver is not None:
                inputs[pin] = self._net(driver)
        self._want(inputs.values())
        while self._ahead:
            own, inner = self._origins[self._ahead.pop()]
            cell, needs = own.cell(inner)
            for need in needs:
                self._inner(own, need)
            self._cells.append(cell)
            self._want(cell.reads())
        cells = sorted(self._cells, key=lambda cell: cell.output)
        return Netlist(
            tuple(cell for cell in cells if isinstance(cell, Table)),
            tuple(cell for cell in cells if isinstance(cell, FlipFlop)),
            tuple(cell for cell in cells if isinstance(cell, TableMemory)),
            tuple(self._memories[name] for name in sorted(self._memories)),
            inputs,
            self._outputs,
        )

    def _processor(self) -> tuple[Tile, dict[str, str]]:
        for tile in self._wiring.database.tiles.values():
            if tile.type.startswith("PSS"):
                pins = self._wiring.database.type(tile.type).sites.get(PROCESSOR)
                if pins:
                    return tile, pins
        raise BitstreamError(f"{self._wiring.database.part.name}: has no processing system")

    def _input(self, tile: Tile, wire: str) -> str:
        """The net on an input of a site."""
        driver = self._wiring.driver(tile, wire)
        if driver is None:
            raise BitstreamError(f"{tile.name}.{wire}: is used, and nothing drives it")
        return self._net(driver)

    def _net(self, driver: Driver) -> str:
        """The net behind an output pin of a site."""
        tile, pin = driver.tile, driver.pin
        kind = pin.site.split("_")[0]
        if kind == "TIEOFF":
            return HIGH if pin.name == "HARD1" else LOW
        if kind.startswith("SLICE"):
            own = self._slice(tile, pin.site)
            return self._inner(own, own.pin(pin.name))
        if kind == "RAMB18":
            return f"{self._memory(tile, pin.site)}_{pin.name}"
        if kind in ("BUFGCTRL", "BUFHCE"):
            return self._buffered(tile, pin.site)
        if pin.site == PROCESSOR:
            self._outputs[pin.name] = f"{PROCESSOR}_{pin.name}"
            return self._outputs[pin.name]
        raise BitstreamError(f"{tile.name}: {pin.site}.{pin.name} is used; its kind of site is not read back")

    def _slice(self, tile: Tile, site: str) -> Slice:
        key = (tile.name, site)
        if key not in self._slices:
            wires = self._wiring.database.type(tile.type).sites[site]
            self._slices[key] = Slice(
                f"{tile.name}_{site}",
                site,
                self._wiring.of(tile),
                lambda pin: self._input(tile, wires[pin]),
            )
        return self._slices[key]

    def _inner(self, own: Slice, inner: str) -> str:
        """The name of a net inside a slice; one that comes from a pin of it is another's."""
        if inner.startswith("@"):
            return own.wire(inner[1:])
        net = own.net(inner)
        self._origins[net] = (own, inner)
        return net

    def _want(self, nets: Iterable[str]) -> None:
        """The cells that drive these nets are made later, each once."""
        for net in nets:
            if net in self._origins and net not in self._known:
                self._known.add(net)
                self._ahead.append(net)

    def _memory(self, tile: Tile, site: str) -> str:
        name = f"{tile.name}_{site}"
        if name not in self._known:
            self._known.add(name)
            wires = self._wiring.database.type(tile.type).sites[site]
            ram = BlockRam(
                name, int(site[-1]), self._wiring.of(tile), lambda pin: self._input(tile, wires[pin])
            )
            self._memories[name] = ram.memory()
            self._want(self._memories[name].reads())
        return name

    def _buffered(self, tile: Tile, site: str) -> str:
        """The net behind a clock buffer, which must be one that always passes its first input."""
        wires, said = self._wiring.database.type(tile.type).sites[site], self._wiring.of(tile).set
        kind = site.split("_")[0]
        enables = ("CE", "S") if kind == "BUFGCTRL" else ("CE",)
        number = "0" if kind == "BUFGCTRL" else ""
        if f"{kind}.{site}.IN_USE" not in said:
            raise BitstreamError(f"{tile.name}: clock buffer {site} is not in use, its output is")
        for enable in enables:
            constant = self._input(tile, wires[enable + number])
            straight = f"{kind}.{site}.ZINV_{enable}{number}" in said
            if constant != (HIGH if straight else LOW):
                raise BitstreamError(f"{tile.name}: clock buffer {site} does not always pass its clock")
        return self._input(tile, wires["I" + number])


def _refuse_unread(configurations: dict[str, Configuration]) -> None:
    """Features of cells that nothing here reads, such as pads, would be left out of the netlist unseen."""
    for name, configuration in configurations.items():
        for feature in (*configuration.set, *configuration.values):
            if not READ.match(feature) and not HARMLESS.fullmatch(feature):
                raise BitstreamError(f"{name}: {feature} is set; it is not read back")
