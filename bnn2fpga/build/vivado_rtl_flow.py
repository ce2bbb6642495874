"""From SystemVerilog to a bitstream with Vivado alone: no Vitis HLS, no block design, no vendor's IP.

The RTL, the Zynq around it and the register map are those of the open flow. Each function is the action of
one step of a build: it fills a fresh folder and reads those of the steps before it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from bnn2fpga.backends.zynq_vivado import vivado_script
from bnn2fpga.build.open_flow import write_registers
from bnn2fpga.build.step_runner import needed
from bnn2fpga.design.graph import Design
from bnn2fpga.errors import BuildError
from bnn2fpga.tools.amd import Vivado
from bnn2fpga.tools.vivado import Implementation, implement_rtl


def implementation(design: Design, folder: Path, tools: Vivado) -> None:
    """NAME.bit, its script, and implementation.json, whatever clock was reached; a BuildError for a DSP."""
    assert design.target is not None
    script = folder / "vivado.tcl"
    script.write_text(vivado_script(design.target.part, design.target.clock_mhz))
    bit = folder / f"{design.name}.bit"
    made = implement_rtl(script, needed(folder, "rtl"), bit, folder.parent, tools, design.name)
    if dsps := made.used["dsps"][0]:
        raise BuildError(f"{design.name}: Vivado made {dsps:g} DSPs; please report this design")
    (folder / "implementation.json").write_text(json.dumps(made.as_dict(), indent=1) + "\n")


def bitstream(design: Design, folder: Path, tools: Vivado, clocks_mhz: Sequence[float]) -> None:
    """The bitstream, and beside it the register map that a driver needs, with the clock that was reached.

    It is the one asked for or a slower one of `clocks_mhz`; a BuildError where `tools` allows no slower one.
    """
    assert design.target is not None
    asked, routed = design.target.clock_mhz, needed(folder, "implementation")
    facts = json.loads((routed / "implementation.json").read_text())
    made = Implementation.of(facts, folder.parent / "vivado-timing.rpt")
    clock = made.clock(design.name, asked, clocks_mhz)
    if tools.strict_clock and clock < asked:
        raise BuildError(
            f"{design.name}: {made.timing.missed(asked)}; choose a slower clock (--clock), a smaller folding "
            f"(--fps), or build without strict_clock: the board then runs at {clock:g} MHz; the report is "
            f"{made.report}"
        )
    shutil.copyfile(routed / f"{design.name}.bit", folder / f"{design.name}.bit")
    write_registers(folder, clock)
