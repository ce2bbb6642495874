"""A netlist of 7-series cells in BLIF, with the models that VTR's architecture has (`benchmarks.chip`).

What a LUT computes is kept. The LUTs of a memory have no model there: each of its bits becomes a register,
enabled as the memory is, and a LUT of the address and that register, so that every path and every net has its
counterpart. They take more sites than the memory's own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Bit = int | str
"""A net of yosys' JSON, or "0", "1", "x"."""
Cell = Mapping[str, Any]

RAMS = ("RAM32M", "RAM64M")
RESETS = {"FDRE": "R", "FDSE": "S"}
PARITY = [sum(1 << i for i in range(2**inputs) if i.bit_count() % 2) for inputs in range(7)]
"""Of so many inputs: a function that needs them all."""
BLOCK_RAM = {"RAMB36E1": ("ramb36", 16, 72), "RAMB18E1": ("ramb18", 14, 36)}
"""Model, bits of each of two addresses, bits of data."""


@dataclass(frozen=True)
class _Lut:
    inputs: tuple[str, ...]
    ones: int
    """Bit i is what inputs of the number i give, the first input being its lowest bit."""

    def without(self, constant: Mapping[str, str]) -> _Lut:
        """Less the inputs that are constant or make no difference."""
        for place, name in enumerate(self.inputs):
            low, high = self._half(place, 0), self._half(place, 1)
            known = constant.get(name, name)
            if known in ("gnd", "vcc") or low == high:
                rest = self.inputs[:place] + self.inputs[place + 1 :]
                return _Lut(rest, high if known == "vcc" else low).without(constant)
        return self

    def _half(self, place: int, value: int) -> int:
        chosen = [i for i in range(2 ** len(self.inputs)) if i >> place & 1 == value]
        return sum((self.ones >> i & 1) << at for at, i in enumerate(chosen))

    def lines(self, output: str) -> Iterator[str]:
        yield " ".join([".names", *self.inputs, output])
        width = len(self.inputs)
        for i in range(2**width):
            if self.ones >> i & 1:
                yield f"{i:0{width}b}"[::-1] + " 1" if width else "1"


@dataclass
class _Writer:
    luts: dict[str, _Lut] = field(default_factory=dict)
    cells: list[tuple[str, list[tuple[str, str]]]] = field(default_factory=list)
    alias: dict[Bit, Bit] = field(default_factory=dict)
    """Behind a clock's buffer, the clock."""
    inputs: dict[Bit, str] = field(default_factory=dict)
    made: int = 0

    def name(self, bit: Bit) -> str:
        bit = self.alias.get(bit, bit)
        if isinstance(bit, str):
            return "vcc" if bit == "1" else "gnd"
        return self.inputs.get(bit, f"n{bit}")

    def new(self) -> str:
        self.made += 1
        return f"x{self.made}"

    def lut(self, ones: int, inputs: Iterable[str], output: str) -> None:
        self.luts[output] = _Lut(tuple(inputs), ones)

    def cell(self, model: str, pins: Iterable[tuple[str, str | None]]) -> None:
        self.cells.append((model, [(pin, name) for pin, name in pins if name is not None]))

    def register(self, clock: str, data: str, output: str, enable: str = "vcc", reset: str = "gnd") -> None:
        self.cell("fdre", [("C", clock), ("D", data), ("CE", enable), ("R", reset), ("Q", output)])


