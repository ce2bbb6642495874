"""The netlist that nextpnr writes after routing (`--write`): cells of the chip, as they lie in its sites.

Pins are those of the sites; an attribute tells which pin of the cell of synthesis each stands for. Both
nextpnr-xilinx and nextpnr-himbaechel write such files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bnn2fpga.bitstream.block_ram import PARITY_ROWS, ROW_BITS, ROWS, BlockRam
from bnn2fpga.bitstream.features import Configuration
from bnn2fpga.bitstream.netlist import (
    HIGH,
    LOW,
    BlockMemory,
    FlipFlop,
    Netlist,
    Table,
    TableMemory,
    inverted,
)
from bnn2fpga.bitstream.slices import MULTIPLEXER, XOR, reduced
from bnn2fpga.errors import BitstreamError

_PORT = "X_ORIG_PORT_"
_FLIPFLOPS = {"FDRE": (0, True), "FDSE": (1, True), "FDCE": (0, False), "FDPE": (1, False)}
"""What the reset of a flip-flop sets it to, and whether it waits for the clock."""
_ALL_ONES = 0x3FFFF


@dataclass(frozen=True)
class RoutedCell:
    """A cell of the file; `nets` has those on its pins, without the open ones."""

    name: str
    kind: str
    parameters: dict[str, str]
    attributes: dict[str, str]
    nets: dict[str, str]

    @property
    def origin(self) -> str:
        """The kind of cell that synthesis made."""
        return self.attributes.get("X_ORIG_TYPE", self.kind)

    @property
    def plain(self) -> str:
        """The name, as Verilog takes it."""
        return "c_" + re.sub(r"\W", "_", self.name)

    def number(self, parameter: str) -> int:
        """A parameter of bits; unknown ones count as 0."""
        text = self.parameters.get(parameter, "0").strip()
        return int("".join("1" if bit == "1" else "0" for bit in text) or "0", 2)

    def pin(self, logical: str) -> str | None:
        """The net on the pin that stands for a pin of the cell of synthesis."""
        for key, names in self.attributes.items():
            if key.startswith(_PORT) and logical in names.split():
                return self.nets.get(key.removeprefix(_PORT))
        return None


def read_routed(path: Path) -> Netlist:
    """The netlist in nextpnr's file; a BitstreamError names a cell that is not understood."""
    cells = list(_cells(path))
    tables: list[Table] = []
    flipflops: list[FlipFlop] = []
    table_memories: list[TableMemory] = []
    block_memories: list[BlockMemory] = []
    aliases: list[Table] = []
    inputs: dict[str, str] = {}
    outputs: dict[str, str] = {}
    for cell in cells:
        if cell.kind == "SLICE_LUTX" and cell.origin.startswith("LUT"):
            tables.append(_table(cell))
        elif cell.kind == "SLICE_LUTX" and cell.origin in ("RAMD32", "RAMD64E"):
            table_memories.append(_table_memory(cell))
        elif cell.kind == "SLICE_FFX" and cell.origin in _FLIPFLOPS:
            flipflops.append(_flipflop(cell))
        elif cell.kind == "CARRY4":
            tables += _carry(cell)
        elif cell.kind in ("RAMB18E1_RAMB18E1", "RAMB36E1_RAMB36E1"):
            for memory, outer in _block_memories(cell):
                block_memories.append(memory)
                aliases += outer
        elif cell.kind == "PS7_PS7":
            for pin, net in cell.nets.items():
                (outputs if pin in _driven(cell) else inputs)[pin] = net
        elif cell.kind not in ("BUFGCTRL", "BUFHCE", "PSEUDO_VCC", "PSEUDO_GND"):
            raise BitstreamError(
                f"{path.name}: {cell.name} is a {cell.kind} ({cell.origin}), which is unknown"
            )
    # an output that nobody reads would count as one that is used
    others: tuple[Table | FlipFlop | TableMemory | BlockMemory, ...] = (
        *tables,
        *flipflops,
        *table_memories,
        *block_memories,
    )
    read = {net for other in others for net in other.reads()} | set(inputs.values())
    tables += [alias for alias in aliases if alias.output in read]
    return Netlist(
        tuple(tables), tuple(flipflops), tuple(table_memories), tuple(block_memories), inputs, outputs
    )


