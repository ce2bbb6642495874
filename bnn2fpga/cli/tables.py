"""The tables and bars that the command line prints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from bnn2fpga.build.coverage import Coverage
    from bnn2fpga.build.ladder import Level
    from bnn2fpga.planning.estimate import Estimate
    from bnn2fpga.planning.timing.fifo_needs import FifoNeed


BAR = 24
FIFOS = 8
"""FIFOs that a table names."""


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


def coverage_lines(found: Coverage, frames: int) -> Text:
    """What the first frames have shown."""
    rows = [
        ("thresholds seen from both sides", found.thresholds, ""),
        ("functions with every level seen", found.functions, ""),
    ]
    if found.flips:
        rows.append(("sampled weight bits whose flip shows", found.flips, f" ± {found.flips.error:.1f}"))
    lines = [f"the first {frames:,} frames have shown"]
    for name, share, error in rows:
        lines.append(f"    {name:<38} {share.found:,} of {share.total:,}  {share.percent:.1f}{error} %")
    return Text("\n".join(lines))


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


def share_bars(estimate: Estimate) -> Table:
    """Used resources as bars against the board's."""
    total, board = estimate.total, estimate.board
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


def summary(facts: Mapping[str, Any], estimate: Estimate, report: Path) -> Panel:
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
            grid.add_row(*_tolerated(level))
    design = facts["design"]
    layers = sum(kernel["kernel"].endswith("Mvu") for kernel in design["kernels"])
    grid.add_row(
        "network",
        f"{layers} layers in {len(design['kernels'])} kernels, {design['operations']:,} operations a frame, "
        f"{design['weight_bits'] / 8192:,.1f} KiB of weights, no multiplier",
    )
    if any(node["multiply_accumulates"] for node in design["host"]):
        grid.add_row("host", host_line(design["host"]))
    grid.add_row("speed", speed(estimate))
    grid.add_row("estimate", f"before synthesis, on {estimate.board.title} ({estimate.board.part})")
    grid.add_row("", share_bars(estimate))
    routed = facts["implementation"]
    if routed:
        used = ", ".join(f"{name} {n:,g}" for name, (n, _) in routed["used"].items())
        grid.add_row("routed", f"{routed['tool']}: slack {routed['timing']['setup_ns']:g} ns; {used}")
    grid.add_row("files", f"{report.parent}: the HLS project in *-hls/, for the board *-deploy/")
    grid.add_row("report", str(report / "index.html"))
    return Panel(grid, title=f"[bold]{estimate.design}[/bold]", border_style="green", expand=False)


def host_line(nodes: Iterable[Mapping[str, Any]]) -> str:
    """What the host computes beside the accelerator."""
    layers = [node for node in nodes if node["multiply_accumulates"]]
    parameters = sum(node["parameters"] for node in nodes)
    products = sum(node["multiply_accumulates"] for node in layers)
    return (
        f"{', '.join(node['name'] for node in layers)} in floating point: {parameters:,} parameters, "
        f"{products:,} multiply-accumulates a frame"
    )


def _tolerated(level: Mapping[str, Any]) -> tuple[str, str]:
    """A level that may differ, in words."""
    equal = f"{level['equal']:,} of {level['frames']:,}"
    if "ties" in level["compared"]:
        return "float ties", f"{equal} frames as {level['reference']}: {level['compared'].split(',')[0]}"
    return "rounded", f"{equal} labels as before rounding"


def counts(model: str, found: Any, hardware: Any) -> Table:
    """What a network costs."""
    table = Table(model, "count", box=None, header_style="bold")
    table.columns[1].justify = "right"
    binary = found.binary + found.high + found.low
    rows = {
        "binary operations (XNOR and count)": binary,
        "  of them second phases of fractional layers": found.low,
        "attention: products of two streams": found.attention,
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


def split_share(whole: int, split: int) -> Text:
    """What split-and-mixed layers take off the blocks' convolutions, without the attention."""
    share = 100 * (split / whole - 1)
    return Text(f"convolutions of the blocks: {split:,} products, {whole:,} if all were whole: {share:.1f} %")


def float_counts(name: str, found: Any) -> Table:
    """What a network in floating point costs, beside its size."""
    table = Table(name, "count", box=None, header_style="bold")
    table.columns[1].justify = "right"
    for what in ("convolutions", "depthwise", "linear", "attention"):
        table.add_row(f"multiply-accumulates: {what}", f"{getattr(found, what):,}")
    table.add_row("all", f"{found.macs / 1e9:.3f} G")
    table.add_row("parameters", f"{found.parameters / 1e6:.2f} M")
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


def stacked(*parts: Any) -> Group:
    """Parts under one another with an empty line between."""
    spaced: list[Any] = []
    for part in parts:
        spaced += [part, Text()]
    return Group(*spaced[:-1])
