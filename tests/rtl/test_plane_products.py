"""Sums of products of bit planes: both bodies equal to Python, and to one another by proof; few LUTs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from bnn2fpga.backends.rtl_cells import COUNTERS, PRODUCTS, counters_text, popcount_text, products_text
from bnn2fpga.circuits.plane_products import PlaneProducts, Sign
from bnn2fpga.tools.yosys import cell_models

KINDS: list[tuple[Sign, int]] = [("", 1), ("", 3), ("", 8), ("signed", 1), ("signed", 4), ("bipolar", 1)]
CLOCKS = 60

needs_yosys = pytest.mark.skipif(shutil.which("yosys") is None, reason="yosys is not installed")
needs_icarus = pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus is not installed")


def circuits(lanes: int, bits: int) -> list[PlaneProducts]:
    """For every kind of input; bipolar ones take signed weights."""
    return [
        PlaneProducts(lanes, width, sign, bits, signed)
        for sign, width in KINDS
        for signed in (True, False)
        if signed or sign != "bipolar"
    ]


def fields(word: int, lanes: int, bits: int, signed: bool) -> list[int]:
    """The numbers in a beat."""
    values = [word >> bits * lane & (1 << bits) - 1 for lane in range(lanes)]
    return [value - (1 << bits) if signed and value >> bits - 1 else value for value in values]


def expected(count: PlaneProducts, x: int, w: int) -> int:
    """The products one by one, and the excess of each."""
    inputs = fields(x, count.lanes, count.input_bits, count.input_sign == "signed")
    if count.input_sign == "bipolar":
        inputs = [2 * value - 1 for value in inputs]
        w ^= sum(1 << count.weight_bits * (lane + 1) - 1 for lane in range(count.lanes))
    weights = fields(w, count.lanes, count.weight_bits, count.signed_weights)
    return sum(a * b for a, b in zip(inputs, weights, strict=True)) + count.lanes * count.excess


def bench(count: PlaneProducts, x: list[int], w: list[int]) -> str:
    """Prints the sum in every clock; inputs change with each."""
    inputs, weights = count.lanes * count.input_bits, count.lanes * count.weight_bits
    drive = "".join(
        f"        x = {inputs}'h{a:x}; w = {weights}'h{b:x};\n"
        '        #1 clk = 1; #1 clk = 0; $display("%d", count);\n'
        for a, b in zip(x, w, strict=True)
    )
    return f"""\
module bench;
    reg clk = 0;
    reg [{inputs - 1}:0] x;
    reg [{weights - 1}:0] w;
    wire [{count.output_bits - 1}:0] count;
    {count.name} dut (.clk(clk), .x(x), .w(w), .count(count));
    initial begin
{drive}    end
endmodule
"""


def random_words(seed: int, bits: int) -> list[int]:
    """All zeros, all ones, and others."""
    random = np.random.default_rng(seed)
    drawn = [int.from_bytes(random.bytes(bits // 8 + 1), "little") % (1 << bits) for _ in range(CLOCKS - 2)]
    return [0, (1 << bits) - 1, *drawn]


@pytest.mark.slow
@needs_icarus
@needs_yosys
@pytest.mark.parametrize("lanes", [1, 2, 3, 5, 16, 27])
def test_both_bodies_add_products(lanes: int, tmp_path: Path) -> None:
    for count in [one for bits in (3, 4, 8) for one in circuits(lanes, bits)]:
        x = random_words(lanes, lanes * count.input_bits)
        w = random_words(lanes + 1, lanes * count.weight_bits)[::-1]
        sums = [expected(count, a, b) for a, b in zip(x, w, strict=True)]
        for primitives in (False, True):
            (tmp_path / "bench.v").write_text(bench(count, x, w))
            (tmp_path / "count.sv").write_text(popcount_text(count, primitives))
            (tmp_path / COUNTERS).write_text(counters_text())
            (tmp_path / PRODUCTS).write_text(products_text())
            sources = ["bench.v", "count.sv", *([COUNTERS, PRODUCTS, str(cell_models())] * primitives)]
            command = ["iverilog", "-g2012", "-s", "bench", "-o", "run", *sources]
            subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
            printed = subprocess.run(["vvp", "run"], cwd=tmp_path, capture_output=True, text=True, check=True)
            found = printed.stdout.split()[count.stages - 1 :]
            assert found == [str(one) for one in sums[: len(found)]], (count, primitives)


PROVABLE = [
    *circuits(1, 3),
    *(one for one in circuits(2, 3) if one.input_bits <= 4),
    *(one for one in circuits(3, 3) if one.input_bits == 1),
    *(PlaneProducts(3, 2, sign, 2, signed) for sign in ("", "signed") for signed in (True, False)),
]
"""Solvers do not end on sums of larger products: three lanes of 3 bits times 3 take more than ten minutes."""


@pytest.mark.slow
@needs_yosys
@pytest.mark.parametrize("count", PROVABLE, ids=str)
def test_both_bodies_are_proven_equal(count: PlaneProducts, tmp_path: Path) -> None:
    """Whatever passes in `stages` clocks from any state, the sums are the same."""
    for name, primitives in (("gold", False), ("gate", True)):
        text = popcount_text(count, primitives).replace(f"module {count.name}", f"module {name}")
        (tmp_path / f"{name}.sv").write_text(text)
    (tmp_path / COUNTERS).write_text(counters_text())
    (tmp_path / PRODUCTS).write_text(products_text())
    script = (
        f"read_verilog -sv gold.sv gate.sv {COUNTERS} {PRODUCTS}; read_verilog {cell_models()}; "
        "proc; hierarchy -check; flatten gold; flatten gate; opt; miter -equiv -flatten gold gate both; "
        f"hierarchy -top both; opt; sat -verify "
        f"-seq {count.stages} -tempinduct -prove trigger 0 both"
    )
    done = subprocess.run(
        ["yosys", "-q", "-p", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.mark.parametrize("sign", ["", "signed"])
@pytest.mark.parametrize("bits", [3, 4, 8])
def test_luts_a_product_of_two_bits(bits: int, sign: Sign) -> None:
    assert PlaneProducts(64, bits, sign, bits, True).luts / (64 * bits * bits) <= 0.9
    assert PlaneProducts(64, 1, "bipolar", bits, True).luts / (64 * bits) <= 1.3
