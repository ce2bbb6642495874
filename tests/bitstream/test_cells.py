"""What configurations of slices and block RAM become, also those that the recorded design has not."""

from __future__ import annotations

import subprocess
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from bnn2fpga.bitstream.block_ram import BlockRam
from bnn2fpga.bitstream.decode import with_constants
from bnn2fpga.bitstream.features import Configuration
from bnn2fpga.bitstream.netlist import (
    HIGH,
    LOW,
    BlockMemory,
    FlipFlop,
    Netlist,
    ReadPort,
    Table,
    TableMemory,
    WritePort,
)
from bnn2fpga.bitstream.slices import MULTIPLEXER, XOR, Slice, reduced
from bnn2fpga.bitstream.verilog import verilog
from bnn2fpga.errors import BitstreamError
from tests.zynq.board import has_icarus


def slice_of(*features: str, **inits: int) -> Slice:
    """A SLICEM with these features, and tables by letter; pins are nets of their names."""
    values = {f"SLICEM_X0.{letter}LUT.INIT": init for letter, init in inits.items()}
    said = Configuration({}, defaultdict(int, values), {f"SLICEM_X0.{name}" for name in features})
    return Slice("s", "SLICEM_X0", said, lambda pin: {"A6": HIGH}.get(pin, pin))


def value(table: Table, nets: dict[str, int]) -> int:
    """What a table gives."""
    return table.init >> sum(nets[net] << bit for bit, net in enumerate(table.inputs)) & 1


def test_tables_lose_constants_and_inputs_without_effect() -> None:
    rng = np.random.default_rng(0)
    for count in range(1, 7):
        for _ in range(20):
            init = int.from_bytes(rng.bytes(8), "little") & ((1 << (1 << count)) - 1)
            init &= int(rng.integers(1, 1 << 32)) * 0x100000001
            nets = tuple(rng.choice([LOW, HIGH, f"n{bit}"]) for bit in range(count))
            table = reduced("y", init, nets)
            assert not {LOW, HIGH}.intersection(table.inputs)
            for number in range(1 << count):
                known = {f"n{bit}": number >> bit & 1 for bit in range(count)} | {LOW: 0, HIGH: 1}
                index = sum(known[net] << bit for bit, net in enumerate(nets))
                assert value(table, known) == init >> index & 1
    assert reduced("y", 0xAA, ("a", "b", "c")) == Table("y", 0b10, ("a",))


def test_both_tables_of_a_site() -> None:
    """O6 with its last input high reads the upper half, O5 the lower."""
    own = slice_of(A=0x00000008_00000001)
    assert value(own.cell("AO6")[0], dict.fromkeys(["A1", "A2"], 1) | dict.fromkeys(["A3", "A4", "A5"], 0))
    assert value(own.cell("AO5")[0], dict.fromkeys(["A1", "A2", "A3", "A4", "A5"], 0))


def test_flipflops() -> None:
    own = slice_of("BFFMUX.BX", "BFF.ZINI", "FFSYNC", "CEUSEDMUX", "SRUSEDMUX", "B5FFMUX.IN_A", "B5FF.ZRST")
    assert own.cell("BQ") == (FlipFlop("s_BQ", "BX", "CLK", False, "CE", "SR", 0, 1, True), ())
    assert own.cell("B5Q") == (FlipFlop("s_B5Q", "s_BO5", "CLK", False, "CE", "SR", 1, 0, True), ("BO5",))
    free = slice_of("CFFMUX.XOR", "CLKINV")
    assert free.cell("CQ") == (FlipFlop("s_CQ", "s_CXOR", "CLK", True, HIGH, LOW, 1, 1, False), ("CXOR",))


