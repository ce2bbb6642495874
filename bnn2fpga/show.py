"""What the command line shows: tables, progress, summaries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, Group
from rich.panel import Panel
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from bnn2fpga.boards import Board
from bnn2fpga.estimate import Estimate
from bnn2fpga.flow import StepEvent
from bnn2fpga.verify import Level

BAR = 24


def level_line(level: Level) -> Text:
    """One rung of the ladder."""
    mark = ("✓", "green") if level.ok else ("✗", "bold red")
    if level.tolerated:
        mark = ("~", "yellow")
    line = Text.assemble(
        mark,
        f" {level.name:<12} = {level.reference:<12} ",
        (f"{level.equal:,} of {level.frames:,} frames equal", "" if level.ok else "red"),
        (f"  ({level.compared})", "dim"),
    )
    if level.difference and not level.tolerated:
        line.append(f"\n    first difference: {level.difference}", "red")
    return line


def kernel_table(estimate: Estimate) -> Table:
    """The kernels of a design with folding, cycles and resources; the slowest is marked."""
    table = Table("kernel", "folding", "output", box=None, header_style="bold", pad_edge=False)
    for title in ("cycles", "LUT", "BRAM36"):
        table.add_column(title, justify="right")
    for kernel in estimate.kernels:
        if not kernel.folding:
            continue
        slowest = kernel.cycles == estimate.interval
        table.add_row(
            kernel.name,
            " ".join(f"{name}={value}" for name, value in kernel.folding.items()),
            kernel.stream,
            f"{kernel.cycles:,}{' ◀' if slowest else '  '}",
            f"{kernel.resources.luts:,}",
            f"{kernel.resources.bram36:g}",
            style="yellow" if slowest else "",
        )
    converters = [kernel for kernel in estimate.kernels if not kernel.folding]
    if converters:
        luts = sum(kernel.resources.luts for kernel in converters)
        widest = max(kernel.cycles for kernel in converters)
        table.add_row(
            f"{len(converters)} width converters", "", "", f"≤ {widest:,}  ", f"{luts:,}", "0", style="dim"
        )
    return table


def share_bars(estimate: Estimate, board: Board) -> Table:
    """Used resources as bars against the board."""
    have = {"LUT": board.luts, "FF": board.flipflops, "BRAM": board.bram36, "DSP": board.dsps}
    total = estimate.total
    used = {"LUT": total.luts, "FF": total.flipflops, "BRAM": total.bram36, "DSP": total.dsps}
    table = Table.grid(padding=(0, 2))
    for name, share in estimate.shares.items():
        full = min(BAR, round(share * BAR))
        bar = Text("█" * full, "green" if share <= 0.8 else "red") + Text("░" * (BAR - full), "dim")
        table.add_row(name, bar, f"{share:.1%}", f"{used[name]:,g} of {have[name]:,}")
    return table


def speed(estimate: Estimate) -> str:
    """Frame rate and latency in words."""
    return (
        f"{estimate.fps:,.0f} frames/s at {estimate.clock_mhz:g} MHz "
        f"({estimate.interval:,} cycles a frame, limited by {estimate.bottleneck.name}); "
        f"latency about {estimate.latency_us:,.1f} µs"
    )


def summary(facts: Mapping[str, Any], estimate: Estimate, board: Board, folder: str) -> Panel:
    """The end of a build: what it is, how well, how fast, how large, where."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    found = facts["ladder"]["accuracy"]
    if found:
        parts = [f"{name} {100 * n / found['frames']:.2f} %" for name, n in found["correct"].items()]
        grid.add_row("accuracy", f"{', '.join(parts)} ({found['frames']} test images)")
    levels = facts["ladder"]["levels"]
    counts = sorted({level["frames"] for level in levels})
    ranged = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
    exact = sum(not level["tolerated"] for level in levels)
    compared = "1 comparison" if exact == 1 else f"{exact} comparisons"
    grid.add_row("verified", f"{compared} of levels, all equal on {ranged} frames")
    for level in levels:
        if level["tolerated"]:
            grid.add_row("rounded", f"{level['equal']:,} of {level['frames']:,} labels as before rounding")
    design = facts["design"]
    layers = sum(kernel["kernel"].endswith("Mvu") for kernel in design["kernels"])
    grid.add_row(
        "network",
        f"{layers} layers in {len(design['kernels'])} kernels, {design['operations']:,} operations a frame, "
        f"{design['weight_bits'] / 8192:,.1f} KiB of weights, no multiplier",
    )
    grid.add_row("speed", speed(estimate))
    grid.add_row("estimate", f"before synthesis, on {board.title} ({board.part})")
    grid.add_row("", share_bars(estimate, board))
    grid.add_row("files", f"{folder}: the HLS project in *-hls/, report.md in *-report/")
    return Panel(grid, title=f"[bold]{estimate.design}[/bold]", border_style="green", expand=False)


@dataclass
class BuildProgress:
    """Shows a running build: a line a step, a bar for training."""

    console: Console
    _progress: Progress = field(init=False)
    _task: TaskID | None = None

    def __enter__(self) -> BuildProgress:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=self.console, transient=True)
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def step(self, event: StepEvent) -> None:
        """A step has started or ended."""
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None
        number = f"[{event.index}/{event.total}]"
        if event.state == "running":
            self._task = self._progress.add_task(f"{number} {event.name}", total=None)
            return
        mark, style = {"done": ("✓", "green"), "skipped": ("·", "dim"), "failed": ("✗", "bold red")}[
            event.state
        ]
        took = "unchanged" if event.state == "skipped" else f"{event.seconds:.1f} s"
        self.console.print(Text.assemble((mark, style), f" {number} {event.name:<12} ", (took, "dim")))

    def level(self, level: Level) -> None:
        """A level of the ladder was compared."""
        self.console.print(Text("    ") + level_line(level))

    def epoch(self, result: Any) -> None:
        """An epoch of training has ended."""
        if self._task is not None:
            self._progress.update(
                self._task,
                total=result.epochs,
                completed=result.epoch,
                description=f"train: loss {result.loss:.3f}, test accuracy {result.test_accuracy:.1%}",
            )


def stacked(*parts: Any) -> Group:
    """Parts under one another with an empty line between."""
    spaced: list[Any] = []
    for part in parts:
        spaced += [part, Text()]
    return Group(*spaced[:-1])