def blif(module: Mapping[str, Any]) -> str:
    """The BLIF of a flat module of yosys' JSON; a ValueError for a cell that is not known here."""
    writer, cells = _Writer(), module["cells"]
    used: Counter[Bit] = Counter()
    for cell in cells.values():
        ports = cell["connections"]
        if cell["type"] == "BUFG":
            writer.alias[ports["O"][0]] = ports["I"][0]
        for port, bits in ports.items():
            if cell["port_directions"][port] == "input":
                used.update(bits)
    outputs: dict[str, Bit] = {}
    for name, port in module["ports"].items():
        bits = port["bits"]
        names = [name] if len(bits) == 1 else _bus(name, len(bits))
        if port["direction"] == "input":
            writer.inputs |= dict(zip(bits, names, strict=True))
        else:
            outputs |= dict(zip(names, bits, strict=True))
    for name, bit in outputs.items():
        writer.lut(0b10, [writer.name(bit)], name)
        used[bit] += 1
    for name, cell in cells.items():
        kind = cell["type"]
        if kind.startswith("LUT") or kind == "INV":
            _luts(writer, cell, used)
        elif kind in RESETS:
            ports = {port: writer.name(bits[0]) for port, bits in cell["connections"].items()}
            writer.register(ports["C"], ports["D"], ports["Q"], ports["CE"], ports[RESETS[kind]])
        elif kind in RAMS:
            _lut_ram(writer, cell, used)
        elif kind in BLOCK_RAM:
            _block_ram(writer, cell, used)
        elif kind not in ("BUFG", "CARRY4"):
            raise ValueError(f"{name}: no model for {kind}")
    _carry_chains(writer, [cell["connections"] for cell in cells.values() if cell["type"] == "CARRY4"], used)
    return "\n".join(_text(writer, list(outputs)))


def _luts(writer: _Writer, cell: Cell, used: Counter[Bit]) -> None:
    ports = {port: bits[0] for port, bits in cell["connections"].items()}
    if cell["type"] == "INV":
        writer.lut(0b01, [writer.name(ports["I"])], writer.name(ports["O"]))
        return
    ones = int(cell["parameters"]["INIT"], 2)
    inputs = [writer.name(ports[f"I{place}"]) for place in range(int(cell["type"][3]))]
    for output in ("O", "O6", "O5"):
        if used[ports.get(output)]:
            lower = output == "O5"
            function = (ones & (1 << 32) - 1, inputs[:5]) if lower else (ones, inputs)
            writer.lut(*function, writer.name(ports[output]))


def _lut_ram(writer: _Writer, cell: Cell, used: Counter[Bit]) -> None:
    ports: Mapping[str, list[Bit]] = cell["connections"]
    clock, enable = writer.name(ports["WCLK"][0]), writer.name(ports["WE"][0])
    for bit in ports["ADDRD"]:  # the address that is written
        if isinstance(bit, int):
            writer.register(clock, writer.name(bit), writer.new())
    for port in "ABCD":
        outputs = ports.get(f"DO{port}", [])
        for data, output in zip(ports.get(f"DI{port}", []), outputs, strict=False):
            if isinstance(output, str) or not used[output]:
                continue
            address, kept = [writer.name(bit) for bit in ports[f"ADDR{port}"]], writer.new()
            writer.register(clock, writer.name(data), kept, enable)
            if len(address) == 6:  # seven inputs: one of them joins the register in a LUT of their own
                both = writer.new()
                writer.lut(PARITY[2], [address.pop(), kept], both)
                kept = both
            writer.lut(PARITY[len(address) + 1], [*address, kept], writer.name(output))


def _block_ram(writer: _Writer, cell: Cell, used: Counter[Bit]) -> None:
    ports: Mapping[str, list[Bit]] = cell["connections"]

    def pins(pin: str, *names: str) -> Iterator[tuple[str, str | None]]:
        for place, bit in enumerate(bit for name in names for bit in ports[name]):
            yield f"{pin}[{place}]", writer.name(bit) if isinstance(bit, int) and used[bit] else None

    clock = next(bit for name in ("CLKARDCLK", "CLKBWRCLK") for bit in ports[name] if isinstance(bit, int))
    enables = [bit for name in ("WEA", "WEBWE") for bit in ports[name]]
    written = any(bit != "0" for bit in enables)
    writer.cell(
        BLOCK_RAM[cell["type"]][0],
        [
            *pins("a1", "ADDRARDADDR"),
            *pins("a2", "ADDRBWRADDR"),
            *(pins("di", "DIADI", "DIPADIP", "DIBDI", "DIPBDIP") if written else ()),
            *pins("en", "ENARDEN", "ENBWREN"),
            ("we", next((writer.name(bit) for bit in enables if isinstance(bit, int)), None)),
            *pins("do", "DOADO", "DOPADOP", "DOBDO", "DOPBDOP"),
            ("clk", writer.name(clock)),
        ],
    )


