"""The report as pages, made of report.json alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bnn2fpga.boards.board import USABLE
from bnn2fpga.files.templates import render
from bnn2fpga.files.writing import write_whole
from bnn2fpga.report.dataflow_plot import dataflow_svg, folding_text
from bnn2fpga.report.report_file import markdown
from bnn2fpga.report.roofline_plot import roofline_svg, with_prefix

LONGEST = 10
"""Kernels in the lists of the slowest and of the largest."""
FEW = 40
"""Kernels whose table is open from the start."""


@dataclass(frozen=True)
class Use:
    """A kind of resource: what the plan, and later tools if they ran, use of the board's.

    `off` is by how much the plan may be wrong, None where it is counted.
    """

    name: str
    planned: float
    off: float | None
    board: float
    later: tuple[tuple[str, float], ...]

    @property
    def share(self) -> float:
        """Of the board's, 1 where it has none."""
        return self.planned / self.board if self.board else float(self.planned > 0)


def write_pages(folder: Path, facts: Mapping[str, Any]) -> None:
    """index.html and report.md into `folder`, each whole or not at all."""
    for name, text in {"index.html": page(facts), "report.md": markdown(facts)}.items():
        write_whole(folder / name, text)


def page(facts: Mapping[str, Any]) -> str:
    """One HTML page that asks for nothing outside itself: no script, no font, no picture, no link."""
    kernels = facts["estimate"]["kernels"]
    slowest = max(kernel["cycles"] for kernel in kernels)
    return render(
        "report.html.j2",
        **facts,
        uses=uses(facts),
        usable=USABLE,
        slowest=slowest,
        most_luts=max(_luts(kernel) + _off(kernel) for kernel in kernels) or 1,
        by_cycles=sorted(kernels, key=lambda kernel: -kernel["cycles"])[:LONGEST],
        by_luts=sorted(kernels, key=lambda kernel: -_luts(kernel))[:LONGEST],
        few=len(kernels) <= FEW,
        fifos=_fifos(facts["estimate"]),
        largest_fifos=sorted(facts["estimate"]["fifos"], key=_fifo_bits, reverse=True)[:LONGEST],
        dataflow=dataflow_svg(facts["design"]),
        roofline_plot=roofline_svg(facts["roofline"]),
        luts=_luts,
        off=_off,
        folding_text=folding_text,
        with_prefix=with_prefix,
    )


def _luts(kernel: Mapping[str, Any]) -> int:
    """Of logic and memory."""
    return kernel["resources"]["luts"] + kernel["resources"]["lutrams"]


def _off(kernel: Mapping[str, Any]) -> float:
    """LUTs by which the estimate may be off, by the median of its kind; 0 where that is unknown."""
    return kernel["resources"]["luts"] * (kernel["error"] or 0)


def _fifo_bits(need: Mapping[str, Any]) -> int:
    return int(need["depth"] * need["bits"])


def _fifos(estimate: Mapping[str, Any]) -> dict[str, float]:
    """What is planned for the FIFOs: all but the kernels'."""
    kernels = estimate["kernels"]
    return {
        kind: count - sum(kernel["resources"][kind] for kernel in kernels)
        for kind, count in estimate["total"].items()
    }


def uses(facts: Mapping[str, Any]) -> list[Use]:
    """What is used of the board, kind by kind, with what synthesis and routing found if they ran."""
    total, board = facts["estimate"]["total"], facts["board"]
    later = _later(facts)
    planned = {
        "LUT": (total["luts"] + total["lutrams"], facts["estimate"]["luts_off"], board["luts"]),
        "LUT as memory": (total["lutrams"], None, board["lutram_luts"]),
        "flip-flops": (total["flipflops"], None, board["flipflops"]),
        "block RAM": (total["bram36"], None, board["bram36"]),
        "DSP": (total["dsps"], None, board["dsps"]),
    }
    return [
        Use(name, *amounts, tuple((tool, found[name]) for tool, found in later if name in found))
        for name, amounts in planned.items()
    ]


def _later(facts: Mapping[str, Any]) -> list[tuple[str, dict[str, float]]]:
    """Tools that ran after the plan, with what they found used, by the names of `uses`."""
    found: list[tuple[str, dict[str, float]]] = []
    if made := facts["synthesis"]:
        found.append((made["tool"], _named({**made, "luts": made["luts"] + made["lutram_luts"]})))
    if made := facts["hls"]:
        whole = {**made, "bram36": None if made["bram18"] is None else made["bram18"] / 2}
        found.append((made["tool"], _named(whole)))
    if made := facts["implementation"]:
        used = {kind: count for kind, (count, _) in made["used"].items()}
        found.append((f"{made['tool']}, routed", _named(used)))
    return found


def _named(used: Mapping[str, Any]) -> dict[str, float]:
    names = {
        "luts": "LUT",
        "lutram_luts": "LUT as memory",
        "flipflops": "flip-flops",
        "bram36": "block RAM",
        "dsps": "DSP",
    }
    return {name: used[kind] for kind, name in names.items() if used.get(kind) is not None}
