"""yosys: synthesizes the generated SystemVerilog for 7-series chips, and counts what it needs."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bnn2fpga.errors import ToolError
from bnn2fpga.tools.run_tool import call

FAULTS = re.compile(r"(?<!No )[Ll]atch inferred|multiple conflicting drivers|unmapped|used but has no driver")
"""Lines of the log that a correct design does not cause."""
LUTS = ("LUT1", "LUT2", "LUT3", "LUT4", "LUT5", "LUT6", "LUT6_2")
MEMORY_LUTS = {
    "RAM32M": 4, "RAM64M": 4, "RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1D": 4, "SRL16E": 1, "SRLC32E": 1
}  # fmt: skip
"""LUT sites of a cell of LUT RAM (UG474)."""
LUT_RAM = (
    "memory_libmap -logic-cost-rom 0.015625 -lib +/xilinx/lutrams_xc5v.txt; "
    "techmap -map +/xilinx/lutrams_xc5v_map.v"
)
"""What synth_xilinx does from map_memory to map_ffram, without block RAM."""
TIMING = "read_verilog -overwrite -specify -lib +/xilinx/cells_sim.v; sta"
"""Prints the longest path through the cells of a flat netlist."""


def find_yosys() -> str:
    """The path of yosys; a ToolError says how to get it."""
    path = shutil.which("yosys")
    if path is None:
        raise ToolError("yosys is not on PATH; it synthesizes the RTL (Debian, Ubuntu: apt install yosys)")
    return path


def cell_models() -> Path:
    """yosys' simulation models of the chip's cells, without block RAM."""
    path = Path(find_yosys()).resolve().parent.parent / "share/yosys/xilinx/cells_sim.v"
    if not path.is_file():
        raise ToolError(f"{path}: yosys' models of the cells are missing; install yosys whole")
    return path


@dataclass(frozen=True)
class Synthesis:
    """What a netlist needs of a chip.

    `luts` counts LUT sites: a LUT1 to LUT6, or a LUT6_2 with its two outputs, is one; yosys does not pack two
    small LUTs into one site, as place and route does. `lutram_luts`, of memories and shift registers, come
    on top. `bram36` counts in halves.
    """

    cells: Mapping[str, int]
    tool: str = "yosys"
    """With its version, where the log tells it."""
    path_ns: float | None = None
    """The longest path through cells, nanoseconds, where TIMING was run. Wires come on top."""

    @classmethod
    def read(cls, log: str) -> Synthesis:
        """From what yosys' commands `stat`, the last time, and `sta` print into a log."""
        last = log.rpartition("Printing statistics")[2]
        counted = re.findall(r"^ +([A-Z]\w+) +(\d+)$", last, re.MULTILINE)
        banner = re.search(r"^ *(Yosys \d[\w.+-]*)", log, re.MULTILINE)
        path = re.search(r"^Latest arrival time in .* is (\d+)", log, re.MULTILINE)
        return cls(
            {name: int(count) for name, count in counted},
            banner[1] if banner else "yosys",
            int(path[1]) / 1000 if path else None,
        )

    def as_dict(self) -> dict[str, float | str]:
        """The tool and the sums, for JSON."""
        names = ("tool", "luts", "lutram_luts", "flipflops", "bram36", "carry4", "dsps")
        return {name: getattr(self, name) for name in names}

    @property
    def luts(self) -> int:
        """LUT sites of logic."""
        return sum(self.cells.get(name, 0) for name in LUTS)

    @property
    def lutram_luts(self) -> int:
        """LUT sites of memories and shift registers."""
        return sum(sites * self.cells.get(name, 0) for name, sites in MEMORY_LUTS.items())

    @property
    def flipflops(self) -> int:
        """Registers of all kinds."""
        return sum(count for name, count in self.cells.items() if name.startswith("FD"))

    @property
    def bram36(self) -> float:
        """Block RAM."""
        return self.cells.get("RAMB36E1", 0) + self.cells.get("RAMB18E1", 0) / 2

    @property
    def carry4(self) -> int:
        """Carry chains of four bits; of single lanes, as the open flow has them, four are one."""
        return self.cells.get("CARRY4", 0) + -(-self.cells.get("MUXCY", 0) // 4)

    @property
    def dsps(self) -> int:
        """Multipliers, of which there must be none."""
        return self.cells.get("DSP48E1", 0)


def synthesize(sources: Path, top: str, folder: Path, block_ram: bool = True) -> Synthesis:
    """Synthesizes module `top` of sources/*.sv; leaves netlist.v and yosys.log in `folder`.

    Memory files are read from `sources`. Without `block_ram` memories are of LUTs, as yosys has no model of
    block RAM to simulate the netlist with. Raises what `run_yosys` does.
    """
    names, folder = sorted(path.name for path in sources.glob("*.sv")), folder.resolve()
    style = "" if block_ram else "setattr -unset ram_style */m:*; "
    script = (
        f"read_verilog -sv {' '.join(names)}; {style}{map_gates(top, block_ram)}; {map_luts(top)}; "
        f'write_verilog -noattr "{folder / "netlist.v"}"; {TIMING}'
    )
    return run_yosys(find_yosys(), sources, script, top, folder / "yosys.log")


def map_gates(top: str, block_ram: bool = True) -> str:
    """The commands that make memories, carry chains and gates of `top`, of what was read, flat.

    Without `block_ram` memories are of LUTs, and yosys does not read its map of block RAM, which takes two
    seconds.
    """
    memories = "" if block_ram else f":map_memory; {LUT_RAM}; {_flow(top)} map_ffram"
    return f"{_flow(top)} {memories}:map_luts"


def map_luts(top: str) -> str:
    """The commands that make LUTs of the gates of `top`, without hierarchy, check and count them."""
    # flip-flops whose enable is inverted have an inverter each; unmerged, each becomes a LUT
    return f"opt_merge; opt_clean; {_flow(top)} map_luts:; check -assert; stat"


def _flow(top: str) -> str:
    """yosys' script for 7-series chips, of which a part is run; without pads, DSPs, wide multiplexers, SRLs.

    nextpnr-xilinx takes no MUXF7 and MUXF8 of some shapes. yosys 0.23 makes shift registers (SRL16E) that
    shift in every clock of registers that have an enable.
    """
    return f"synth_xilinx -family xc7 -flatten -noiopad -nodsp -nowidelut -nosrl -top {top} -run"


def run_yosys(
    yosys: str, folder: Path, script: str, of: str, log: Path, stop: threading.Event | None = None
) -> Synthesis:
    """Runs a script in `folder`, on module `of`; gives what was counted last.

    Raises a ToolError for a failure, a latch, a net of two drivers or of none; NotFinishedError when `stop`
    is set before the end.
    """
    text = call([yosys, "-p", script], folder, log, of=of, stop=stop)
    fault = next((line for line in text.splitlines() if FAULTS.search(line)), None)
    if fault:
        raise ToolError(f"yosys on {of}: {fault.strip()}; all it printed is in {log}")
    return Synthesis.read(text)


def yosys_version(yosys: str) -> str:
    """As it calls itself, with the commit it was built from."""
    return subprocess.run([yosys, "-V"], capture_output=True, text=True, check=False).stdout.strip()
