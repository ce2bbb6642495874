"""Vitis HLS: synthesizes the generated C++ to an IP core, and tells what it estimates.

The reports' names and elements are those of csynth.xml (UG1399); bnn2fpga's tests run stand-ins.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from bnn2fpga.errors import ToolError
from bnn2fpga.tools.amd import Tool, run

COMMANDS: dict[str, tuple[str, ...]] = {
    "vitis-run": ("--mode", "hls", "--tcl", "vitis_hls.tcl"),
    "vitis_hls": ("-f", "vitis_hls.tcl"),
    "v++": ("-c", "--mode", "hls", "--config", "hls.cfg", "--work_dir", "vitis"),
}
"""What makes each command synthesize and export; vitis-run passes no arguments on to a script."""


@dataclass(frozen=True)
class HlsEstimate:
    """What HLS expects before place and route; None where it does not know.

    `interval` and `latency` are clocks of a frame at most; with free-running kernels HLS may not tell them.
    """

    tool: str
    clock_ns: float | None
    interval: int | None
    latency: int | None
    luts: int | None
    flipflops: int | None
    bram18: int | None
    dsps: int | None

    @classmethod
    def read(cls, xml: str, tool: str) -> HlsEstimate:
        """From csynth.xml."""
        root = ElementTree.fromstring(xml)

        def number(path: str) -> float | None:
            try:
                return float(root.findtext(path, ""))
            except ValueError:
                return None

        def count(path: str) -> int | None:
            value = number(path)
            return None if value is None else int(value)

        time, area = "PerformanceEstimates", "AreaEstimates/Resources"
        return cls(
            tool,
            number(f"{time}/SummaryOfTimingAnalysis/EstimatedClockPeriod"),
            count(f"{time}/SummaryOfOverallLatency/Interval-max"),
            count(f"{time}/SummaryOfOverallLatency/Worst-caseLatency"),
            *(count(f"{area}/{name}") for name in ("LUT", "FF", "BRAM_18K", "DSP")),
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def synthesize(project: Path, ip: Path, log: Path, tool: Tool, of: str) -> HlsEstimate:
    """Synthesizes the HLS `project` with `tool` and puts the IP core, a folder with component.xml, at `ip`.

    Works on a copy beside `ip`, so that `project` stays as it is.
    """
    work = ip.with_name("work")
    shutil.copytree(project, work, ignore=shutil.ignore_patterns("stamp.json"))
    run([tool.path, *COMMANDS[tool.path.name]], work, log, of)
    component = _made(work, "impl/ip/component.xml", tool, log)
    report = _made(work, "syn/report/csynth.xml", tool, log)
    try:
        estimate = HlsEstimate.read(report.read_text(encoding="utf-8"), str(tool))
    except ElementTree.ParseError as error:
        raise ToolError(f"{tool}: {report.name} is no XML: {error}; all it printed is in {log}") from error
    component.parent.rename(ip)
    shutil.rmtree(work)
    return estimate


def _made(work: Path, name: str, tool: Tool, log: Path) -> Path:
    """A file that the tool must have written; versions put it into folders of different names."""
    found = sorted(work.glob(f"**/{name}"))
    if not found:
        raise ToolError(f"{tool} wrote no {name}; all it printed is in {log}")
    return found[0]
