"""Vivado: makes a bitstream of a block design or of SystemVerilog, and says how fast it is and what it needs.

What is read has the format of report_timing_summary and report_utilization, as in public reports of Vivado
2021.2 (timing) and 2023.1 (utilization); bnn2fpga's tests run stand-ins that print such reports.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bnn2fpga.errors import BuildError, ToolError
from bnn2fpga.tools.amd import Vivado, run

LOG = "vivado.log"
"""What Vivado printed, beside the steps."""

_SUMMARY = re.compile(r"^ *WNS\(ns\).*\n[ -]+\n(.+)$", re.M)
_PATH = re.compile(
    r"^Slack \((?:MET|VIOLATED)\) *: +(?P<slack>-?[\d.]+)ns.*?^ +Source: +(?P<start>\S+).*?"
    r"^ +Destination: +(?P<end>\S+).*?^ +Path Type: +(?P<kind>\w+)",
    re.M | re.S,
)
_SITES = {
    "luts": ("Slice LUTs", "CLB LUTs"),
    "lutram_luts": ("LUT as Memory",),
    "flipflops": ("Slice Registers", "CLB Registers"),
    "bram36": ("Block RAM Tile",),
    "urams": ("URAM",),
    "dsps": ("DSPs",),
}
"""What a kind of cell is called in the tables of Zynq-7000 and of UltraScale+."""


@dataclass(frozen=True)
class TimingPath:
    """A timing path: slack in ns, the pins at its ends, and the check (Setup, Hold, Recovery, …)."""

    slack_ns: float
    start: str
    end: str
    kind: str


@dataclass(frozen=True)
class Timing:
    """Slacks in ns: worst and summed negative ones of setup, worst of hold and of pulse widths.

    `paths` are the worst path of each clock and check.
    """

    setup_ns: float
    setup_total_ns: float
    hold_ns: float
    pulse_ns: float
    paths: tuple[TimingPath, ...]

    @classmethod
    def read(cls, report: str) -> Timing:
        """From report_timing_summary; a ToolError if there is no summary, or no path that is constrained."""
        row = _SUMMARY.search(report)
        values = row[1].split() if row else []
        try:
            setup, total, hold, pulse = (float(values[column]) for column in (0, 1, 4, 8))
        except (IndexError, ValueError):
            raise ToolError("the timing report has no Design Timing Summary with numbers") from None
        paths = (
            TimingPath(float(path["slack"]), path["start"], path["end"], path["kind"])
            for path in _PATH.finditer(report)
        )
        return cls(setup, total, hold, pulse, tuple(paths))

    @property
    def worst(self) -> TimingPath | None:
        """The path of least slack."""
        return min(self.paths, key=lambda path: path.slack_ns, default=None)

    def check(self, design: str, clock_mhz: float, report: Path) -> None:
        """A BuildError if a slack is negative, naming the worst path and the `report`."""
        if min(self.setup_ns, self.hold_ns, self.pulse_ns) < 0:
            raise BuildError(
                f"{design}: {self.missed(clock_mhz)}; choose a slower clock (--clock) or a smaller folding "
                f"(--fps); the report is {report}"
            )

    def missed(self, clock_mhz: float) -> str:
        """In words: by how much, and the worst path."""
        slacks = ((self.setup_ns, "setup"), (self.hold_ns, "hold"), (self.pulse_ns, "pulse width"))
        slack, kind = min(slacks)
        path = self.worst
        failing = path is not None and path.slack_ns < 0
        named = f"; its worst path goes from {path.start} to {path.end}" if path and failing else ""
        return f"misses {clock_mhz:g} MHz by {-slack:g} ns of {kind} after routing{named}"

    def reached_mhz(self, clock_mhz: float) -> float:
        """The clock that setup allows: from register to register a path has one whole period."""
        return 1000 / (1000 / clock_mhz - self.setup_ns)


@dataclass(frozen=True)
class Implementation:
    """A routed design: its timing, cells used and there by kind, and where the timing report lies."""

    tool: str
    timing: Timing
    used: dict[str, tuple[float, float]]
    report: Path

    def check(self, design: str, clock_mhz: float) -> None:
        """See `Timing.check`."""
        self.timing.check(design, clock_mhz, self.report)

    def clock(self, design: str, asked_mhz: float, legal_mhz: Sequence[float]) -> float:
        """The clock that was asked for or, where setup does not allow it, the highest slower legal one.

        A BuildError where none does, and for what no slower clock mends: hold and pulse width.
        """
        if min(self.timing.hold_ns, self.timing.pulse_ns) < 0:
            self.check(design, asked_mhz)
        if self.timing.setup_ns >= 0:
            return asked_mhz
        reached = self.timing.reached_mhz(asked_mhz)
        possible = [clock for clock in legal_mhz if clock <= reached]
        if not possible:
            raise BuildError(
                f"{design}: {self.timing.missed(asked_mhz)}; it reaches {reached:.4g} MHz, and no clock of "
                f"this board is as slow; choose a smaller folding (--fps); the report is {self.report}"
            )
        return max(possible)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"tool": self.tool, "timing": asdict(self.timing), "used": self.used}

    @classmethod
    def of(cls, facts: dict[str, Any], report: Path) -> Implementation:
        """The inverse of `as_dict`, after JSON."""
        timing = facts["timing"]
        paths = tuple(TimingPath(**path) for path in timing["paths"])
        used = {kind: (count, there) for kind, (count, there) in facts["used"].items()}
        return cls(facts["tool"], Timing(**timing | {"paths": paths}), used, report)


def read_utilization(report: str) -> dict[str, tuple[float, float]]:
    """Used and available cells by kind, from report_utilization; a ToolError if it lacks one."""
    found: dict[str, tuple[float, float]] = {}
    columns: list[str] = []
    for line in report.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if "Used" in cells and "Available" in cells:
            columns = cells
        if not columns or len(cells) != len(columns):
            continue
        kind = next((kind for kind, names in _SITES.items() if cells[0].rstrip("* ") in names), None)
        if kind and kind not in found:
            row = dict(zip(columns, cells, strict=True))
            found[kind] = (float(row["Used"]), float(row["Available"]))
    missing = [kind for kind in ("luts", "flipflops", "bram36", "dsps") if kind not in found]
    if missing:
        raise ToolError(f"the utilization report tells no {', '.join(missing)}")
    return found


def implement(script: Path, ip: Path, bitstream: Path, logs: Path, tools: Vivado, of: str) -> Implementation:
    """Runs the block design's `script` on the core `ip`; leaves `bitstream` (.bit) and, beside it, its .hwh.

    What Vivado printed and both reports lie in `logs`, also where timing fails. A design that is too slow is
    no failure here; see `Timing.check`.
    """
    work = bitstream.with_name("work")
    shutil.copytree(ip, work / "ip")
    cache = [tools.ip_cache.absolute()] if tools.ip_cache else []
    made = _run(script, work, logs, tools, of, "-tclargs", str(tools.jobs), *cache)
    shutil.copyfile(_made(work, "project/*.runs/impl_1/*.bit", logs), bitstream)
    # up to 2020.1 below .srcs, then below .gen; PYNQ looks for the bitstream's name
    handoff = _made(work, "project/*/sources_1/bd/*/hw_handoff/*.hwh", logs)
    shutil.copyfile(handoff, bitstream.with_suffix(".hwh"))
    shutil.rmtree(work)
    return made


def implement_rtl(
    script: Path, sources: Path, bitstream: Path, logs: Path, tools: Vivado, of: str
) -> Implementation:
    """Runs `script` on rtl/ and zynq/ below `sources`; leaves `bitstream` (.bit). Else as `implement`."""
    work = bitstream.with_name("work")
    for name in ("rtl", "zynq"):
        shutil.copytree(sources / name, work / name)
    made = _run(script, work, logs, tools, of)
    shutil.copyfile(_made(work, "*.bit", logs), bitstream)
    shutil.rmtree(work)
    return made


def _run(
    script: Path, work: Path, logs: Path, tools: Vivado, of: str, *arguments: str | Path
) -> Implementation:
    """Runs `script` in `work`; what its reports say. They and what Vivado printed are kept in `logs`."""
    tool = tools.find_vivado()
    command: list[str | Path] = [tool.path, "-mode", "batch", "-nojournal", "-nolog", "-notrace"]
    run([*command, "-source", script.absolute(), *arguments], work, logs / LOG, of)
    reports = {name: logs / f"vivado-{name}.rpt" for name in ("timing", "utilization")}
    for name, kept in reports.items():
        shutil.copyfile(_made(work, f"{name}.rpt", logs), kept)
    timing, used = (kept.read_text(encoding="utf-8", errors="replace") for kept in reports.values())
    return Implementation(str(tool), Timing.read(timing), read_utilization(used), reports["timing"])


def _made(work: Path, pattern: str, logs: Path) -> Path:
    """A file that Vivado must have written, and not empty."""
    found = next((path for path in sorted(work.glob(pattern)) if path.stat().st_size), None)
    if found is None:
        raise ToolError(f"vivado wrote no {pattern.rpartition('/')[2]}; all it printed is in {logs / LOG}")
    return found
