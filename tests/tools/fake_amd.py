"""Stand-ins for Vitis HLS and Vivado: they run the scripts they get in a real Tcl interpreter.

The vendor's commands are Python functions that keep track of the project: sources must exist, cells and
pins must be there, every input must be driven, nothing is synthesized. Files are written where the real tools
write them. Pin names are those of the IP's product guides (PG021, PG082, PG085, PG164, PG201, PG247).

As a program:  fake_amd.py TOOL FOLDER ARGUMENTS…   FOLDER holds `version`, `fault`, and gets TOOL.json.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.tools.fake_files import BlockDesign, bit_file

PINS = {
    "processing_system7": "M_AXI_GP0_ACLK S_AXI_HP0_ACLK >FCLK_CLK0 >FCLK_RESET0_N =M_AXI_GP0 =S_AXI_HP0",
    "zynq_ultra_ps_e": "maxihpm0_fpd_aclk saxihp0_fpd_aclk >pl_clk0 >pl_resetn0 "
    "=M_AXI_HPM0_FPD =S_AXI_HP0_FPD",
    "axi_dma": "s_axi_lite_aclk m_axi_mm2s_aclk m_axi_s2mm_aclk axi_resetn "
    "=S_AXI_LITE =M_AXI_MM2S =M_AXI_S2MM =M_AXIS_MM2S =S_AXIS_S2MM",
    "axis_dwidth_converter": "aclk aresetn =S_AXIS =M_AXIS",
    "proc_sys_reset": "slowest_sync_clk ext_reset_in >peripheral_aresetn",
    "core": "ap_clk ap_rst_n =s_axis0 =m_axis0",
}
"""Pins by IP: inputs, > outputs, = interfaces."""
USED = {
    "processing_system7": ("PCW_USE_M_AXI_GP0", "PCW_USE_S_AXI_HP0"),
    "zynq_ultra_ps_e": ("PSU__USE__M_AXI_GP0", "PSU__USE__S_AXI_GP2"),
}
"""Properties without which an interface of the processor is not there."""

FAULTS = {
    "synthesis": "ERROR: [Synth 8-439] module 'tiny_mul' not found",
    "license": "ERROR: [Common 17-345] A valid license was not found for feature 'Synthesis'",
}
"""What Vivado's synthesis may say."""

CSYNTH = """<profile><PerformanceEstimates>
<SummaryOfTimingAnalysis><unit>ns</unit><EstimatedClockPeriod>6.912</EstimatedClockPeriod></SummaryOfTimingAnalysis>
<SummaryOfOverallLatency><Worst-caseLatency>undef</Worst-caseLatency><Interval-max>640</Interval-max>
</SummaryOfOverallLatency></PerformanceEstimates><AreaEstimates><Resources>
<BRAM_18K>5</BRAM_18K><FF>1702</FF><LUT>1401</LUT><URAM>0</URAM><DSP>0</DSP></Resources></AreaEstimates></profile>
"""

TIMING = """\
| Design Timing Summary
| ---------------------

    WNS(ns)      TNS(ns)  TNS Failing Endpoints  TNS Total Endpoints      WHS(ns)      THS(ns)  \
THS Failing Endpoints  THS Total Endpoints     WPWS(ns)     TPWS(ns)  TPWS Failing Endpoints  \
TPWS Total Endpoints  
    -------      -------  ---------------------  -------------------      -------      -------  \
---------------------  -------------------     --------     --------  ----------------------  \
--------------------  
      {setup}        {total}                     {failing}                20973        0.031        0.000  \
                    0                20973        3.750        0.000                       0  \
                8570  

| Clock Summary
Max Delay Paths
--------------------------------------------------------------------------------------
Slack ({verdict}) :       {setup}ns  (required time - arrival time)
  Source:                 system_i/core/inst/fc0_U0/sum_reg[3]/C
                            (rising edge-triggered cell FDRE clocked by clk_fpga_0  {{rise@0.000ns fall@5.000ns period=10.000ns}})
  Destination:            system_i/core/inst/fc0_U0/out_reg[0]/D
                            (rising edge-triggered cell FDRE clocked by clk_fpga_0  {{rise@0.000ns fall@5.000ns period=10.000ns}})
  Path Group:             clk_fpga_0
  Path Type:              Setup (Max at Slow Process Corner)
  Requirement:            10.000ns  (clk_fpga_0 rise@10.000ns - clk_fpga_0 rise@0.000ns)

Min Delay Paths
--------------------------------------------------------------------------------------
Slack (MET) :             0.031ns  (arrival time - required time)
  Source:                 system_i/dma/U0/a_reg/C
                            (rising edge-triggered cell FDRE clocked by clk_fpga_0)
  Destination:            system_i/dma/U0/b_reg/D
  Path Group:             clk_fpga_0
  Path Type:              Hold (Min at Fast Process Corner)
"""  # noqa: E501, W291