def test_carry_chains_and_multiplexers() -> None:
    own = slice_of("PRECYINIT.CIN", "CARRY4.BCY0")
    assert own.cell("AXOR")[0] == Table("s_AXOR", XOR, ("s_AO6", "CIN"))
    assert own.cell("ACY")[0] == Table("s_ACY", MULTIPLEXER, ("AX", "CIN", "s_AO6"))
    assert own.cell("BCY")[0] == Table("s_BCY", MULTIPLEXER, ("s_BO5", "s_ACY", "s_BO6"))
    assert slice_of("PRECYINIT.C1").cell("AXOR")[0] == Table("s_AXOR", XOR, ("s_AO6", HIGH))
    assert own.cell("AF7")[0] == Table("s_AF7", MULTIPLEXER, ("s_BO6", "s_AO6", "AX"))
    assert own.cell("BF8") == (Table("s_BF8", MULTIPLEXER, ("s_CF7", "s_AF7", "BX")), ("CF7", "AF7"))
    assert own.pin("COUT") == "DCY" and own.pin("A") == "AO6" and own.pin("DQ") == "DQ"
    assert slice_of("BOUTMUX.F8").pin("BMUX") == "BF8" and slice_of("COUTMUX.C5Q").pin("CMUX") == "C5Q"


def test_tables_as_memory() -> None:
    """64 bits and twice 32; in a group of 128 bits each table takes half of the words."""
    write = tuple(f"D{bit}" for bit in range(1, 7))
    own = slice_of("CLUT.RAM", "WEMUX.CE", "WA7USED", "CLUT.DI1MUX.CI", C=5)
    read = tuple(f"C{bit}" for bit in range(1, 7))
    assert own.cell("CO6")[0] == TableMemory("s_CO6", 5, read, write, "CI", ("CE", "CX"), "CLK")
    low = slice_of("DLUT.RAM", "WA7USED").cell("DO6")[0]
    assert low == TableMemory("s_DO6", 0, write, write, "DI", ("WE", "!CX"), "CLK")
    small = slice_of("BLUT.RAM", "BLUT.SMALL", B=0x7_00000009)
    read = tuple(f"B{bit}" for bit in range(1, 6))
    assert small.cell("BO6")[0] == TableMemory("s_BO6", 7, read, write[:5], "BX", ("WE",), "CLK")
    assert small.cell("BO5")[0] == TableMemory("s_BO5", 9, read, write[:5], "DI", ("WE",), "CLK")


@pytest.mark.parametrize(
    ("feature", "net", "message"),
    [
        ("LATCH", "AQ", "s: holds a latch, which is not read back"),
        ("ALUT.SRL", "AO6", "s: ALUT is a shift register, which is not read back"),
        ("DFFMUX.MC31", "DQ", "s: is a shift register, which is not read back; use -nosrl"),
        ("BFFMUX.BX", "AQ", "s: AFFMUX chooses nothing, its output is used"),
    ],
)
def test_what_is_not_read_back(feature: str, net: str, message: str) -> None:
    with pytest.raises(BitstreamError, match=message):
        slice_of(feature).cell(net)


STIMULI = """
module PS7 (output reg C, output reg [13:0] R, output reg [13:0] W, output reg [35:0] D, output reg E,
            input [35:0] Q);
    integer clock;
    initial begin
        C = 0; E = 0;
        for (clock = 0; clock < 200; clock = clock + 1) begin
            R = $urandom & 14'h3f0f; W = clock % 3 ? $urandom & 14'h3f0f : R; D = {$urandom, $urandom};
            E = $urandom;
            #1 C = 1; #1 C = 0;
            $display("%d %d %d %d %d", R, W, D, E, Q);
        end
        $finish;
    end
endmodule
"""
SHARES = {36: (32, 4), 18: (16, 2), 9: (8, 1), 5: (4, 1), 4: (4, 0), 2: (2, 0), 1: (1, 0)}
"""Of a port: bits of data and of parity. One of 5 is the lower half's of a RAM of 36 Kbit with ports of 9."""


