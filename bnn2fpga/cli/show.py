"""What the command line shows: tables, progress, summaries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from math import log2
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.panel import Panel
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from bnn2fpga.boards.board import Board
from bnn2fpga.build.flow import StepEvent
from bnn2fpga.build.ladder import Level
from bnn2fpga.frontend.explanation import Explanation, Input, Integers, Refusal, Region
from bnn2fpga.planning.estimate import Estimate
from bnn2fpga.planning.exploration.explore import Progress as Explored
from bnn2fpga.planning.exploration.points import Point
from bnn2fpga.planning.timing.fifo_needs import FifoNeed

BAR = 24
FIFOS = 8
"""FIFOs that a table names."""
MOST_ALONG = 8
"""Lines of the nodes that a region took along."""


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
            f"{kernel.resources.all_luts:,}",
            f"{kernel.resources.bram36:g}",
            style="yellow" if slowest else "",
        )
    converters = [kernel for kernel in estimate.kernels if not kernel.folding]
    if converters:
        luts = sum(kernel.resources.all_luts for kernel in converters)
        widest = max(kernel.cycles for kernel in converters)
        table.add_row(
            f"{len(converters)} width converters", "", "", f"≤ {widest:,}  ", f"{luts:,}", "0", style="dim"
        )
    return table


def fifo_table(needs: Sequence[FifoNeed]) -> Table:
    """The largest FIFOs, and what they are that deep for."""
    table = Table("FIFO", "why", box=None, header_style="bold", pad_edge=False)
    table.add_column("beats", justify="right")
    table.add_column("of bits", justify="right")
    ranked = sorted(needs, key=lambda need: -need.depth * need.bits)
    for need in ranked[:FIFOS]:
        table.add_row(f"{need.source} to {need.target}", need.why, f"{need.depth:,}", f"{need.bits:,}")
    if ranked[FIFOS:]:
        table.add_row(f"{len(ranked[FIFOS:])} smaller ones", "", "", "", style="dim")
    return table


def share_bars(estimate: Estimate, board: Board) -> Table:
    """Used resources as bars against the board."""
    total = estimate.total
    used_of_all = {
        "LUT": (f"{total.all_luts:,} ± {estimate.luts_off:,}", board.luts),
        "LUTRAM": (f"{total.lutrams:,}", board.lutram_luts),
        "FF": (f"{total.flipflops:,}", board.flipflops),
        "BRAM": (f"{total.bram36:g}", board.bram36),
        "DSP": (f"{total.dsps}", board.dsps),
    }
    table = Table.grid(padding=(0, 2))
    for name, share in estimate.shares.items():
        full = min(BAR, round(share * BAR))
        bar = Text("█" * full, "green" if share <= 0.8 else "red") + Text("░" * (BAR - full), "dim")
        used, have = used_of_all[name]
        table.add_row(name, bar, f"{share:.1%}", f"{used} of {have:,}")
    return table


def speed(estimate: Estimate) -> str:
    """Frame rate, latency and what the clock leaves for wires, in words."""
    period = 1000 / estimate.clock_mhz
    short = 2 * estimate.path_ns > period
    return (
        f"{estimate.fps:,.0f} frames/s at {estimate.clock_mhz:g} MHz "
        f"({estimate.frame_cycles:,} cycles a frame, limited by {estimate.bottleneck}); "
        f"latency about {estimate.latency_us:,.1f} µs"
        + (f"\nnot faster, as {estimate.limit}" if estimate.limit else "")
        + f"\nabout {estimate.path_ns:.1f} ns of a clock of {period:g} ns are for cells, the rest for wires"
        + (", which take about as long: this clock may be out of reach" if short else "")
    )


def summary(facts: Mapping[str, Any], estimate: Estimate, board: Board, report: Path) -> Panel:
    """The end of a build: what it is, how well, how fast, how large, where; `report` is its folder."""
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
    routed = facts["implementation"]
    if routed:
        used = ", ".join(f"{name} {n:,g}" for name, (n, _) in routed["used"].items())
        grid.add_row("routed", f"{routed['tool']}: slack {routed['timing']['setup_ns']:g} ns; {used}")
    grid.add_row("files", f"{report.parent}: the HLS project in *-hls/, for the board *-deploy/")
    grid.add_row("report", str(report / "index.html"))
    return Panel(grid, title=f"[bold]{estimate.design}[/bold]", border_style="green", expand=False)


def explanation(explained: Explanation) -> Group:
    """A network's regions, one row each, and the refusal if there is one."""
    has_graph = any(region.nodes for region in explained.regions)
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, int(has_graph), 0))
    if has_graph:
        table.add_column("graph", no_wrap=True)
    for title in ("becomes", "by this rule", "integers"):
        table.add_column(title, overflow="fold")
    for region in explained.regions:
        cells = (_nodes(region), _became(region), "; ".join(region.rules), _integers(region.integers))
        table.add_row(*cells[not has_graph :])
    count = sum(len(region.kernels) for region in explained.regions)
    until = " up to the refusal" if explained.refusal else ""
    head = Text.assemble((explained.name, "bold"), f": {count} kernels{until}")
    if explained.changes:
        names = [f"{c.transformation} ({c.nodes_before} to {c.nodes_after} nodes)" for c in explained.changes]
        head.append(f"; the graph was changed by {', '.join(names)}")
    parts = [head, table] if explained.regions else [head]
    return stacked(*parts, *([_refusal(explained.refusal)] if explained.refusal else []))