def _cells(path: Path) -> Iterator[RoutedCell]:
    """All cells; nets behind clock buffers are those before them, and a pin that nothing drives is high."""
    try:
        modules = json.loads(path.read_text())["modules"]
        cells = next(iter(modules.values()))["cells"]
    except (OSError, ValueError, LookupError, TypeError, StopIteration, AttributeError) as error:
        raise BitstreamError(f"{path}: is no netlist that nextpnr writes ({error!r})") from error
    driven = {
        bit
        for facts in cells.values()
        for pin, bits in facts["connections"].items()
        for bit in bits
        if facts["port_directions"][pin] == "output"
    }
    known: dict[int, str] = {}
    buffered: dict[int, int] = {}
    for facts in cells.values():
        pins = facts["connections"]
        if facts["type"] in ("PSEUDO_VCC", "PSEUDO_GND"):
            known |= dict.fromkeys(pins["Y"], HIGH if facts["type"] == "PSEUDO_VCC" else LOW)
        elif facts["type"] in ("BUFGCTRL", "BUFHCE"):
            buffered |= zip(pins["O"], pins["I0" if facts["type"] == "BUFGCTRL" else "I"], strict=True)

    def net(number: int) -> str:
        while number in buffered:
            number = buffered[number]
        return known.get(number, f"n{number}" if number in driven else HIGH)

    for name, facts in cells.items():
        nets = {pin: net(bits[0]) for pin, bits in facts["connections"].items() if bits}
        texts = {key: str(value) for key, value in facts["attributes"].items()}
        texts |= {f"direction {pin}": way for pin, way in facts["port_directions"].items()}
        yield RoutedCell(name, facts["type"], facts["parameters"], texts, nets)


def _driven(cell: RoutedCell) -> set[str]:
    return {pin for pin in cell.nets if cell.attributes.get(f"direction {pin}") == "output"}


def _output(cell: RoutedCell, logical: str) -> str:
    """The net that a cell drives, or a name that nobody reads."""
    return cell.pin(logical) or f"open_{cell.plain}"


def _table(cell: RoutedCell) -> Table:
    count = int(cell.origin[3])
    nets = tuple(cell.pin(f"I{index}") or HIGH for index in range(count))
    return reduced(_output(cell, "O"), cell.number("INIT"), nets)


def _table_memory(cell: RoutedCell) -> TableMemory:
    """One of 32 or 64 bits; in a group of more words, its place says which of them it holds."""
    bits = 5 if cell.origin == "RAMD32" else 6
    letter = cell.attributes["NEXTPNR_BEL"].rpartition("/")[2][0]
    enables = [cell.pin("WE") or LOW]
    for index, low in ((6, letter in "BD"), (7, letter in "CD")):
        net = cell.pin(f"WADR{index}")
        if net is not None:
            enables.append(inverted(net) if low else net)
    return TableMemory(
        _output(cell, "O"),
        cell.number("INIT"),
        tuple(cell.pin(f"RADR{index}") or HIGH for index in range(bits)),
        tuple(cell.pin(f"WADR{index}") or HIGH for index in range(bits)),
        cell.pin("I") or LOW,
        tuple(enables),
        cell.pin("CLK") or LOW,
    )


def _flipflop(cell: RoutedCell) -> FlipFlop:
    value, synchronous = _FLIPFLOPS[cell.origin]
    return FlipFlop(
        cell.nets["Q"],
        cell.nets.get("D", LOW),
        cell.nets["CK"],
        bool(cell.number("IS_CLK_INVERTED")),
        cell.nets.get("CE", HIGH),
        cell.nets.get("SR", LOW),
        cell.number("INIT") & 1,
        value,
        synchronous,
    )


def _carry(cell: RoutedCell) -> Iterator[Table]:
    before = cell.nets.get("CIN") or cell.nets.get("CYINIT", LOW)
    for bit in range(4):
        choice, other = (cell.nets.get(f"{kind}{bit}", LOW) for kind in ("S", "DI"))
        if f"O{bit}" in cell.nets:
            yield Table(cell.nets[f"O{bit}"], XOR, (choice, before))
        carry = cell.nets.get(f"CO{bit}", f"{cell.plain}_CO{bit}")
        yield Table(carry, MULTIPLEXER, (other, before, choice))
        before = carry


