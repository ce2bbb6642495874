"""How many pins a net of the Zynq's files drives: wires that reach far are what limits a routed clock."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bnn2fpga.backends.zynq import TOP
from bnn2fpga.build.open_flow import synthesize
from bnn2fpga.tools.openxc7 import OpenXC7
from tests.zynq.board import Shape
from tests.zynq.wide_nets import wide_nets


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("yosys") is None, reason="yosys is not installed")
@pytest.mark.parametrize(
    "shape",
    [
        (1, 5, 3),
        pytest.param((98, 8, 40), marks=pytest.mark.long),
        pytest.param((5, 147, 9), marks=pytest.mark.long),
        pytest.param((1024, 1, 3), marks=pytest.mark.long),
    ],
)
def test_no_net_but_clock_and_reset_is_wide(shape: tuple[int, int, int], tmp_path: Path) -> None:
    """Around a core whose own nets are narrow; `shape` is its bytes in and out, and its edges."""
    in_bytes, out_bytes, edges = shape
    Shape(in_bytes, out_bytes, edges=edges, source="eager.sv").project().write(tmp_path)
    netlist = tmp_path / "netlist.json"
    synthesize(tmp_path, TOP, netlist, tmp_path / "log", OpenXC7())
    wide = wide_nets(netlist)
    assert wide.pop("clk") > 1000
    assert not wide.keys() - {"rst", "core_rst"}