def _carry_chains(writer: _Writer, carries: list[Mapping[str, list[Bit]]], used: Counter[Bit]) -> None:
    """An adder a bit: sumout = a ^ cin, cout = cin where a is set, else b; pins left open are 0.

    One more in front brings a carry in, one behind a carry out, as there are no pins for them.
    """
    after = {ports["CI"][0]: ports for ports in carries if isinstance(ports["CI"][0], int)}
    inner = {ports["CO"][3] for ports in carries if "CO" in ports} & set(after)

    def adder(a: Bit, b: Bit, carry: str | None, total: Bit, last: bool) -> str | None:
        out = None if last else writer.new()
        ends = {"a": a, "b": b, "sumout": total if used[total] else "x"}
        pins = [(pin, None if bit in ("0", "x") else writer.name(bit)) for pin, bit in ends.items()]
        writer.cell("adder", [*pins, ("cin", carry), ("cout", out)])
        return out

    for first in carries:
        if first["CI"][0] in inner:
            continue
        start = first["CYINIT"][0] if isinstance(first["CI"][0], str) else first["CI"][0]
        carry = adder("0", start, None, "x", last=False) if start != "0" else None
        bits: list[tuple[Bit, Bit, Bit, Bit]] = []
        ports: Mapping[str, list[Bit]] | None = first
        while ports is not None:
            totals, outs = ports.get("O", ["x"] * 4), ports.get("CO", ["x"] * 4)
            bits += zip(ports["S"], ports["DI"], totals, outs, strict=True)
            ports = after.get(outs[3])
        sums = [isinstance(total, int) and used[total] > 0 for _, _, total, _ in bits]
        taps = [isinstance(out, int) and used[out] > (out in inner) for _, _, _, out in bits]
        end = max(place for place in range(len(bits)) if sums[place] or taps[place])
        if any(taps[:end]):
            raise ValueError(f"a carry chain is needed at bit {taps.index(True)} and goes on to {end}")
        for place, (select, data, total, _) in enumerate(bits[: end + 1]):
            carry = adder(select, data, carry, total, last=place == end and not taps[end])
        if taps[end]:
            adder("0", "0", carry, bits[end][3], last=True)


def _text(writer: _Writer, outputs: list[str]) -> Iterator[str]:
    """With constants passed on through LUTs, and without LUTs that nothing needs."""
    constant: dict[str, str] = {}
    while True:
        luts = {name: lut.without(constant) for name, lut in writer.luts.items()}
        found = {name: "vcc" if lut.ones else "gnd" for name, lut in luts.items() if not lut.inputs}
        if len(found) == len(constant):
            break
        constant = found
    needed = {name for _, pins in writer.cells for _, name in pins} | set(outputs)
    waiting = [name for name in needed if name in luts]
    while waiting:
        new = {name for name in luts[waiting.pop()].inputs if name in luts} - needed
        needed |= new
        waiting += new
    yield from (".model top", ".inputs " + " ".join(writer.inputs.values()), ".outputs " + " ".join(outputs))
    yield from (".names gnd", ".names vcc", "1")
    for model, pins in writer.cells:
        yield " ".join([f".subckt {model}", *(f"{pin}={name}" for pin, name in pins)])
    for name in sorted(needed & set(luts)):
        yield from luts[name].lines(name)
    yield from (".end", "")
    yield from _black_box("fdre", ["C", "D", "CE", "R"], ["Q"])
    yield from _black_box("adder", ["a", "b", "cin"], ["cout", "sumout"])
    for model, address, data in BLOCK_RAM.values():
        pins = [*_bus("a1", address), *_bus("a2", address), *_bus("di", data), *_bus("en", 2), "we", "clk"]
        yield from _black_box(model, pins, _bus("do", data))


def _bus(name: str, width: int) -> list[str]:
    return [f"{name}[{place}]" for place in range(width)]


def _black_box(name: str, inputs: list[str], outputs: list[str]) -> Iterator[str]:
    yield from (f".model {name}", ".inputs " + " ".join(inputs), ".outputs " + " ".join(outputs))
    yield from (".blackbox", ".end", "")