def _nodes(region: Region) -> Text:
    """The node that decided, then the ones that it took along."""
    if not region.nodes:
        return Text("")
    *along, last = (node.name for node in region.nodes)
    if len(along) > MOST_ALONG:
        along = [*along[: MOST_ALONG - 1], f"and {len(along) - MOST_ALONG + 1} more"]
    return Text("\n").join([Text(last), *(Text(name, "dim") for name in along)])


def _became(region: Region) -> Text:
    lines = [Text("the host computes it")] if region.on_host else []
    lines += [Text(f"fused into {name}") for name in region.fused_into]
    lines += [Text.assemble(unit.name, (f" {unit.kind}", "dim")) for unit in region.kernels]
    return Text("\n").join(lines or [Text("nothing", "dim")])


def _integers(integers: Integers | None) -> Text:
    """Type and range, then what n stands for."""
    if integers is None:
        return Text("")
    text = Text(f"{integers.type}, {integers.low:,} … {integers.high:,}")
    if integers.scale is None:
        return text
    number = "n" if integers.multiplier == 1 else f"{integers.multiplier}n"
    if integers.offset:
        number = f"({number} {'-' if integers.offset < 0 else '+'} {abs(integers.offset):,})"
    lines = f"{number} × {_over_channels(integers.scale)}"
    if any(integers.bias):
        lines += f"\n+ {_over_channels(integers.bias)}"
    return text.append(f"\n{lines}", "dim")


def _over_channels(bounds: tuple[float, float]) -> str:
    low, high = bounds
    return _number(low) if low == high else f"({_number(low)} … {_number(high)} per channel)"


def _number(value: float) -> str:
    """A power of two by its exponent, anything else in four digits."""
    if value > 0 and value != 1 and log2(value).is_integer():
        return f"2^{log2(value):.0f}"
    return f"{value:.4g}"


def _refusal(refusal: Refusal) -> Panel:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    if refusal.node is not None:
        grid.add_row("node", f"{refusal.node.name}, {refusal.node.op_type}")
    for one in refusal.inputs:
        grid.add_row("input", _input(one))
    grid.add_row("reason", refusal.reason)
    return Panel(grid, title="[bold]refused[/bold]", border_style="red", expand=False)


def _input(one: Input) -> Text:
    shape = "of unknown shape" if one.shape is None else str(one.shape)
    text = Text(f"{one.tensor} {shape}: {one.known}")
    if one.integers is not None:
        text.append(": ").append_text(Text(" ").join(_integers(one.integers).split("\n")))
    if one.waiting:
        text.append(f"; behind them wait {', '.join(one.waiting)}")
    return text


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