UTILIZATION = """\
1. Slice Logic
+----------------------------+------+-------+------------+-----------+-------+
|          Site Type         | Used | Fixed | Prohibited | Available | Util% |
+----------------------------+------+-------+------------+-----------+-------+
| Slice LUTs                 | 5112 |     0 |          0 |     53200 |  9.61 |
|   LUT as Logic             | 4711 |     0 |          0 |     53200 |  8.86 |
|   LUT as Memory            |  401 |     0 |          0 |     17400 |  2.30 |
|     LUT as Shift Register  |  200 |     0 |            |           |       |
| Slice Registers            | 7023 |     0 |          0 |    106400 |  6.60 |
+----------------------------+------+-------+------------+-----------+-------+
3. Memory
+-------------------+------+-------+------------+-----------+-------+
|     Site Type     | Used | Fixed | Prohibited | Available | Util% |
+-------------------+------+-------+------------+-----------+-------+
| Block RAM Tile    |  4.5 |     0 |          0 |       140 |  3.21 |
|   RAMB36/FIFO*    |    2 |     0 |          0 |       140 |  1.43 |
+-------------------+------+-------+------------+-----------+-------+
4. DSP
+-----------+------+-------+------------+-----------+-------+
| Site Type | Used | Fixed | Prohibited | Available | Util% |
+-----------+------+-------+------------+-----------+-------+
| DSPs      |    0 |     0 |          0 |       220 |  0.00 |
+-----------+------+-------+------------+-----------+-------+
"""


class RefusalError(Exception):
    """What a command of the vendor's refuses."""


def options(arguments: tuple[str, ...], *flags: str) -> tuple[list[str], dict[str, str]]:
    """Plain arguments, and options with their values; `flags` have none."""
    plain: list[str] = []
    named: dict[str, str] = {}
    rest = iter(arguments)
    for argument in rest:
        if argument in flags:
            named[argument] = "1"
        elif argument.startswith("-"):
            named[argument] = next(rest)
        else:
            plain.append(argument)
    return plain, named


class Tcl:
    """An interpreter with commands of a vendor's; methods `tcl_NAME` are the commands."""

    def __init__(self, folder: Path, fault: str = "") -> None:
        import tkinter

        self.folder, self.fault, self.tcl = folder, fault, tkinter.Tcl()
        for method in dir(self):
            if method.startswith("tcl_"):
                name = method.removeprefix("tcl_")
                self.tcl.createcommand(method, self.checked(getattr(self, method)))
                # what Python raises has no message in Tcl
                body = f"lassign [{method} {{*}}$args] bad text; if {{$bad}} {{error $text}}; return $text"
                self.tcl.eval(f"proc {name} args {{{body}}}")

    def checked(self, command: Callable[..., str | None]) -> Callable[..., tuple[int, str]]:
        def call(*arguments: str) -> tuple[int, str]:
            try:
                return 0, command(*arguments) or ""
            except RefusalError as fault:
                return 1, str(fault)

        return call

    def split(self, text: str) -> list[str]:
        return [str(item) for item in self.tcl.splitlist(text)]

    def run(self, script: str, *arguments: str) -> None:
        """Raises tkinter.TclError with the message of what went wrong, unless the script says exit."""
        self.tcl.setvar("argv", arguments)
        self.tcl.eval(script)


