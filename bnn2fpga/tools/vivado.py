"""Vivado: makes a bitstream of a block design, and says how fast it is and what it needs.

What is read has the format of report_timing_summary and report_utilization, as in public reports of Vivado
2021.2 (timing) and 2023.1 (utilization); bnn2fpga's tests run stand-ins that print such reports.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bnn2fpga.errors import BuildError, ToolError
from bnn2fpga.tools.amd import Vivado, run

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
        slacks = ((self.setup_ns, "setup"), (self.hold_ns, "hold"), (self.pulse_ns, "pulse width"))
        slack, kind = min(slacks)
        if slack >= 0:
            return
        path = self.worst
        failing = path is not None and path.slack_ns < 0
        named = f"; its worst path goes from {path.start} to {path.end}" if path and failing else ""
        raise BuildError(
            f"{design}: misses {clock_mhz:g} MHz by {-slack:g} ns of {kind} after routing{named}; choose a "
            f"slower clock (--clock) or a smaller folding (--fps); the report is {report}"
        )


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

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"tool": self.tool, "timing": asdict(self.timing), "used": self.used}


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
    tool, work, log = tools.find_vivado(), bitstream.with_name("work"), logs / "vivado.log"
    work.mkdir()
    shutil.copytree(ip, work / "ip")
    cache = [tools.ip_cache.absolute()] if tools.ip_cache else []
    command: list[str | Path] = [tool.path, "-mode", "batch", "-nojournal", "-nolog", "-notrace"]
    run([*command, "-source", script.absolute(), "-tclargs", str(tools.jobs), *cache], work, log, of)
    reports = {name: logs / f"vivado-{name}.rpt" for name in ("timing", "utilization")}
    for name, kept in reports.items():
        shutil.copyfile(_made(work, f"{name}.rpt", log), kept)
    shutil.copyfile(_made(work, "project/*.runs/impl_1/*.bit", log), bitstream)
    # up to 2020.1 below .srcs, then below .gen; PYNQ looks for the bitstream's name
    shutil.copyfile(
        _made(work, "project/*/sources_1/bd/*/hw_handoff/*.hwh", log), bitstream.with_suffix(".hwh")
    )
    shutil.rmtree(work)
    timing, used = (kept.read_text(encoding="utf-8", errors="replace") for kept in reports.values())
    return Implementation(str(tool), Timing.read(timing), read_utilization(used), reports["timing"])


def _made(work: Path, pattern: str, log: Path) -> Path:
    """A file that Vivado must have written, and not empty."""
    found = next((path for path in sorted(work.glob(pattern)) if path.stat().st_size), None)
    if found is None:
        raise ToolError(f"vivado wrote no {pattern.rpartition('/')[2]}; all it printed is in {log}")
    return found
