"""What is placed and routed on VTR's model of the chip is the netlist, proven for eight clocks by yosys."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.blif import blif
from benchmarks.place import flat_module
from bnn2fpga.backends.rtl import rtl_project
from bnn2fpga.design.kernel import Kernel
from bnn2fpga.kernels.concat_streams import ConcatStreams
from bnn2fpga.kernels.depthwise_unit import DepthwiseUnit
from bnn2fpga.kernels.sliding_window import SlidingWindow
from bnn2fpga.kernels.split_streams import SplitStreams
from bnn2fpga.kernels.xnor_mvu import XnorMvu
from bnn2fpga.tools.run_tool import call
from bnn2fpga.tools.yosys import cell_models, find_yosys, synthesize
from tests.contract import side_by_side
from tests.rtl.cases import contracts

CELLS = """
module fdre(input C, input D, input CE, input R, output reg Q);
    parameter [0:0] SET = 0;
    always @(posedge C) if (R) Q <= SET; else if (CE) Q <= D;
endmodule
module sum(input [5:0] in, input x, input cin, output cout, output sumout);
    parameter [63:0] SELECT = 0;
    parameter [63:0] DATA = 0;
    wire [63:0] select = SELECT >> in, data = DATA >> {x, in[4:0]};
    assign sumout = select[0] ^ cin;
    assign cout = select[0] ? cin : data[0];
endmodule
module ram32(input [14:0] a, input [4:0] wa, input [5:0] di, input we, input clk, output [5:0] do);
    reg [5:0] held [31:0];
    always @(posedge clk) if (we) held[wa] <= di;
    assign do = {held[a[14:10]][5:4], held[a[9:5]][3:2], held[a[4:0]][1:0]};
endmodule
module ram64(input [17:0] a, input [5:0] wa, input [2:0] di, input we, input clk, output [2:0] do);
    reg [2:0] held [63:0];
    always @(posedge clk) if (we) held[wa] <= di;
    assign do = {held[a[17:12]][2], held[a[11:6]][1], held[a[5:0]][0]};
endmodule
"""
PROOF = (
    "read_verilog netlist.v; read_blif -wideports top.blif; delete =fdre =sum =ram32 =ram64; "
    "read_verilog cells.v; hierarchy -check; proc; memory; flatten top; setundef -undriven -zero top; "
    "miter -equiv -flatten -make_outputs k0 top both; flatten both; "
    "hierarchy -top both; setundef -undriven -zero; opt -full; "
    "sat -verify -prove trigger 0 -set-init-zero -seq 8 both"
)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("yosys") is None, reason="yosys is not installed")
@pytest.mark.parametrize(
    ("kind", "cells"),
    [
        (ConcatStreams, {"CARRY4"}),
        (DepthwiseUnit, {"CARRY4"}),
        pytest.param(SlidingWindow, {"CARRY4", "RAM32M"}, marks=pytest.mark.slow),
        pytest.param(SlidingWindow, {"CARRY4", "RAM64M"}, marks=pytest.mark.slow),
        (SplitStreams, {"CARRY4"}),
        pytest.param(XnorMvu, {"CARRY4", "INV", "LUT6_2"}, marks=pytest.mark.slow),
    ],
)
def test_a_kernel_as_blif(kind: type[Kernel], cells: set[str], tmp_path: Path) -> None:
    cases = [case[0] for contract in contracts() for case in contract.collected() if type(case[0]) is kind]
    wide = [case for case in cases if all(popcount.bits >= 12 for popcount in case.popcounts)]
    for kernel in sorted(wide, key=lambda kernel: kernel.inputs[0].size):
        rtl_project(side_by_side([kernel]), primitives=True).write(tmp_path)
        found = synthesize(tmp_path / "rtl", "k0", tmp_path, block_ram=False)
        if cells <= set(found.cells):
            break
    else:
        pytest.fail(f"no {kind.__name__} has {cells}")
    (tmp_path / "top.blif").write_text(blif(flat_module(tmp_path / "netlist.v", "k0")))
    (tmp_path / "cells.v").write_text(CELLS)
    script = f"read_verilog {cell_models()}; {PROOF}"
    call([find_yosys(), "-q", "-p", script], tmp_path, tmp_path / "proof.log")