def counts(model: str, found: Any, hardware: Any) -> Table:
    """What a network costs."""
    table = Table(model, "count", box=None, header_style="bold")
    table.columns[1].justify = "right"
    binary = found.binary + found.high + found.low
    rows = {
        "binary operations (XNOR and count)": binary,
        "  of them second phases of fractional layers": found.low,
        "numbers through batch norms": found.norm_elements,
        "numbers through RPReLUs": found.rprelu_elements,
        "multiply-accumulates in floating point": found.linear,
        "binary weights, bits": found.weight_bits,
        "other parameters": found.float_parameters,
        "emitted hardware: XNORs": hardware.xnors,
        "emitted hardware: additions": hardware.additions,
        "emitted hardware: shifts": hardware.shifts,
        "emitted hardware: multiplications": hardware.multiplications,
    }
    for name, value in rows.items():
        table.add_row(name, f"{value:,}")
    return table


def conventions(before: str, after: str, old: Any, new: Any, ways: Iterable[Any]) -> Table:
    """BOPs/64 + FLOPs of two networks, under several conventions."""
    table = Table(
        "paper convention: BOPs/64 + FLOPs, in millions",
        before,
        after,
        "share",
        box=None,
        header_style="bold",
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for way in ways:
        full, less = way.operations(old) / 1e6, way.operations(new) / 1e6
        table.add_row(way.name, f"{full:.4f}", f"{less:.4f}", f"{100 * less / full:.1f} %")
    return table


@dataclass
class TrainProgress:
    """Shows a running training: a bar over all epochs with the time left, a line an epoch."""

    console: Console
    epochs: int
    _progress: Progress = field(init=False)
    _task: TaskID = field(init=False)

    def __enter__(self) -> TrainProgress:
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=self.console, transient=True)
        self._progress.start()
        self._task = self._progress.add_task("training", total=self.epochs)
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def step(self, step: Any) -> None:
        """A batch was trained."""
        done = step.epoch - 1 + step.step / step.steps
        self._progress.update(
            self._task, completed=done, description=f"epoch {step.epoch}, loss {step.loss:.3f}"
        )

    def epoch(self, epoch: Any) -> None:
        """An epoch has ended."""
        self.console.print(
            f"epoch {epoch.number:>3} of {self.epochs}  loss {epoch.loss:.4f}  "
            f"test accuracy {100 * epoch.test_accuracy:.2f} %  {epoch.seconds:.0f} s"
        )


@dataclass
class ExploreProgress:
    """Shows a running exploration: a bar a part with the time left."""

    console: Console
    _progress: Progress = field(init=False)
    _tasks: dict[str, TaskID] = field(default_factory=dict)

    def __enter__(self) -> ExploreProgress:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=self.console, transient=True)
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def update(self, explored: Explored) -> None:
        """A point is there, or a part begins."""
        if explored.part not in self._tasks:
            self._tasks[explored.part] = self._progress.add_task(
                explored.part, total=explored.total, completed=explored.done
            )
        self._progress.update(self._tasks[explored.part], completed=explored.done)
        if explored.done == explored.total:
            kept = f", {explored.kept} of them from before" if explored.kept else ""
            self.console.print(f"{explored.part}: {explored.total}{kept}")


def front_tables(points: Iterable[Point]) -> Group:
    """The points of a front in their order, a table for each board and clock."""
    groups = groupby(points, key=lambda point: (point.board, point.clock_mhz))
    return stacked(*(_front_table(f"{board}, {clock:g} MHz", group) for (board, clock), group in groups))


def _front_table(title: str, points: Iterable[Point]) -> Table:
    table = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for name in ("frames/s", "cycles", "latency µs", "LUT", "", "BRAM36", ""):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("limited by", overflow="fold")
    for point in points:
        table.add_row(
            f"{point.fps:,.{0 if point.fps >= 100 else 2}f}",
            f"{point.interval:,}",
            f"{point.latency_us:,.1f}",
            f"{point.luts:,}",
            f"{point.shares['LUT']:.1%}",
            f"{point.bram36:g}",
            f"{point.shares['BRAM']:.1%}",
            point.bottleneck,
        )
    return table


def stacked(*parts: Any) -> Group:
    """Parts under one another with an empty line between."""
    spaced: list[Any] = []
    for part in parts:
        spaced += [part, Text()]
    return Group(*spaced[:-1])
