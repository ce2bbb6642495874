"""A netlist of 7-series cells in BLIF, with the models that VTR's architecture has (`benchmarks.chip`).

What is computed is kept, except for what a memory holds at first. A bit of a carry chain is one cell with
the LUT in front of it, as they share a site, and a memory of LUTs one cell, as it is a slice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Bit = int | str
"""A net of yosys' JSON, or "0", "1", "x"."""
Cell = Mapping[str, Any]

REGISTERS = {"FDRE": "0", "FDSE": "1"}
"""What a reset sets them to."""
LUT_RAM = {"RAM32M": ("ram32", 5, 2), "RAM64M": ("ram64", 6, 1)}
"""Model, bits of an address, bits of data of each of three LUTs; the fourth has the written address."""
BLOCK_RAM = {"RAMB36E1": ("ramb36", 16, 72), "RAMB18E1": ("ramb18", 14, 36)}
"""Model, bits of each of two addresses, bits of data."""


def lut_ram_inputs(address: int, data: int) -> dict[str, int]:
    """All inputs but the clock, with their bits."""
    return {"a": 3 * address, "wa": address, "di": 3 * data, "we": 1}


def block_ram_inputs(address: int, data: int) -> dict[str, int]:
    """All inputs but the clock, with their bits."""
    return {"a1": address, "a2": address, "di": data, "en": 2, "we": 1}


@dataclass(frozen=True)
class _Lut:
    inputs: tuple[str, ...]
    ones: int
    """Bit i is what inputs of the number i give, the first input being its lowest bit."""

    def over(self, inputs: Sequence[str]) -> int:
        """What `ones` is with other inputs beside its own, in their order."""
        places = [inputs.index(name) for name in self.inputs]

        def one(i: int) -> int:
            return self.ones >> sum((i >> place & 1) << at for at, place in enumerate(places)) & 1

        return sum(one(i) << i for i in range(2 ** len(inputs)))

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


@dataclass(frozen=True)
class _Sum:
    """A bit of a carry chain: sumout = select ^ cin, cout = cin where select is set, else data."""

    select: str | None
    data: str | None
    cin: str | None
    cout: str | None
    sumout: str | None

    def pins(self) -> list[str]:
        names = (self.select, self.data, self.cin, self.cout, self.sumout)
        return [name for name in names if name is not None]


@dataclass
class _Writer:
    luts: dict[str, _Lut] = field(default_factory=dict)
    cells: list[tuple[str, list[tuple[str, str]], dict[str, str]]] = field(default_factory=list)
    """Model, pins and parameters."""
    sums: list[_Sum] = field(default_factory=list)
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

    def cell(self, model: str, pins: Iterable[tuple[str, str | None]], **parameters: str) -> None:
        self.cells.append((model, [(pin, name) for pin, name in pins if name is not None], parameters))


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
        names = _bus(name, len(bits))
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
        elif kind in REGISTERS:
            pins = [("R" if port == "S" else port, bits[0]) for port, bits in cell["connections"].items()]
            writer.cell("fdre", [(pin, writer.name(bit)) for pin, bit in pins], SET=REGISTERS[kind])
        elif kind in LUT_RAM:
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
    if any(used[bit] for bit in ports.get("DOD", [])):
        raise ValueError(f"no model for a {cell['type']} that is read at the address that is written")

    def pins(pin: str, name: str) -> Iterator[tuple[str, str | None]]:
        bits = (bit for lut in "ABC" for bit in ports[f"{name}{lut}"])
        return _pins(writer, used, pin, bits)

    writer.cell(
        LUT_RAM[cell["type"]][0],
        [
            *pins("a", "ADDR"),
            *_pins(writer, used, "wa", ports["ADDRD"]),
            *pins("di", "DI"),
            ("we", writer.name(ports["WE"][0])),
            *pins("do", "DO"),
            ("clk", writer.name(ports["WCLK"][0])),
        ],
    )


def _pins(
    writer: _Writer, used: Counter[Bit], pin: str, bits: Iterable[Bit]
) -> Iterator[tuple[str, str | None]]:
    """Of a bus, open where a bit is 0 or nothing reads it."""
    for place, bit in enumerate(bits):
        yield f"{pin}[{place}]", writer.name(bit) if bit not in ("0", "x") and used[bit] else None


