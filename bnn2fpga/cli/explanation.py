"""An explanation as a table: what became of each part of a graph, and what was refused."""

from __future__ import annotations

from math import log2

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from bnn2fpga.cli.tables import stacked
from bnn2fpga.design.explanation import Explanation, Input, Integers, Refusal, Region

MOST_ALONG = 8
"""Lines of the nodes that a region took along."""


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