class Hls(Tcl):
    """vitis_hls: project, solution, part, clock."""

    facts: dict[str, Any]

    def __init__(self, folder: Path, fault: str = "") -> None:
        self.facts = {"sources": []}
        super().__init__(folder, fault)

    def tcl_open_project(self, *arguments: str) -> None:
        (name,), _ = options(arguments, "-reset")
        self.project = self.folder / name

    def tcl_set_top(self, name: str) -> None:
        self.facts["top"] = name

    def tcl_add_files(self, *arguments: str) -> None:
        (name,), _ = options(arguments, "-tb")
        if not (self.folder / name).is_file():
            raise RefusalError(f"ERROR: [HLS 200-642] The source file {name} does not exist")
        self.facts["sources"].append(name)

    def tcl_open_solution(self, *arguments: str) -> None:
        (name,), self.facts["solution"] = options(arguments, "-reset")
        self.solution = self.project / name

    def tcl_set_part(self, part: str) -> None:
        self.facts["part"] = part

    def tcl_create_clock(self, *arguments: str) -> None:
        self.facts["clock"] = options(arguments)[1]

    def tcl_csynth_design(self) -> None:
        if not {"top", "part", "clock"} <= set(self.facts):
            raise RefusalError("ERROR: [HLS 200-70] no top, part or clock")
        if f"void {self.facts['top']}(" not in (self.folder / "top.cpp").read_text():
            raise RefusalError("ERROR: [HLS 200-1715] cannot find the top function")
        report = self.solution / "syn/report/csynth.xml"
        report.parent.mkdir(parents=True)
        report.write_text(CSYNTH)

    def tcl_export_design(self, *arguments: str) -> None:
        if self.fault == "y2k22":
            raise RefusalError("ERROR: '2211240734' is an invalid argument. Please specify an integer value.")
        if options(arguments)[1]["-format"] != "ip_catalog":
            raise RefusalError("ERROR: [IMPL 213-28] unknown format")
        write_ip(self.solution / "impl/ip", self.facts["top"])

    def tcl_exit(self, *code: str) -> None:
        pass  # the last command of the script


def write_ip(folder: Path, top: str) -> None:
    folder.mkdir(parents=True)
    (folder / "component.xml").write_text(f"<name>{top}</name>\n")