def _block_ram(writer: _Writer, cell: Cell, used: Counter[Bit]) -> None:
    ports: Mapping[str, list[Bit]] = cell["connections"]

    def pins(pin: str, *names: str) -> Iterator[tuple[str, str | None]]:
        return _pins(writer, used, pin, (bit for name in names for bit in ports[name]))

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
    """One bit more in front brings a carry in, one behind a carry out, as there are no pins for them."""
    after = {ports["CI"][0]: ports for ports in carries if isinstance(ports["CI"][0], int)}
    inner = {ports["CO"][3] for ports in carries if "CO" in ports} & set(after)

    def add(select: Bit, data: Bit, carry: str | None, total: Bit, last: bool) -> str | None:
        out = None if last else writer.new()
        pins = [None if bit in ("0", "x") else writer.name(bit) for bit in (select, data)]
        sumout = writer.name(total) if total != "x" and used[total] else None
        writer.sums.append(_Sum(pins[0], pins[1], carry, out, sumout))
        return out

    for first in carries:
        if first["CI"][0] in inner:
            continue
        start = first["CYINIT"][0] if isinstance(first["CI"][0], str) else first["CI"][0]
        carry = add("0", start, None, "x", last=False) if start != "0" else None
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
            carry = add(select, data, carry, total, last=place == end and not taps[end])
        if taps[end]:
            add("0", "0", carry, bits[end][3], last=True)


def _text(writer: _Writer, outputs: list[str]) -> Iterator[str]:
    """With constants passed on through LUTs, and without LUTs that nothing needs."""
    constant: dict[str, str] = {}
    while True:
        luts = {name: lut.without(constant) for name, lut in writer.luts.items()}
        found = {name: "vcc" if lut.ones else "gnd" for name, lut in luts.items() if not lut.inputs}
        if len(found) == len(constant):
            break
        constant = found
    pins = [name for _, cell, _ in writer.cells for _, name in cell] + outputs
    pins += [name for bit in writer.sums for name in bit.pins()]
    needed = set(pins)
    waiting = [name for name in needed if name in luts]
    while waiting:
        new = {name for name in luts[waiting.pop()].inputs if name in luts} - needed
        needed |= new
        waiting += new
    kept = {name: lut for name, lut in luts.items() if name in needed}
    uses = Counter(pins) + Counter(name for lut in kept.values() for name in lut.inputs)
    for bit in writer.sums:
        _sum(writer, bit, kept, uses)
    yield from (".model top", ".inputs " + " ".join(writer.inputs.values()), ".outputs " + " ".join(outputs))
    yield from (".names gnd", ".names vcc", "1")
    for model, cell, parameters in writer.cells:
        yield " ".join([f".subckt {model}", *(f"{pin}={name}" for pin, name in cell)])
        yield from (f".param {parameter} {value}" for parameter, value in parameters.items())
    for name in sorted(kept):
        yield from kept[name].lines(name)
    yield from (".end", "")
    yield from _black_box("fdre", ["C", "D", "CE", "R"], ["Q"])
    yield from _black_box("sum", [*_bus("in", 6), "x", "cin"], ["cout", "sumout"])
    for model, address, data in LUT_RAM.values():
        yield from _memory(model, lut_ram_inputs(address, data), 3 * data)
    for model, address, data in BLOCK_RAM.values():
        yield from _memory(model, block_ram_inputs(address, data), data)


def _sum(writer: _Writer, bit: _Sum, luts: dict[str, _Lut], uses: Counter[str]) -> None:
    """A bit of a carry chain with the LUTs in front that nothing else needs; they are taken from `luts`.

    `SELECT` is a table of the six inputs, `DATA` of five of them and of x, the pin beside the LUT.
    """

    def in_front(name: str | None) -> _Lut:
        if name is None:
            return _Lut((), 0)
        return luts[name] if name in luts and uses[name] == 1 else _Lut((name,), 0b10)

    select, data = in_front(bit.select), in_front(bit.data)
    inputs = tuple(dict.fromkeys(select.inputs + data.inputs))
    beside = bit.data if len(inputs) > 5 and data.inputs else None
    if beside is not None:
        inputs, data = select.inputs, _Lut(("x",), 0b10)
    for name, lut in ((bit.select, select), (bit.data, data)):
        if name is not None and luts.get(name) is lut:
            del luts[name]
    pins = [*((f"in[{place}]", name) for place, name in enumerate(inputs)), ("x", beside)]
    pins += [("cin", bit.cin), ("cout", bit.cout), ("sumout", bit.sumout)]
    padded = [*inputs, *[""] * (6 - len(inputs))]
    tables = select.over(padded), data.over([*padded[:5], "x"])
    writer.cell("sum", pins, SELECT=f"{tables[0]:064b}", DATA=f"{tables[1]:064b}")


def _bus(name: str, width: int) -> list[str]:
    return [name] if width == 1 else [f"{name}[{place}]" for place in range(width)]


def _memory(model: str, inputs: Mapping[str, int], data: int) -> Iterator[str]:
    pins = [pin for name, width in inputs.items() for pin in _bus(name, width)]
    yield from _black_box(model, [*pins, "clk"], _bus("do", data))


def _black_box(name: str, inputs: list[str], outputs: list[str]) -> Iterator[str]:
    yield from (f".model {name}", ".inputs " + " ".join(inputs), ".outputs " + " ".join(outputs))
    yield from (".blackbox", ".end", "")