@pytest.mark.skipif(not has_icarus(), reason="Icarus Verilog (iverilog, vvp) is not installed")
@pytest.mark.parametrize(
    ("read", "write", "register"),
    [
        (36, 36, 0),
        (18, 18, 1),
        (9, 9, 0),
        (4, 4, 0),
        (2, 2, 1),
        (1, 1, 0),
        (36, 18, 0),
        (1, 4, 0),
        (9, 18, 0),
        (5, 5, 0),
        (5, 5, 1),
    ],
)
def test_block_ram(read: int, write: int, register: int, tmp_path: Path) -> None:
    """Side A reads, side B writes, in all widths, from contents that came with the bits."""
    rng = np.random.default_rng(read)
    data, parity = rng.integers(0, 2, 16384), rng.integers(0, 2, 4096 if read == 5 else 2048)
    lines = _simulated(read, write, register, data, parity, tmp_path)
    shown, behind = 0, 0
    for at, place, word, enable, found in lines:
        behind = shown
        shown = sum(bit << index for index, bit in enumerate(_part(data, parity, at, read)))
        if enable:
            _store(data, parity, place, write, [word >> bit & 1 for bit in range(write)])
        assert found == (behind if register else shown), (at, place)


def _part(data: np.ndarray, parity: np.ndarray, at: int, width: int) -> list[int]:
    bits, extra = SHARES[width]
    word = at // bits if width != 1 else at
    own = data[word * bits : (word + 1) * bits], parity[word * extra : (word + 1) * extra]
    return np.concatenate(own).tolist()


def _store(data: np.ndarray, parity: np.ndarray, at: int, width: int, word: list[int]) -> None:
    bits, extra = SHARES[width]
    place = at // bits
    data[place * bits : (place + 1) * bits] = word[:bits]
    parity[place * extra : (place + 1) * extra] = word[bits:]


