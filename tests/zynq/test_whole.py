"""Designs of kernels behind the Zynq's registers and mover, compared with numpy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bnn2fpga.backends.rtl import rtl_project
from bnn2fpga.backends.zynq import TOP, zynq_project
from bnn2fpga.build import open_flow
from bnn2fpga.design.graph import Design, Target
from bnn2fpga.files.project import Project
from bnn2fpga.planning.timing.fifo_depths import size_fifos
from bnn2fpga.tools.openxc7 import OpenXC7
from tests.kernels.designs import conv_net, dense_net, frames_for, outputs_of
from tests.zynq.board import SIZE, Board, has_icarus

pytestmark = pytest.mark.skipif(not has_icarus(), reason="Icarus Verilog (iverilog, vvp) is not installed")


@pytest.mark.parametrize("make", [conv_net, lambda: dense_net((64, 48, 10))], ids=["conv", "dense"])
def test_a_design_on_the_board(make: Callable[[], Design], tmp_path: Path) -> None:
    """Every byte of the answers, the frames and the stalls of every edge."""
    design = size_fifos(make())
    core = rtl_project(design)
    whole = Project({**core.files, **zynq_project(design, core.digest).files})
    board = Board.compile(whole, len(design.edges), tmp_path)
    frames = frames_for(design, 4, 0)
    (answers,) = outputs_of(design, frames)
    data = design.inputs[0].stream.pack(frames).reshape(-1)
    expected = design.outputs[0].stream.pack(answers).reshape(-1)
    board.start(data, 0, expected.size, SIZE // 2)
    board.do("P")
    board.read([0x18, *(0x100 + 4 * index for index in range(len(design.edges)))])
    for gap in (0, 3):
        outcome = board.run(gap=gap)
        assert (outcome.memory[SIZE // 2 :][: expected.size] == expected).all()
        assert [value for _, value in outcome.reads] == [4, *outcome.stalls] and outcome.statuses == [2]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("yosys") is None, reason="yosys is not installed")
def test_the_netlist_for_place_and_route(tmp_path: Path) -> None:
    """With the real yosys: no double outputs, no DSP, and the processing system in it."""
    design = replace(size_fifos(dense_net((64, 48, 10))), target=Target("pynq-z2", "xc7z020clg400-1", 100.0))
    (rtl := tmp_path / "01-rtl").mkdir()
    open_flow.rtl(design, rtl, rtl_project(design, primitives=True))
    netlist = tmp_path / "netlist.json"
    open_flow.synthesize(rtl, TOP, netlist, tmp_path / "yosys.log", OpenXC7())
    cells = {cell["type"] for cell in json.loads(netlist.read_text())["modules"][TOP]["cells"].values()}
    assert {"PS7", "BUFG", "LUT5", "LUT6", "MUXCY", "XORCY"} <= cells
    assert not any(kind.startswith(("DSP", "LUT6_2", "CARRY4", "$")) for kind in cells)
