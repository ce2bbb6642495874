"""What is placed and routed on VTR's model of the chip is the netlist, proven for eight clocks by yosys."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.blif import blif
from benchmarks.place import flat_module
from bnn2fpga.kernel import Kernel
from bnn2fpga.kernels.concat_streams import ConcatStreams
from bnn2fpga.kernels.depthwise_unit import DepthwiseUnit
from bnn2fpga.kernels.split_streams import SplitStreams
from bnn2fpga.kernels.xnor_mvu import XnorMvu
from bnn2fpga.rtl.project import rtl_project
from bnn2fpga.tools.call import call
from bnn2fpga.tools.yosys import cell_models, find_yosys, synthesize
from tests.contract import side_by_side
from tests.rtl.cases import contracts

CELLS = """
module fdre(input C, input D, input CE, input R, output reg Q);
    always @(posedge C) if (R) Q <= 0; else if (CE) Q <= D;
endmodule
module adder(input a, input b, input cin, output cout, output sumout);
    assign sumout = a ^ cin;
    assign cout = a ? cin : b;
endmodule
"""
PROOF = (
    "read_verilog netlist.v; read_blif -wideports top.blif; delete fdre adder; read_verilog cells.v; "
    "hierarchy -check; proc; miter -equiv -flatten -make_outputs k0 top both; flatten both; "
    "hierarchy -top both; setundef -undriven -zero; opt -full; "
    "sat -verify -prove trigger 0 -set-init-zero -seq 8 both"
)


@pytest.mark.skipif(shutil.which("yosys") is None, reason="yosys is not installed")
@pytest.mark.parametrize(
    ("kind", "cells"),
    [
        (ConcatStreams, {"CARRY4"}),
        (DepthwiseUnit, {"CARRY4"}),
        (SplitStreams, {"CARRY4"}),
        (XnorMvu, {"CARRY4", "INV", "LUT6_2"}),
    ],
)
def test_a_kernel_as_blif(kind: type[Kernel], cells: set[str], tmp_path: Path) -> None:
    cases = [case[0] for contract in contracts() for case in contract.collected() if type(case[0]) is kind]
    wide = [case for case in cases if all(popcount.bits >= 12 for popcount in case.popcounts)]
    kernel = min(wide, key=lambda kernel: kernel.inputs[0].size)
    rtl_project(side_by_side([kernel]), primitives=True).write(tmp_path)
    found = synthesize(tmp_path / "rtl", "k0", tmp_path, block_ram=False)
    assert cells <= set(found.cells)
    (tmp_path / "top.blif").write_text(blif(flat_module(tmp_path / "netlist.v", "k0")))
    (tmp_path / "cells.v").write_text(CELLS)
    script = f"read_verilog {cell_models()}; {PROOF}"
    call([find_yosys(), "-q", "-p", script], tmp_path, tmp_path / "proof.log")
