"""From a folded design to a bitstream with open tools: RTL, yosys, nextpnr, prjxray.

Each function is the action of one step of a build: it fills a fresh folder and reads those of the steps
before it. Logs go beside the steps, since they hold times and differ from run to run.
"""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from bnn2fpga.backends.zynq import LUTS, TOP, zynq_project
from bnn2fpga.boards.board import Board
from bnn2fpga.build.critical_path import CriticalPath
from bnn2fpga.build.kernel_cells import FOLDER as KERNELS
from bnn2fpga.build.kernel_cells import kernel_sources, map_kernels
from bnn2fpga.build.seeds import FOLDER as SEEDS
from bnn2fpga.build.seeds import Placed, Request, best_of_seeds
from bnn2fpga.build.step_runner import needed
from bnn2fpga.design.graph import Design, Target
from bnn2fpga.errors import BuildError, ConfigError
from bnn2fpga.files.project import Project
from bnn2fpga.planning.pool import Pool, open_pool
from bnn2fpga.tools.netlist import Netlist
from bnn2fpga.tools.nextpnr import ROUTED, Routing, lut_places, with_settings
from bnn2fpga.tools.openxc7 import UNTIMED, OpenXC7
from bnn2fpga.tools.prjxray import write_bitstream
from bnn2fpga.tools.yosys import Synthesis, map_gates, map_luts, run_yosys

NETLIST = "netlist.json"
"""yosys' result, below the step `synthesis`."""
MEMORY = 2_500_000_000
"""Bytes that place and route of a full xc7z020 may need."""
CLEAN_LUTS = "techmap -map {luts}; opt_lut_ins; techmap -map +/xilinx/lut_map.v -D LUT_WIDTH=6; clean"
"""Makes LUTs that nextpnr takes, by the map LUTS."""


def rtl(design: Design, folder: Path, core: Project) -> None:
    """The core's files and those of the Zynq around it."""
    around = zynq_project(design, core.digest)
    Project({**core.files, **around.files}).write(folder)


def synthesis(design: Design, folder: Path, tools: OpenXC7) -> None:
    """The netlist, and what it needs of the chip; a BuildError if that is a multiplier."""
    netlist = folder / NETLIST
    found = synthesize(needed(folder, "rtl"), TOP, netlist, folder.parent / "yosys.log", tools)
    if found.dsps:
        raise BuildError(f"{design.name}: yosys made {found.dsps} DSPs; please report this design")
    (folder / "synthesis.json").write_text(json.dumps(found.as_dict(), indent=1) + "\n")


def synthesize(sources: Path, top: str, netlist: Path, log: Path, tools: OpenXC7) -> Synthesis:
    """yosys' synthesis of rtl/*.sv and zynq/*.sv below `sources` into `netlist` (JSON).

    It runs in rtl/, from where the memory files are read: first on each kernel, whose cells are kept beside
    `log`, then on all around them.
    """
    yosys, rtl = tools.tool("yosys"), sources / "rtl"
    kernels = kernel_sources(rtl)
    around = sorted({*sources.glob("*/*.sv")} - {*kernels})
    with TemporaryDirectory(prefix="bnn2fpga-") as name:
        map_kernels(yosys, rtl, log.parent / KERNELS, Path(name), tools.jobs)
        ports = f"read_verilog -sv -lib {' '.join(path.name for path in kernels)}; " if kernels else ""
        cells = "".join(f'read_rtlil -overwrite "{name}/{path.stem}.il"; ' for path in kernels)
        script = (
            f"read_verilog -sv {' '.join(f'../{path.relative_to(sources)}' for path in around)}; {ports}"
            f"{map_gates(top)}; {cells}flatten; {map_luts(top)}; "
            # newer yosys leave buffers with floating bits, for which there is no place
            f"simplemap t:$buf; {CLEAN_LUTS.format(luts=f'../zynq/{LUTS}')}; check -assert; stat; "
            f'write_json "{netlist.absolute()}"'
        )
        return run_yosys(yosys, rtl, script, top, log)


