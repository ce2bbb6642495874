"""LUTs of matrix-vector units with weights of several bits, beside 1-bit weights and yosys' own products.

Weights lie in block RAM. The bit heap of a unit is measured alone, too, and beside it the same sum of
products as yosys makes it of `*` and `+` without DSPs.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from bnn2fpga.backends.rtl import rtl_project
from bnn2fpga.backends.rtl_cells import COUNTERS, PRODUCTS, counters_text, popcount_text, products_text
from bnn2fpga.circuits.plane_products import PlaneProducts
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


def multiplied(count: PlaneProducts) -> str:
    """The same sum of products as yosys makes it of Verilog's own operators."""
    x = f"x[{count.input_bits} * lane +: {count.input_bits}]"
    value = {"": f"$signed({{1'b0, {x}}})", "signed": f"$signed({x})", "bipolar": "$signed({!x[lane], 1'b1})"}
    w = f"$signed(w[{count.weight_bits} * lane +: {count.weight_bits}])"
    return f"""\
module own (
    input wire clk,
    input wire [{count.lanes * count.input_bits - 1}:0] x,
    input wire [{count.lanes * count.weight_bits - 1}:0] w,
    output reg signed [{count.output_bits - 1}:0] count
);
    reg signed [{count.output_bits - 1}:0] total;
    integer lane;
    always_comb begin
        total = 0;
        for (lane = 0; lane < {count.lanes}; lane = lane + 1)
            total = total + {value[count.input_sign]} * {w};
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
            columns += [str(found.path_ns)]
            (count, *_) = kernel.popcounts or (None,)
            if isinstance(count, PlaneProducts):
                cells = {f"{count.name}.sv": popcount_text(count, True)}
                cells |= {COUNTERS: counters_text(), PRODUCTS: products_text()}
                alone = measure(cells, count.name).luts, measure({"own.sv": multiplied(count)}, "own").luts
                columns += [f"{luts / bits:.2f}" for luts in alone]
            print(f"| {' | '.join(columns)} |", flush=True)


if __name__ == "__main__":
    main()
