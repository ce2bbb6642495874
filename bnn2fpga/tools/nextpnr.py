"""nextpnr: places and routes a yosys netlist, and says how fast it can be clocked. Two programs are of use.

nextpnr-xilinx (github.com/openXC7/nextpnr-xilinx) is openXC7's, nextpnr-himbaechel with its part xilinx
(github.com/YosysHQ/nextpnr) the one that lives on. Netlists, features and logs are nearly the same, command
lines and databases of the chip are not.

Which one's clock counts: of one placement nextpnr-himbaechel says a clock about a fifth higher, as its wires
are faster. Neither is measured on a chip, so MARGINS asks more of the faster one. nextpnr-xilinx takes 0.1 ns
for a flip-flop, where the device data has 0.3, and nothing for block RAM, where that has 2.5.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bnn2fpga.errors import BuildError, ToolError
from bnn2fpga.tools.chip_database import Tool
from bnn2fpga.tools.openxc7 import OpenXC7
from bnn2fpga.tools.run_tool import call

SETTINGS = {"placerHeap/timingWeight": "40"}
"""Of nextpnr-xilinx' placer; 10 if absent. It brought the digits at 5,000 frames/s from 160 to 180 MHz."""
ROUTED = "routed.json"
"""The netlist after routing, beside the features."""
_FMAX = re.compile(r"Max frequency for clock\s+'(.+)':\s+([\d.]+) MHz \((?:PASS|FAIL) at ([\d.]+) MHz\)")
_USED = re.compile(r"^Info:\s+(\w+):\s+(\d+)/\s*(\d+)\s+\d+%", re.M)
_PATH = re.compile(r"Critical path report for clock '(.+)' \((?:pos|neg)edge -> (?:pos|neg)edge\):")
_HOP = re.compile(
    r"^Info:\s+(?:([a-z-]+)\s+)?(-?\d+\.\d+)\s+-?\d+\.\d+\s+(Source|Net|Setup)\s+(.+?)"
    r"(?: budget \S+ ns)?(?: \(\d+,\d+\) -> \(\d+,\d+\))?$",
    re.M,
)
"""A part of a path; himbaechel has a column of kinds before the delay, and no `Setup`."""
_END = re.compile(r"^Info:\s+[\d.]+ ns logic, [\d.]+ ns routing", re.M)


@dataclass(frozen=True)
class Hop:
    """A cell or a wire of a path: nanoseconds, and the pin that the signal leaves or ends at, or the net."""

    kind: str
    """"cell" or "wire"."""
    ns: float
    name: str


@dataclass(frozen=True)
class Clock:
    """A clock after routing, and its longest path."""

    name: str
    fmax_mhz: float
    asked_mhz: float
    path: tuple[Hop, ...] = ()

    @property
    def logic_ns(self) -> float:
        """The path's share of cells."""
        return sum(hop.ns for hop in self.path if hop.kind == "cell")

    @property
    def routing_ns(self) -> float:
        """The path's share of wires."""
        return sum(hop.ns for hop in self.path if hop.kind == "wire")


@dataclass(frozen=True)
class Routing:
    """What nextpnr printed last: each clock, and cells used and there by kind (SLICE_LUTX, RAMB18E1_…)."""

    tool: Tool
    seed: int
    clocks: tuple[Clock, ...]
    used: dict[str, tuple[int, int]]

    @classmethod
    def read(cls, log: str, tool: Tool, seed: int) -> Routing:
        """From the log; a report is printed after placement and, which counts, after routing."""
        pieces = _PATH.split(log)
        paths = {name: _hops(text) for name, text in zip(pieces[1::2], pieces[2::2], strict=True)}
        found = {name: (float(fmax), float(asked)) for name, fmax, asked in _FMAX.findall(log)}
        clocks = tuple(Clock(name, *speed, paths.get(name, ())) for name, speed in found.items())
        used = {name: (int(n), int(of)) for name, n, of in _USED.findall(log) if int(n)}
        return cls(tool, seed, clocks, used)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def of(cls, facts: dict[str, Any]) -> Routing:
        """The inverse of `as_dict`, after JSON."""
        clocks = (
            Clock(**clock | {"path": tuple(Hop(**hop) for hop in clock["path"])}) for clock in facts["clocks"]
        )
        used = {name: (found, there) for name, (found, there) in facts["used"].items()}
        return cls(facts["tool"], facts["seed"], tuple(clocks), used)

    @property
    def slowest(self) -> Clock:
        """The clock that decides."""
        return min(self.clocks, key=lambda clock: clock.fmax_mhz)

    def clock(self, design: str, asked_mhz: float, legal_mhz: Sequence[float], margin: float) -> float:
        """The clock that was asked for or, where timing does not allow it, the highest slower legal one.

        Every path must leave `margin`, a part of it, of the period. Raises BuildError where no clock does.
        """
        reached = self.slowest.fmax_mhz / (1 + margin)
        possible = [clock for clock in (*legal_mhz, asked_mhz) if clock <= min(reached, asked_mhz)]
        if not possible:
            raise BuildError(
                f"{design}: {self.missed(asked_mhz, margin)}; no slower clock is legal on this board; try "
                "more seeds with --effort, or fewer frames a second"
            )
        return max(possible)

    def missed(self, asked_mhz: float, margin: float) -> str:
        """In words: how fast the slowest clock is."""
        slowest = self.slowest
        return (
            f"clock {slowest.name} reaches {slowest.fmax_mhz:g} MHz after routing by {self.tool} (seed "
            f"{self.seed}); {asked_mhz:g} MHz with a margin of {margin:.0%} need {asked_mhz * (1 + margin):g}"
        )


