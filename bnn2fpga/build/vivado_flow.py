"""From an HLS project to a bitstream with AMD's tools: Vitis HLS, then Vivado.

Each function is the action of one step of a build: it fills a fresh folder and reads those of the steps
before it. Logs and reports go beside the steps, since they hold times and differ from run to run.
"""

from __future__ import annotations

import json
from pathlib import Path

from bnn2fpga.backends.block_design import block_design
from bnn2fpga.boards.board import Board
from bnn2fpga.build.step_runner import needed
from bnn2fpga.design.graph import Design
from bnn2fpga.tools.amd import Vivado
from bnn2fpga.tools.vitis_hls import synthesize
from bnn2fpga.tools.vivado import implement


def hls_synthesis(design: Design, folder: Path, board: Board, tools: Vivado) -> None:
    """The IP core in ip/, and what HLS estimates, in hls.json.

    What the next step would refuse is refused here, before the tool's long run.
    """
    assert design.target is not None
    block_design(design, board, design.target.clock_mhz)
    hls, _ = tools.find_hls(), tools.find_vivado()
    log = folder.parent / "vitis_hls.log"
    estimate = synthesize(needed(folder, "hls"), folder / "ip", log, hls, design.name)
    (folder / "hls.json").write_text(json.dumps(estimate.as_dict(), indent=1) + "\n")


def implementation(design: Design, folder: Path, board: Board, tools: Vivado) -> None:
    """NAME.bit and NAME.hwh, their script, and implementation.json; a BuildError if a clock is missed."""
    assert design.target is not None
    script = folder / "vivado.tcl"
    script.write_text(block_design(design, board, design.target.clock_mhz))
    ip = needed(folder, "hls-synthesis") / "ip"
    made = implement(script, ip, folder / f"{design.name}.bit", folder.parent, tools, design.name)
    made.check(design.name, design.target.clock_mhz)
    (folder / "implementation.json").write_text(json.dumps(made.as_dict(), indent=1) + "\n")
