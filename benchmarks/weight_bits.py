"""LUTs of matrix-vector units with weights of several bits, beside 1-bit weights and yosys' own products.

Weights lie in block RAM. The bit heap of a unit, where it has one, is measured alone, too, and beside it the
same sum of products as yosys makes it of `*` and `+` without DSPs.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from bnn2fpga.backends.rtl import rtl_project
from bnn2fpga.backends.rtl_cells import COUNTERS, PRODUCTS, counters_text, popcount_text, products_text
from bnn2fpga.design.integers import BIPOLAR, IntType
from bnn2fpga.design.layers import Dot
from bnn2fpga.design.stream import Stream
from bnn2fpga.files.project import Project
from bnn2fpga.kernels import implement
from bnn2fpga.kernels.bases.matrix_vector import MatrixVector
from bnn2fpga.tools.yosys import Synthesis, synthesize
from tests.contract import random_values, side_by_side

ROWS, COLUMNS, PE, SIMD = 64, 256, 2, 32
SOURCES = (BIPOLAR, IntType(3), IntType(8))
WEIGHTS = (BIPOLAR, IntType(3, signed=True), IntType(4, signed=True), IntType(8, signed=True))


def unit(source: IntType, weight: IntType) -> MatrixVector:
    """PE rows and SIMD columns a clock of ROWS x COLUMNS weights."""
    weights = random_values(weight, (ROWS, COLUMNS), 1)
    kernel = implement(Dot(Stream((1, COLUMNS), source), weights, weight))
    assert isinstance(kernel, MatrixVector)
    return replace(kernel, pe=PE, simd=SIMD, weights_in="block")


def multiplied(source: IntType, weight: IntType) -> str:
    """The sum of SIMD products as yosys makes it of Verilog's own operators."""

    def value(name: str, kind: IntType) -> str:
        bits = f"{name}[{kind.bits} * lane +: {kind.bits}]"
        if kind.bipolar:
            return f"$signed({{!{bits}, 1'b1}})"
        return f"$signed({bits})" if kind.signed else f"$signed({{1'b0, {bits}}})"

    ends = [a * b * SIMD for a in (source.low, source.high) for b in (weight.low, weight.high)]
    bits = IntType.holding(min(ends), max(ends)).bits
    return f"""\
module own (
    input wire clk,
    input wire [{SIMD * source.bits - 1}:0] x,
    input wire [{SIMD * weight.bits - 1}:0] w,
    output reg signed [{bits - 1}:0] count
);
    reg signed [{bits - 1}:0] total;
    integer lane;
    always_comb begin
        total = 0;
        for (lane = 0; lane < {SIMD}; lane = lane + 1)
            total = total + {value("x", source)} * {value("w", weight)};
    end
    always_ff @(posedge clk) count <= total;
endmodule
"""


def measure(files: dict[str, str], top: str) -> Synthesis:
    """What yosys needs for module `top`."""
    with TemporaryDirectory() as folder:
        Project({f"rtl/{name}": text for name, text in files.items()}).write(Path(folder))
        return synthesize(Path(folder, "rtl"), top, Path(folder))


def measure_unit(kernel: MatrixVector) -> Synthesis:
    """The whole unit with its counters, memories and sums."""
    files = rtl_project(side_by_side([kernel]), primitives=True).files
    skipped = ("top_.sv", "fifo_.sv")
    return measure({Path(n).name: t for n, t in files.items() if not n.endswith(skipped)}, "k0")


def main() -> None:
    """Prints a row for every type of inputs and weights."""
    argparse.ArgumentParser(prog="python -m benchmarks.weight_bits", description=__doc__).parse_args()
    print(f"{PE} x {SIMD} weights a clock of {ROWS} x {COLUMNS}; LUTs a bit of a weight a clock\n")
    print("| inputs | weights | unit | DSPs | ns | heap alone | yosys' `*` alone |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for source in SOURCES:
        for weight in WEIGHTS:
            kernel = unit(source, weight)
            found, bits = measure_unit(kernel), SIMD * weight.bits
            columns = [str(source), str(weight), f"{found.luts / PE / bits:.2f}", str(found.dsps)]
            columns.append(f"{found.path_ns:.1f}")
            cells = {COUNTERS: counters_text(), PRODUCTS: products_text()}
            for count in kernel.popcounts:
                cells[f"{count.name}.sv"] = popcount_text(count, True)
                columns.append(f"{measure(cells, count.name).luts / bits:.2f}")
            columns += [] if kernel.popcounts else [""]
            columns.append(f"{measure({'own.sv': multiplied(source, weight)}, 'own').luts / bits:.2f}")
            print(f"| {' | '.join(columns)} |", flush=True)


if __name__ == "__main__":
    main()
