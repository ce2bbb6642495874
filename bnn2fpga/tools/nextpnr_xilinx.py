"""nextpnr-xilinx: places and routes a yosys netlist, and says how fast it can be clocked.

The command line and the lines that are read follow nextpnr-xilinx (github.com/openXC7/nextpnr-xilinx,
common/command.cc, common/timing.cc, common/design_utils.cc) and its himbaechel successor, whose critical
paths have one more column. bnn2fpga's tests run stand-ins that print such lines, not the tool itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bnn2fpga.errors import BuildError, ToolError
from bnn2fpga.tools.openxc7 import OpenXC7
from bnn2fpga.tools.run_tool import call

ROUTED = "routed.json"
"""The netlist after routing, beside the FASM."""
_FMAX = re.compile(r"Max frequency for clock\s+'(.+)':\s+([\d.]+) MHz \((?:PASS|FAIL) at ([\d.]+) MHz\)")
_USED = re.compile(r"^Info:\s+(\w+):\s+(\d+)/\s*(\d+)\s+\d+%", re.M)
_PATH = re.compile(r"Critical path report for clock '(.+)' \((?:pos|neg)edge -> (?:pos|neg)edge\):")


@dataclass(frozen=True)
class Clock:
    """A clock after routing; `start` and `end` are the pins of its longest path as nextpnr prints them."""

    name: str
    fmax_mhz: float
    asked_mhz: float
    start: str = "?"
    end: str = "?"


@dataclass(frozen=True)
class Routing:
    """What nextpnr printed last: each clock, and cells used and there by kind (SLICE_LUTX, RAMB18E1_…)."""

    clocks: tuple[Clock, ...]
    used: dict[str, tuple[int, int]]

    @classmethod
    def read(cls, log: str) -> Routing:
        """From the log; a report is printed after placement and, which counts, after routing."""
        pieces = _PATH.split(log)
        ends = {name: _ends(text) for name, text in zip(pieces[1::2], pieces[2::2], strict=True)}
        found = {name: (float(fmax), float(asked)) for name, fmax, asked in _FMAX.findall(log)}
        clocks = tuple(Clock(name, *speed, *ends.get(name, ("?", "?"))) for name, speed in found.items())
        return cls(clocks, {name: (int(n), int(of)) for name, n, of in _USED.findall(log) if int(n)})

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"clocks": [asdict(clock) for clock in self.clocks], "used": self.used}

    @classmethod
    def of(cls, facts: dict[str, Any]) -> Routing:
        """The inverse of `as_dict`, after JSON."""
        used = {name: (found, there) for name, (found, there) in facts["used"].items()}
        return cls(tuple(Clock(**clock) for clock in facts["clocks"]), used)

    def clock(self, design: str, asked_mhz: float, legal_mhz: Sequence[float], margin: float) -> float:
        """The clock that was asked for or, where timing does not allow it, the highest slower legal one.

        Every path must leave `margin`, a part of it, of the period. Raises BuildError where no clock does.
        """
        slowest = min(self.clocks, key=lambda clock: clock.fmax_mhz)
        reached = slowest.fmax_mhz / (1 + margin)
        possible = [clock for clock in (*legal_mhz, asked_mhz) if clock <= min(reached, asked_mhz)]
        if not possible:
            raise BuildError(
                f"{design}: {self.missed(asked_mhz, margin)}; no slower clock is legal on this board; try "
                "another seed in [openxc7], or fewer frames a second"
            )
        return max(possible)

    def missed(self, asked_mhz: float, margin: float) -> str:
        """In words: how fast the slowest clock is, and its longest path."""
        slowest = min(self.clocks, key=lambda clock: clock.fmax_mhz)
        return (
            f"clock {slowest.name} reaches {slowest.fmax_mhz:g} MHz after routing; {asked_mhz:g} MHz with a "
            f"margin of {margin:.0%} need {asked_mhz * (1 + margin):g}; its longest path goes from "
            f"{slowest.start} to {slowest.end}"
        )


def route(netlist: Path, part: str, clock_mhz: float, fasm: Path, log: Path, tools: OpenXC7) -> Routing:
    """Places and routes `netlist` (yosys' JSON) for `part` into `fasm`.

    A clock that is too slow is no failure here, so that what was routed is kept; see `Routing.clock`.
    """
    folder = fasm.parent
    # no pin to place and one clock, to which --freq applies; the tool wants the file all the same
    constraints = folder / "empty.xdc"
    constraints.write_text("# no pins\n")
    command: list[str | Path] = [tools.tool("nextpnr-xilinx"), "--chipdb", tools.chip(part)]
    command += ["--xdc", constraints, "--json", netlist, "--fasm", fasm, "--router", "router2"]
    command += ["--freq", f"{clock_mhz:g}", "--seed", str(tools.seed), "--timing-allow-fail"]
    command += ["--write", folder / ROUTED]
    result = Routing.read(call(command, folder, log))
    constraints.unlink()
    if not result.clocks:
        raise ToolError(f"nextpnr-xilinx printed no clock's speed; all it printed is in {log}")
    if not fasm.is_file():
        raise ToolError(f"nextpnr-xilinx wrote no {fasm.name}; all it printed is in {log}")
    return result


def _ends(text: str) -> tuple[str, str]:
    """The first source and the sink of one critical path."""
    starts = re.search(r"\bSource (\S+)", text)
    ends = re.search(r"\bSetup (\S+)", text)
    return (starts.group(1) if starts else "?", ends.group(1) if ends else "?")