class Vivado(Tcl):
    """vivado: a project, a block design whose wires are checked, one run; or no project at all."""

    def __init__(self, folder: Path, fault: str = "") -> None:
        self.cells: dict[str, str] = {}
        self.properties: dict[str, dict[str, str]] = {}
        self.drivers: dict[str, str] = {}
        self.interfaces: dict[str, str] = {}
        self.facts: dict[str, Any] = {}
        self.validated = False
        self.sources: list[Path] = []
        self.memories: list[str] = []
        self.constraints: list[Path] = []
        self.stage = ""
        super().__init__(folder, fault)

    # project

    def tcl_create_project(self, *arguments: str) -> None:
        (self.name, place), named = options(arguments, "-force")
        self.facts["part"] = named["-part"]
        self.project = self.folder / place
        self.project.mkdir()

    def tcl_current_project(self) -> str:
        return "PROJECT"

    def tcl_current_fileset(self) -> str:
        return "FILESET"

    def tcl_update_ip_catalog(self) -> None:
        catalog = Path(self.properties["PROJECT"]["ip_repo_paths"])
        self.core = (catalog / "component.xml").read_text().removeprefix("<name>").split("<")[0]

    def tcl_config_ip_cache(self, *arguments: str) -> None:
        self.facts["cache"] = options(arguments)[1]["-use_cache_location"]

    def tcl_set_property(self, *arguments: str) -> None:
        plain, named = options(arguments)
        pairs = self.split(named["-dict"]) if named else plain[:2]
        target = self.properties.setdefault(plain[-1], {})
        for name, value in zip(pairs[::2], pairs[1::2], strict=True):
            if target.setdefault(name, value) != value:
                raise RefusalError(f"ERROR: [Common 17-69] {name} is set twice")

    # block design

    def tcl_create_bd_design(self, name: str) -> None:
        self.facts["design"] = name

    def tcl_create_bd_cell(self, *arguments: str) -> str:
        (name,), named = options(arguments)
        library, ip = named["-vlnv"].split(":")[1:3]
        if library == "hls" and ip != self.core:
            raise RefusalError(f"ERROR: [BD 5-216] VLNV <{named['-vlnv']}> is not supported for this version")
        if name in self.cells:
            raise RefusalError(f"ERROR: [BD 41-2] {name} exists")
        self.cells[name] = "core" if library == "hls" else ip
        self.facts.setdefault("vlnv", {})[name] = named["-vlnv"]
        return name

    def tcl_apply_bd_automation(self, *arguments: str) -> None:
        (cell,), named = options(arguments)
        self.facts["automation"] = [cell, named["-rule"], self.split(named["-config"])]

    def pins(self, cell: str) -> list[str]:
        ip = self.cells[cell]
        if ip != "smartconnect":
            return PINS[ip].split()
        settings = self.properties[cell]
        buses = [f"=S{n:02}_AXI" for n in range(int(settings["CONFIG.NUM_SI"]))]
        return ["aclk", "aresetn", *buses, *(f"=M{n:02}_AXI" for n in range(int(settings["CONFIG.NUM_MI"])))]

    def pin(self, path: str, marks: tuple[str, ...]) -> str:
        cell, _, name = path.partition("/")
        if cell not in self.cells or not any(mark + name in self.pins(cell) for mark in marks):
            raise RefusalError(f"ERROR: [BD 5-106] No pins matched '{path}'")
        return path

    def tcl_get_bd_cells(self, name: str) -> str:
        if name not in self.cells:
            raise RefusalError(f"ERROR: [BD 5-106] No cells matched '{name}'")
        return name

    def tcl_get_bd_pins(self, path: str) -> str:
        return self.pin(path, ("", ">"))

    def tcl_get_bd_intf_pins(self, path: str) -> str:
        return self.pin(path, ("=",))

    def tcl_connect_bd_net(self, driver: str, sink: str) -> None:
        self.pin(driver, (">",))
        self.pin(sink, ("",))
        if self.drivers.setdefault(sink, driver) != driver:
            raise RefusalError(f"ERROR: [BD 41-1] {sink} has two drivers")

    def tcl_connect_bd_intf_net(self, master: str, slave: str) -> None:
        if not master.split("/")[1].upper().startswith("M") or not slave.split("/")[1].upper().startswith(
            "S"
        ):
            raise RefusalError(f"ERROR: [BD 5-335] {master} to {slave}: not from a master to a slave")
        for one, other in ((master, slave), (slave, master)):
            if self.interfaces.setdefault(one, other) != other:
                raise RefusalError(f"ERROR: [BD 41-171] {one} is connected twice")

    def tcl_assign_bd_address(self) -> None:
        self.facts["addresses"] = True

    def tcl_validate_bd_design(self) -> None:
        for cell, ip in self.cells.items():
            for needed in USED.get(ip, ()):
                if self.properties[cell].get(f"CONFIG.{needed}") != "1":
                    raise RefusalError(f"ERROR: [BD 41-758] {needed} is off")
            for pin in self.pins(cell):
                path = f"{cell}/{pin.lstrip('=')}"
                loose = path not in (self.interfaces if pin.startswith("=") else self.drivers)
                if loose and not pin.startswith(">"):
                    raise RefusalError(f"ERROR: [BD 41-758] {path} is not connected")
        self.validated = "addresses" in self.facts

    def tcl_save_bd_design(self) -> None:
        if not self.validated:
            raise RefusalError("ERROR: saved before it was valid")
        handoff = self.project / f"{self.name}.gen/sources_1/bd/{self.facts['design']}/hw_handoff"
        handoff.mkdir(parents=True)
        drawn = BlockDesign(
            self.facts["design"],
            self.facts["part"],
            self.cells,
            self.facts["vlnv"],
            self.properties,
            self.interfaces,
        )
        (handoff / f"{self.facts['design']}.hwh").write_text(drawn.handoff())

    # implementation

    def tcl_get_files(self, name: str) -> str:
        if name != f"{self.facts['design']}.bd":
            raise RefusalError(f"ERROR: no file {name}")
        return name

    def tcl_make_wrapper(self, *arguments: str) -> str:
        _, named = options(arguments, "-top")
        return str(self.project / f"{named['-files'].removesuffix('.bd')}_wrapper.v")

    def tcl_add_files(self, *arguments: str) -> None:
        _, self.facts["added"] = options(arguments)

    def tcl_update_compile_order(self, *arguments: str) -> None:
        pass

    def tcl_launch_runs(self, *arguments: str) -> None:
        (run,), named = options(arguments)
        self.facts["jobs"] = named["-jobs"]
        if run != "impl_1" or named["-to_step"] != "write_bitstream":
            raise RefusalError("ERROR: no bitstream asked for")
        top = self.properties["FILESET"]["top"]
        folder = self.project / f"{self.name}.runs"
        for each in ("synth_1", run):
            (folder / each).mkdir(parents=True)
        if self.failing():
            (folder / "synth_1/runme.log").write_text(f"INFO: x\n{FAULTS[self.fault]}\n")
        else:
            bits = bit_file(top, self.facts["part"], f"bits of {self.core}".ljust(64).encode())
            (folder / run / f"{top}.bit").write_bytes(bits)

    def tcl_wait_on_run(self, run: str) -> None:
        if self.failing():
            raise RefusalError("ERROR: [Common 17-39] 'wait_on_run' failed due to earlier errors.")

    def failing(self) -> bool:
        return self.fault in FAULTS

    def tcl_get_runs(self, run: str = "") -> str:
        return run or "synth_1 impl_1"

    def tcl_get_property(self, name: str, run: str) -> str:
        if name == "DIRECTORY":
            return str(self.project / f"{self.name}.runs" / run)
        values = ("0%", "Not started") if self.failing() else ("100%", "write_bitstream Complete!")
        return values[("PROGRESS", "STATUS").index(name)]

    def tcl_open_run(self, run: str) -> None:
        self.facts["opened"] = run

    def tcl_report_timing_summary(self, *arguments: str) -> None:
        late = self.fault == "timing"
        values = ("VIOLATED", "-0.333", "-13.146", 57) if late else ("MET", "1.204", "0.000", 0)
        text = TIMING.format(**dict(zip(("verdict", "setup", "total", "failing"), values, strict=True)))
        self.report(arguments, text)

    def tcl_report_utilization(self, *arguments: str) -> None:
        dsps = "|    3 |" if self.fault == "dsp" else "|    0 |"
        self.report(arguments, UTILIZATION.replace("| DSPs      |    0 |", f"| DSPs      {dsps}"))

    def report(self, arguments: tuple[str, ...], text: str) -> None:
        if self.facts.get("opened") != "impl_1" and self.stage != "route_design":
            raise RefusalError("ERROR: [Common 17-53] no open design")
        (self.folder / options(arguments)[1]["-file"]).write_text(text)

    # without a project: sources, constraints, one command after the other

    def tcl_read_verilog(self, *arguments: str) -> None:
        (names,), _ = options(arguments, "-sv")
        for name in self.split(names):
            if not Path(name).is_file():
                raise RefusalError(f"ERROR: [Common 17-55] no such file {name}")
            self.sources.append(Path(name).absolute())

    def tcl_read_mem(self, names: str) -> None:
        self.memories += self.split(names)

    def tcl_read_xdc(self, name: str) -> None:
        self.constraints.append(Path(name).absolute())

    def tcl_synth_design(self, *arguments: str) -> None:
        _, self.facts["synth"] = options(arguments)
        text = "\n".join(path.read_text() for path in self.sources)
        modules = re.findall(r"^module (\w+)", text, re.M)
        top = self.facts["synth"]["-top"]
        if modules.count(top) != 1 or len(set(modules)) < len(modules):
            raise RefusalError(f"ERROR: [Synth 8-439] module '{top}' not found, or a module is there twice")
        for name in re.findall(r'\$readmemh\("([^"]+)"', text):
            if name not in self.memories or not Path(name).is_file():
                raise RefusalError(f"ERROR: [Synth 8-4445] could not open $readmem data file '{name}'")
        if self.failing():
            raise RefusalError(FAULTS[self.fault])
        self.facts["sources"] = [f"{path.parent.name}/{path.name}" for path in self.sources]
        self.ps7 = re.findall(r"^ *PS7 (\w+) \(", text, re.M) if self.fault != "dropped" else []
        self.stage, self.facts["clocks"] = "synth_design", {}
        for path in self.constraints:
            self.tcl.eval(path.read_text())

    def tcl_get_cells(self, *arguments: str) -> str:
        _, named = options(arguments, "-quiet", "-hierarchical")
        return " ".join(self.ps7) if named["-filter"] == "REF_NAME == PS7" else ""

    def tcl_get_pins(self, path: str) -> str:
        cell, _, pin = path.partition("/")
        if cell in self.ps7 and pin not in [f"FCLKCLK[{number}]" for number in range(4)]:
            raise RefusalError(f"ERROR: [Vivado 12-508] no pins matched '{path}'")
        return path if cell in self.ps7 else ""

    def tcl_create_clock(self, *arguments: str) -> None:
        (pin,), named = options(arguments)
        self.facts["clocks"] = {named["-name"]: [named["-period"], pin]} if pin else {}

    def tcl_set_input_jitter(self, clock: str, ns: str) -> None:
        self.facts["jitter"] = [clock, ns]

    def tcl_get_clocks(self, *arguments: str) -> str:
        (name,), _ = options(arguments, "-quiet")
        return name if name in self.facts["clocks"] else ""

    def after(self, before: str, name: str) -> None:
        """One stage follows on another."""
        if self.stage != before:
            raise RefusalError(f"ERROR: [Common 17-53] {name} after {self.stage or 'nothing'}, not {before}")
        self.stage = name

    def tcl_opt_design(self) -> None:
        self.after("synth_design", "opt_design")

    def tcl_place_design(self) -> None:
        self.after("opt_design", "place_design")

    def tcl_phys_opt_design(self) -> None:
        self.after("place_design", "phys_opt_design")

    def tcl_route_design(self) -> None:
        self.after("phys_opt_design", "route_design")

    def tcl_write_bitstream(self, *arguments: str) -> None:
        (name,), _ = options(arguments, "-force")
        self.after("route_design", "write_bitstream")
        synth = self.facts["synth"]
        bits = bit_file(
            synth["-top"], synth["-part"], f"bits of {len(self.sources)} sources".ljust(64).encode()
        )
        (self.folder / name).write_bytes(bits)