def _block_memories(cell: RoutedCell) -> Iterator[tuple[BlockMemory, list[Table]]]:
    """The memory, or both halves of one of 36 Kbit, with the nets on the outputs."""
    large = cell.kind == "RAMB36E1_RAMB36E1"
    for half in range(2 if large else 1):

        def site_pin(pin: str, half: int = half) -> str:
            return _large_pin(pin, half) if large else pin

        name = f"{cell.plain}_{half}"
        ram = BlockRam(
            name, half, _configuration(cell, half, large), lambda pin: cell.nets.get(site_pin(pin), HIGH)
        )
        memory = ram.memory()
        ports = [read for read, _ in memory.sides if read]
        aliases = [
            Table(cell.nets[outer], 0x2, (output,))
            for port in ports
            for output in port.outputs
            if (outer := site_pin(output.rpartition("_")[2])) in cell.nets
        ]
        yield memory, aliases


def _large_pin(pin: str, half: int) -> str:
    """The pin of a RAM of 36 Kbit that is this pin of one of its halves; bits of data take turns."""
    base, number = re.fullmatch(r"(.*?)(\d*)", pin).groups()  # type: ignore[union-attr]
    side = "LU"[half]
    if base.startswith("ADDR"):
        return f"{base}{side}{int(number) + 1}"
    if base.startswith("D"):
        return f"{base}{2 * int(number) + half}"
    return f"{base}{side}{number}"


def _configuration(cell: RoutedCell, half: int, large: bool) -> Configuration:
    """What the bits will say of a block RAM."""
    said = Configuration()
    own = f"RAMB18_Y{half}"
    said.set.add(f"{own}.IN_USE")
    for port in ("READ_WIDTH_A", "READ_WIDTH_B", "WRITE_WIDTH_A", "WRITE_WIDTH_B"):
        width = cell.number(port) // 2 if large and cell.number(port) > 1 else cell.number(port)
        if large and cell.number(port) == 1:
            said.set.add(f"RAMB36.BRAM36_{port}_1")
        if width == 36:
            said.set.add(f"{own}.SDP_{port[:-2]}_36")
        elif width:
            said.set.add(f"{own}.{port}_{width}")
    for side in "AB":
        mode = cell.parameters.get(f"WRITE_MODE_{side}", "WRITE_FIRST").strip()
        said.set.add(f"{own}.WRITE_MODE_{side}_{mode}")
        if cell.number(f"DO{side}_REG"):
            said.set.add(f"{own}.DO{side}_REG")
        for vector in ("INIT", "SRVAL"):
            said.values[f"{own}.Z{vector}_{side}"] = _ALL_ONES & ~cell.number(f"{vector}_{side}")
    for pin in ("CLKARDCLK", "CLKBWRCLK", "ENARDEN", "ENBWREN", "RSTRAMARSTRAM", "RSTRAMB"):
        if not cell.number(f"IS_{pin}_INVERTED"):
            said.set.add(f"{own}.ZINV_{pin}")
    for pin in ("RSTREGARSTREG", "RSTREGB"):
        if not cell.number(f"IS_{pin}_INVERTED"):
            said.set.add(f"{own}.ZINV_{pin}")
    halves = 2 if large else 1
    said.values |= _rows(cell, "INIT", ROWS, half, halves)
    # the lower half may show the parity bits of both
    for which in (0, 1) if large and half == 0 else (half,):
        said.values |= _rows(cell, "INITP", PARITY_ROWS, which, halves)
    return said


def _rows(cell: RoutedCell, kind: str, rows: int, half: int, halves: int) -> dict[str, int]:
    """The contents of a half; bits of both halves take turns in the cell's."""
    whole = sum(cell.number(f"{kind}_{row:02X}") << (ROW_BITS * row) for row in range(rows * halves))
    if halves == 2:
        whole = int(f"{whole:0{2 * rows * ROW_BITS}b}"[::-1][half::2][::-1], 2)
    return {
        f"RAMB18_Y{half}.{kind}_{row:02X}": whole >> (ROW_BITS * row) & ((1 << ROW_BITS) - 1)
        for row in range(rows)
    }
