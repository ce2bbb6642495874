"""Popcounts: both bodies equal to Python, and to one another by proof; few LUTs."""

from __future__ import annotations

import shutil
import subprocess
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from bnn2fpga.backends.rtl_cells import COUNTERS, counters_text, popcount_text
from bnn2fpga.circuits.popcount import Mask, Popcount
from bnn2fpga.tools.yosys import cell_models

WIDTHS = [*range(1, 17), 27, 32, 36, 63, 64, 65, 100, 128, 300, 512]
CLOCKS = 60

needs_yosys = pytest.mark.skipif(shutil.which("yosys") is None, reason="yosys is not installed")
needs_icarus = pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus is not installed")


def bench(count: Popcount, x: list[int], w: list[int], valid: list[int]) -> str:
    """Prints the count in every clock; inputs change with each."""
    bits = count.bits
    drive = "".join(
        f"        x = {bits}'h{a:x}; w = {bits}'h{b:x}; valid = {bits}'h{c:x};\n"
        '        #1 clk = 1; #1 clk = 0; $display("%d", count);\n'
        for a, b, c in zip(x, w, valid, strict=True)
    )
    return f"""\
module bench;
    reg clk = 0;
    reg [{bits - 1}:0] x, w, valid;
    wire [{count.output_bits - 1}:0] count;
    {count.name} dut (
        .clk(clk), .x(x), .w(w){", .valid(valid)" if count.mask else ""}, .count(count));
    initial begin
{drive}    end
endmodule
"""


@pytest.mark.slow
@needs_icarus
@needs_yosys
@pytest.mark.parametrize("mask", ["", "lanes", "pairs"])
def test_both_bodies_count(mask: Mask, tmp_path: Path) -> None:
    for bits in (bits for bits in WIDTHS if mask != "pairs" or bits % 2 == 0):
        count, random = Popcount(bits, mask), np.random.default_rng(bits)
        drawn = [int.from_bytes(random.bytes(64), "little") % (1 << bits) for _ in range(3 * CLOCKS)]
        x, w, valid = drawn[::3], drawn[1::3], drawn[2::3]
        if mask == "pairs":
            valid = [3 * (word & count.half) for word in valid]
        x[0], w[0], valid[0] = 0, 0, (1 << bits) - 1
        expected: list[int | None] = [None] * (count.stages - 1)
        for a, b, c in zip(x, w, valid, strict=True):
            agree = (~(a ^ b) & ((1 << bits) - 1) & (c if mask else -1)).bit_count()
            expected.append(agree + ((bits - c.bit_count()) // 2 if mask == "pairs" else 0))
        for primitives in (False, True):
            (tmp_path / "bench.v").write_text(bench(count, x, w, valid))
            (tmp_path / "count.sv").write_text(popcount_text(count, primitives))
            (tmp_path / COUNTERS).write_text(counters_text())
            sources = ["bench.v", "count.sv", *([COUNTERS, str(cell_models())] if primitives else [])]
            command = ["iverilog", "-g2012", "-s", "bench", "-o", "run", *sources]
            subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
            printed = subprocess.run(["vvp", "run"], cwd=tmp_path, capture_output=True, text=True, check=True)
            found = printed.stdout.split()
            assert len(found) == CLOCKS
            for have, want in zip(found, expected[:CLOCKS], strict=True):
                assert want is None or have == str(want), (bits, mask, primitives)


@pytest.mark.slow
@needs_yosys
@pytest.mark.parametrize(
    ("bits", "mask"),
    [
        *product([3, 6, 9], [""]),
        *product([4], ["lanes"]),
        *product([2, 6], ["pairs"]),
        *(pytest.param(*large, marks=pytest.mark.slow) for large in ((18, ""), (12, "lanes"), (14, "pairs"))),
    ],
)
def test_both_bodies_are_proven_equal(bits: int, mask: Mask, tmp_path: Path) -> None:
    """Whatever passes in `stages` clocks from any state, the counts are the same.

    18 lanes, 12 that are masked, and 14 in pairs need counters of seven.
    """
    count = Popcount(bits, mask)
    for name, primitives in (("gold", False), ("gate", True)):
        text = popcount_text(count, primitives).replace(count.name, name)
        if mask == "pairs":
            pairs = ", ".join(f"pair[{lane // 2}]" for lane in reversed(range(bits)))
            text = text.replace(f"[{bits - 1}:0] valid", f"[{bits // 2 - 1}:0] pair")
            text = text.replace(");", f");\n    wire [{bits - 1}:0] valid = {{{pairs}}};", 1)
        (tmp_path / f"{name}.sv").write_text(text)
    (tmp_path / COUNTERS).write_text(counters_text())
    script = (
        f"read_verilog -sv gold.sv gate.sv {COUNTERS}; read_verilog {cell_models()}; "
        "proc; hierarchy -check; flatten gold; flatten gate; opt; miter -equiv -flatten gold gate both; "
        f"hierarchy -top both; opt; sat -verify "
        f"-seq {count.stages} -tempinduct -prove trigger 0 both"
    )
    done = subprocess.run(
        ["yosys", "-q", "-p", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.mark.slow
@needs_yosys
@pytest.mark.parametrize(
    ("name", "weights"), [("count3_", [1] * 3), ("count7_", [1] * 7), ("count13_", [1] * 7 + [4] * 6)]
)
def test_counters_are_proven(name: str, weights: list[int], tmp_path: Path) -> None:
    """Alone, as a popcount with two counters of seven in a chain has 70 lanes: too many to prove."""
    wide = sum(weights).bit_length()
    total = " + ".join(f"{wide}'d{weight} * bits[{place}]" for place, weight in enumerate(weights))
    gold = f"module gold (input wire [{len(weights) - 1}:0] bits, output wire [{wide - 1}:0] count);"
    (tmp_path / "gold.sv").write_text(f"{gold} assign count = {total}; endmodule")
    (tmp_path / COUNTERS).write_text(counters_text())
    script = (
        f"read_verilog -sv gold.sv {COUNTERS}; read_verilog {cell_models()}; proc; hierarchy -check; "
        f"flatten {name}; opt; miter -equiv -flatten gold {name} both; "
        "hierarchy -top both; opt; sat -verify -prove trigger 0 both"
    )
    done = subprocess.run(
        ["yosys", "-q", "-p", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.mark.parametrize(("bits", "most"), [(32, 1.2), (64, 1.1), (128, 1.1), (512, 1.05), (1024, 1.05)])
@pytest.mark.parametrize("mask", ["", "pairs"])
def test_luts_a_bit(mask: Mask, bits: int, most: float) -> None:
    assert Popcount(bits, mask).luts / bits <= most