def route(
    design: Design,
    folder: Path,
    tools: OpenXC7,
    on_placed: Callable[[Placed], None] = lambda placed: None,
) -> None:
    """The routed design (FASM), its speed and use of the chip, whatever clock it reaches."""
    target = _target(design)
    netlist = needed(folder, "synthesis") / NETLIST
    fasm, log = folder / f"{design.name}.fasm", folder.parent / "nextpnr.log"
    _, tool = tools.place_and_route_tool()
    tools.chip_database(tool, target.part)
    tools.part(target.part)  # for the next step, which would tell of it late
    enough = target.clock_mhz * (1 + tools.margin_of(tool))
    with _places(tools) as pool:
        stop = None if tools.scheduler else threading.Event()
        content = gzip.compress(with_settings(netlist, tool), 1, mtime=0)
        request = Request(content, target.part, target.clock_mhz, tools, stop)
        result = best_of_seeds(request, enough, pool, folder.parent / SEEDS, fasm, log, on_placed)
    read = Netlist.read(netlist, TOP)
    path = CriticalPath.of(result.slowest, read)
    facts = result.as_dict() | {
        "critical_path": path and path.as_dict() | {"words": str(path)},
        "block_ram_into_logic": read.into_logic("RAMB"),
        "lut_places": lut_places(folder / ROUTED),
    }
    (folder / "route.json").write_text(json.dumps(facts, indent=1) + "\n")


@contextmanager
def _places(tools: OpenXC7) -> Iterator[Pool]:
    """Where seeds are placed and routed: one here, or several at a time."""
    if not tools.effort:
        with open_pool(1) as pool:
            yield pool
        return
    with open_pool(
        None if tools.scheduler else tools.jobs or _at_once(), tools.scheduler, threads=True
    ) as pool:
        yield pool


def _at_once() -> int:
    """How many seeds the cores and the memory of this machine allow."""
    from dask.system import CPU_COUNT
    from distributed.system import MEMORY_LIMIT

    return max(1, min(CPU_COUNT, MEMORY_LIMIT // MEMORY))


def bitstream(design: Design, folder: Path, tools: OpenXC7, clocks_mhz: Sequence[float] = ()) -> Routing:
    """The bitstream, and beside it the register map that a driver needs, with the clock that was reached.

    It is the one asked for or a slower one of `clocks_mhz`; a BuildError where `tools` allows no slower one.
    Gives what it was made of.
    """
    target = _target(design)
    facts = json.loads((needed(folder, "route") / "route.json").read_text())
    routed = Routing.of(facts)
    margin = tools.margin_of(routed.tool)
    clock = routed.clock(design.name, target.clock_mhz, clocks_mhz, margin)
    if tools.strict_clock and clock < target.clock_mhz:
        words = f"; {facts['critical_path']['words']}" if facts["critical_path"] else ""
        raise BuildError(
            f"{design.name}: {routed.missed(target.clock_mhz, margin)}{words}; choose a slower clock, more "
            f"seeds (--effort), or build without strict_clock: the board then runs at {clock:g} MHz"
        )
    fasm = needed(folder, "route") / f"{design.name}.fasm"
    log = folder.parent / "prjxray.log"
    write_bitstream(fasm, target.part, folder / f"{design.name}.bit", log, tools)
    write_registers(folder, clock)
    untimed = UNTIMED[routed.tool]
    if routed.tool == "nextpnr-xilinx":
        untimed += f", of which {facts['block_ram_into_logic'] or 'no'} outputs go to logic before a register"
    timing = {"clock_mhz": clock, "margin": margin, "untimed": untimed}
    (folder / "timing.json").write_text(json.dumps(timing, indent=1) + "\n")
    return routed


def write_registers(folder: Path, clock_mhz: float) -> None:
    """The register map of the step `rtl` with the clock that was reached, beside a bitstream."""
    registers = json.loads((needed(folder, "rtl") / "registers.json").read_text()) | {"clock_mhz": clock_mhz}
    (folder / "registers.json").write_text(json.dumps(registers, indent=1) + "\n")


def check_part(board: Board, option: str, other: str) -> None:
    """A ConfigError unless the files around the core serve the board's part; it names both options."""
    if board.family != "zynq7000":
        raise ConfigError(
            f"board {board.name}: {option} serves the Zynq-7000 (xc7z…), not {board.part}; choose "
            f"another board, or {other}"
        )


def _target(design: Design) -> Target:
    """Part and clock; only for the Zynq-7000, whose processing system the files around the core use."""
    if design.target is None or not design.target.part.startswith("xc7z"):
        part = design.target.part if design.target else "no part"
        raise BuildError(f"{design.name}: is for {part}; the open flow serves the Zynq-7000 (xc7z…)")
    return design.target