def route(
    netlist: Path,
    part: str,
    clock_mhz: float,
    fasm: Path,
    log: Path,
    tools: OpenXC7,
    seed: int,
    seconds: float | None = None,
    stop: threading.Event | None = None,
) -> Routing:
    """Places and routes `netlist` (yosys' JSON) for `part` into `fasm`, beside which ROUTED is written.

    A clock that is too slow is no failure here, so that what was routed is kept; see `Routing.clock`. Raises
    NotFinishedError after `seconds` or when `stop` is set.
    """
    program, tool = tools.place_and_route_tool()
    # no pin to place and one clock, to which --freq applies; the tools want the file all the same
    constraints = fasm.with_suffix(".xdc")
    constraints.write_text("# no pins\n")
    database = tools.chip_database(tool, part)
    command: list[str | Path] = [program, *(("--chipdb", database) if database else ())]
    if tool == "nextpnr-xilinx":
        command += ["--xdc", constraints, "--fasm", fasm]
    else:
        command += ["--device", part, "--placer", "heap", "-o", f"xdc={constraints}", "-o", f"fasm={fasm}"]
    command += ["--json", netlist, "--router", "router2", "--freq", f"{clock_mhz:g}", "--seed", str(seed)]
    command += ["--write", fasm.with_name(ROUTED)]
    try:
        text = call([*command, "--timing-allow-fail"], fasm.parent, log, seconds=seconds, stop=stop)
    except ToolError as error:
        if database is None and re.search(r"chipdb|share/", str(error)):
            raise ToolError(
                f"{program} has no database of its own; set himbaechel_chipdb in [openxc7] ({error})"
            ) from error
        raise
    constraints.unlink()
    result = Routing.read(text, tool, seed)
    if not result.clocks:
        raise ToolError(f"{tool} printed no clock's speed; all it printed is in {log}")
    for made in (fasm, fasm.with_name(ROUTED)):
        if not made.is_file():
            raise ToolError(f"{tool} wrote no {made.name}; all it printed is in {log}")
    return result


def lut_places(routed: Path) -> int:
    """Places of the chip that hold a LUT, or two small ones, of a routed netlist (ROUTED).

    nextpnr's own count, SLICE_LUTX, is of LUTs, of which a place can hold two.
    """
    modules = json.loads(routed.read_text())["modules"].values()
    bels = (
        cell["attributes"].get("NEXTPNR_BEL", "") for module in modules for cell in module["cells"].values()
    )
    return len({bel[: -len("6LUT")] for bel in bels if bel.endswith(("5LUT", "6LUT"))})


def with_settings(netlist: Path, tool: Tool) -> bytes:
    """yosys' JSON with SETTINGS in it for nextpnr-xilinx, which has no option for them."""
    if tool != "nextpnr-xilinx":
        return netlist.read_bytes()
    content = json.loads(netlist.read_text())
    for module in content["modules"].values():
        module["settings"] = SETTINGS
    return json.dumps(content).encode()


def _hops(text: str) -> tuple[Hop, ...]:
    """The parts of one critical path, of which nextpnr prints cells and wires in turn."""
    end = _END.search(text)
    found = _HOP.findall(text[: end.start()] if end else text)
    return tuple(Hop("wire" if what == "Net" else "cell", float(ns), name) for _, ns, what, name in found)
