"""Deep tables in LUTs: both bodies read every word; few LUTs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from bnn2fpga.backends.rtl_cells import copies_text, rom_text
from bnn2fpga.circuits.memory import deep_luts
from bnn2fpga.circuits.rom import Rom
from bnn2fpga.tools.yosys import cell_models, synthesize
from tests.some_slow import some_slow

DEPTHS = (65, 72, 80, 96, 128, 192, 257, 577)

needs_yosys = pytest.mark.skipif(shutil.which("yosys") is None, reason="yosys is not installed")
needs_icarus = pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus is not installed")


def random_rom(depth: int, width: int) -> Rom:
    """Words of random bits in logic, a few of which are constant."""
    bits = np.random.default_rng(depth * width).integers(0, 2, (depth, width), np.uint8)
    bits[:, 8::16], bits[:, 9::16] = 0, 1
    return Rom.of_bits(bits, "logic")


def bench(rom: Rom, addresses: list[int]) -> str:
    """Prints the word in every clock; addresses change with each."""
    bits = (rom.depth - 1).bit_length()
    drive = "".join(
        f'        address = {address}; #1 clk = 1; #1 clk = 0; $display("%h", word);\n'
        for address in addresses
    )
    return f"""\
module bench;
    reg clk = 0;
    reg [{bits - 1}:0] address;
    wire [{rom.width - 1}:0] word;
    table_ dut (.clk(clk), .address(address), .word(word));
    initial begin
{drive}    end
endmodule
"""


@needs_icarus
@needs_yosys
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("width", [1, 70])
def test_both_bodies_read_every_word(depth: int, width: int, tmp_path: Path) -> None:
    rom, random = random_rom(depth, width), np.random.default_rng(depth)
    addresses = [*range(depth), *random.integers(0, depth, 40).tolist()]
    (tmp_path / "table.mem").write_text(rom.text)
    (tmp_path / "bench.v").write_text(bench(rom, addresses))
    for primitives in (False, True):
        (tmp_path / "table.sv").write_text(rom_text(rom, "table", primitives))
        (tmp_path / "copies.sv").write_text(copies_text(primitives))
        sources = ["bench.v", "table.sv", "copies.sv", *([str(cell_models())] if primitives else [])]
        command = ["iverilog", "-g2012", "-s", "bench", "-o", "run", *sources]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
        printed = subprocess.run(["vvp", "run"], cwd=tmp_path, capture_output=True, text=True, check=True)
        words = [int(word, 16) for word in printed.stdout.split()[1:]]
        assert words == [rom.words[address] for address in addresses[:-1]], primitives


@pytest.mark.slow
@needs_yosys
@some_slow("depth", [72, 576, 96, 128, 256], 2)
def test_it_takes_the_luts_that_are_counted(depth: int, tmp_path: Path) -> None:
    rom, sources = random_rom(depth, 64), tmp_path / "rtl"
    changing = sum(len(set(column)) > 1 for column in zip(*(f"{w:064b}" for w in rom.words), strict=True))
    assert changing < 64, "columns of which nothing is left"
    sources.mkdir()
    (sources / "table.sv").write_text(rom_text(rom, "table", primitives=True))
    (sources / "copies.sv").write_text(copies_text(primitives=True))
    found = synthesize(sources, "table_", tmp_path)
    assert found.luts == pytest.approx(changing * deep_luts(depth), rel=0.05)


@pytest.mark.slow
@needs_yosys
def test_it_takes_fewer_luts_than_a_memory_of_yosys(tmp_path: Path) -> None:
    rom, luts = random_rom(257, 32), {}
    for primitives in (False, True):
        sources = tmp_path / str(primitives)
        sources.mkdir()
        (sources / "table.mem").write_text(rom.text)
        (sources / "table.sv").write_text(rom_text(rom, "table", primitives))
        (sources / "copies.sv").write_text(copies_text(primitives))
        luts[primitives] = synthesize(sources, "table_", tmp_path).luts
    assert luts[True] < luts[False]


def test_a_table_of_one_lut_a_bit_is_part_of_its_kernel() -> None:
    assert not random_rom(64, 8).paged
    assert random_rom(65, 8).paged
    assert not Rom(8, tuple(range(200)), "block").paged