def read_cfg(text: str) -> dict[str, str]:
    """The settings of a configuration file of v++."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))


def compile_cfg(folder: Path, arguments: dict[str, str]) -> dict[str, Any]:
    """v++ -c --mode hls: synthesis and packaging in one."""
    settings = read_cfg((folder / arguments["--config"]).read_text())
    if not (folder / settings["syn.file"]).is_file() or settings["package.output.syn"] != "true":
        raise RefusalError("ERROR: [v++ 60-602] source file does not exist")
    work = folder / arguments["--work_dir"] / "hls"
    (work / "syn/report").mkdir(parents=True)
    (work / "syn/report/csynth.xml").write_text(CSYNTH)
    write_ip(work / "impl/ip", settings["syn.top"])
    return settings


def early(fault: str) -> None:
    """Refusals that need no script."""
    if fault == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "parent":
        os.kill(os.getppid(), signal.SIGKILL)
        sys.exit(1)
    if fault == "disk":
        print("couldn't write: No space left on device")
        sys.exit(1)
    if fault == "quiet":
        print("ERROR: [HLS 200-1] said, and exit code 0")
        sys.exit(0)


def main(tool: str, state: Path, *arguments: str) -> None:
    if "version" in arguments[0]:
        print((state / "version").read_text())
        return
    fault = (state / "fault").read_text() if (state / "fault").exists() else ""
    tool_of_fault, _, fault = fault.partition(" ")
    fault = fault if tool_of_fault == tool else ""
    early(fault)
    _, named = options(arguments, "-c", "-nojournal", "-nolog", "-notrace")
    folder = Path.cwd()
    try:
        if tool == "v++":
            facts = compile_cfg(folder, named)
        elif tool == "vivado":
            vivado = Vivado(folder, fault)
            place = arguments.index("-tclargs") + 1 if "-tclargs" in arguments else len(arguments)
            vivado.run(Path(named["-source"]).read_text(), *arguments[place:])
            facts = vivado.facts
        else:
            hls = Hls(folder, fault)
            hls.run((folder / named["-f" if tool == "vitis_hls" else "--tcl"]).read_text())
            facts = hls.facts
    except Exception as error:
        text = str(error)
        print(text if text.startswith("ERROR") else f"ERROR: {text}")
        sys.exit(1)
    (state / f"{tool}.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