def _simulated(
    read: int, write: int, register: int, data: np.ndarray, parity: np.ndarray, folder: Path
) -> list[tuple[int, ...]]:
    """Addresses, the word that is written or not, and the outputs, of every clock."""
    own = "RAMB18_Y0"
    said = Configuration()
    said.set |= {f"{own}.IN_USE", f"{own}.ZINV_CLKARDCLK", f"{own}.ZINV_CLKBWRCLK", f"{own}.ZINV_ENARDEN"}
    said.set |= {f"{own}.ZINV_ENBWREN", f"{own}.ZINV_RSTRAMARSTRAM", f"{own}.ZINV_RSTREGARSTREG"}
    said.set.add(
        f"{own}.SDP_READ_WIDTH_36" if read == 36 else f"{own}.READ_WIDTH_A_{4 if read == 5 else read}"
    )
    said.set.add(
        f"{own}.SDP_WRITE_WIDTH_36" if write == 36 else f"{own}.WRITE_WIDTH_B_{4 if write == 5 else write}"
    )
    if register:
        said.set.add(f"{own}.DOA_REG")
    for vector in ("ZINIT_A", "ZINIT_B", "ZSRVAL_A", "ZSRVAL_B"):
        said.values[f"{own}.{vector}"] = 0x3FFFF
    # the parity bits of both halves take turns
    halves = {"INIT": [data], "INITP": [parity[::2], parity[1::2]] if len(parity) > 2048 else [parity]}
    for name, arrays in halves.items():
        for half, bits in enumerate(arrays):
            for row in range(len(bits) // 256):
                whole = sum(int(bit) << place for place, bit in enumerate(bits[256 * row : 256 * row + 256]))
                said.values[f"RAMB18_Y{half}.{name}_{row:02X}"] = whole
    wires = {"CLKARDCLK": "C", "CLKBWRCLK": "C", "ENARDEN": HIGH, "ENBWREN": HIGH, "REGCEAREGCE": HIGH}
    wires |= {f"ADDRARDADDR{bit}": f"R{bit}" for bit in range(14)}
    wires |= {f"ADDRBWRADDR{bit}": f"W{bit}" for bit in range(14)} | {f"WEBWE{bit}": "E" for bit in range(8)}
    bits, extra = SHARES[write]
    sides = "AB" if write == 36 else "B"
    pins = [f"DI{side}DI{bit}" for side in sides for bit in range(bits // len(sides))]
    pins += [f"DIP{side}DIP{bit}" for side in sides for bit in range(extra // len(sides))]
    wires |= {pin: f"D{place}" for place, pin in enumerate(pins)}
    # a side has eight enables and 16 bits of data, those of the chip
    others = dict.fromkeys((f"WEBWE{bit}" for bit in range(8)), LOW)
    others |= dict.fromkeys((f"DI{side}DI{bit}" for side in "AB" for bit in range(16)), LOW)
    others |= dict.fromkeys((f"DIP{side}DIP{bit}" for side in "AB" for bit in range(2)), LOW)
    others |= dict.fromkeys((f"WEA{bit}" for bit in range(4)), LOW)
    controls = ("RSTRAMARSTRAM", "RSTREGARSTREG", "RSTRAMB", "RSTREGB", "REGCEB")
    others |= dict.fromkeys(controls, LOW)
    memory = BlockRam("ram", 0, said, lambda pin: (others | wires)[pin]).memory()
    port, _ = memory.sides[0]
    assert port is not None
    outputs = port.outputs
    buses = {"R": 14, "W": 14, "D": 36}
    nets = {f"{kind}{bit}": f"{kind}{bit}" for kind, count in buses.items() for bit in range(count)}
    inputs = {f"Q{bit}": outputs[bit] if bit < read else LOW for bit in range(36)}
    netlist = Netlist((), (), (), (memory,), inputs, nets | {"C": "C", "E": "E"})
    (folder / "top.v").write_text(verilog(netlist, "top", {"C", "E", "R", "W", "D", "Q"}) + STIMULI)
    subprocess.run(["iverilog", "-g2012", "-s", "top", "-o", folder / "run", folder / "top.v"], check=True)
    done = subprocess.run(["vvp", "-n", folder / "run"], capture_output=True, text=True, check=True)
    return [tuple(map(int, line.split())) for line in done.stdout.splitlines() if len(line.split()) == 5]


def test_parity_of_both_halves_beside_another_width(tmp_path: Path) -> None:
    with pytest.raises(BitstreamError, match="with ports of 9 bits and of others, which is not read back"):
        _simulated(5, 18, 0, np.zeros(16384, int), np.zeros(4096, int), tmp_path)


def test_constants_that_come_through_tables() -> None:
    """An empty table is a source of zeros for place and route."""
    tables = (Table("zero", 0, ()), Table("passed", 2, ("zero",)), Table("kept", 0xE, ("passed", "n")))
    found = with_constants(Netlist(tables, (), (), (), {"A": "passed", "B": "kept", "C": "n"}, {"N": "n"}))
    assert found.inputs == {"A": LOW, "B": "kept", "C": "n"}
    assert Table("kept", 2, ("n",)) in found.tables


def test_a_side_that_never_writes_may_have_another_width() -> None:
    """The enable of a ROM as wide as both sides can be an empty table, too."""
    address = tuple(f"R{bit}" for bit in range(14))
    outputs = tuple(f"Q{bit}" for bit in range(36))
    read = ReadPort(36, outputs, address, "C", HIGH, LOW, "WRITE_FIRST", False, LOW, LOW)
    write = WritePort(1, (HIGH,), ("zero",), address, "C", HIGH)
    rom = BlockMemory("rom", 5, 0, 0, ((read, write), (None, None)))
    given = {pin: pin for pin in outputs} | {"Z": "zero"}
    netlist = Netlist((Table("zero", 0, ()),), (), (), (rom,), given, {"C": "C", **{a: a for a in address}})
    assert "if (1'b0)" not in (text := verilog(with_constants(netlist), "top")) and "_latches <=" in text
    with pytest.raises(BitstreamError, match="reads 36 bits and writes 1, which is not read back"):
        verilog(netlist, "top")
