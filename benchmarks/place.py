"""Places and routes a whole network on VTR's model of 7-series chips: the clock that its wires allow.

The chip itself is for AMD's tools, or for openXC7 with its database; this model of it needs neither. `vpr` is
VTR's, on PATH, and `--arch` its file vtr_flow/arch/xilinx/7series_BRAM_DSP_carry.xml.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
from pathlib import Path
from typing import Any

from benchmarks.blif import blif
from benchmarks.chip import NAME, chip
from bnn2fpga import compile
from bnn2fpga.backends.rtl import rtl_project
from bnn2fpga.design.graph import Design
from bnn2fpga.tools.run_tool import call
from bnn2fpga.tools.yosys import find_yosys, synthesize

CELLS = "read_verilog -lib +/xilinx/cells_sim.v +/xilinx/cells_xtra.v; blackbox =A:whitebox"
OPTIONS = {
    "circuit_format": "eblif",
    "device": NAME,
    "sdc_file": "top.sdc",
    "route_chan_width": "190",
    "cluster_router_hot_start": "on",
}
"""The channels' width is the chip's, for which alone the model is made. A hot start keeps the routes in a CLB
that still hold, which takes half the time."""
DENSE = {
    "allow_unrelated_clustering": "on",
    "target_ext_pin_util": "CLB:0.9,0.8",
    "appack_max_dist_th": "CLB:0.2,30",
    "appack_unrelated_clustering_args": "CLB:15,30",
}
"""More for a full chip: what has nothing in common shares a CLB, from farther away, with most pins used."""


def flat_module(netlist: Path, name: str) -> dict[str, Any]:
    """The netlist's module in yosys' JSON."""
    flat = netlist.with_suffix(".json")
    script = f"{CELLS}; read_verilog {netlist.name}; write_json {flat.name}"
    call([find_yosys(), "-q", "-p", script], netlist.parent, netlist.with_name("json.log"))
    modules: dict[str, dict[str, Any]] = json.loads(flat.read_text())["modules"]
    return modules[name]


def place(design: Design, architecture: str, vpr: str, dense: bool, folder: Path) -> None:
    """Synthesis, place and route in `folder`; a synthesis that is there is not repeated."""
    (folder / "arch.xml").write_text(architecture)
    netlist = folder / "netlist.v"
    if not netlist.is_file():
        rtl_project(design, primitives=True).write(folder)
        synthesize(folder / "rtl", design.name, folder)
    (folder / "top.blif").write_text(blif(flat_module(netlist, design.name)))
    (folder / "top.sdc").write_text("create_clock -period 0 clk\n")
    command = [vpr, "arch.xml", "top.blif"]
    for option, value in (OPTIONS | DENSE if dense else OPTIONS).items():
        command += [f"--{option}", value]
    for what in ("dangling_primary_ios", "dangling_nets", "dangling_blocks", "constant_primary_outputs"):
        command += [f"--sweep_{what}", "off"]
    text = call(command, folder, folder / "vpr.log")
    for pattern in (r"Final critical path delay.*", r"^ +(?:CLB|memory) +: \d+$", r"^Total wirelength.*"):
        for line in re.findall(pattern, text, re.MULTILINE):
            print(line.strip())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.place", description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--fps", type=float, help="left out, as fast as the board allows")
    parser.add_argument("--clock", type=float, help="in MHz, of the plan; the board's default if left out")
    parser.add_argument("--dense", action="store_true", help="for a full chip; slower, also in its clock")
    parser.add_argument("--arch", type=Path, required=True, help="7series_BRAM_DSP_carry.xml")
    parser.add_argument("--folder", type=Path, default=Path("place"))
    arguments = parser.parse_args()
    vpr = shutil.which("vpr")
    if vpr is None:
        raise SystemExit("vpr is not on PATH; it is part of VTR, https://verilogtorouting.org")
    if not arguments.arch.is_file():
        parser.error(f"{arguments.arch}: no such file; it is part of VTR, as vpr is")
    architecture = chip(arguments.arch.read_text())
    design = compile(arguments.model, fps=arguments.fps, clock_mhz=arguments.clock)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    place(design, architecture, vpr, arguments.dense, arguments.folder.resolve())


if __name__ == "__main__":
    main()
