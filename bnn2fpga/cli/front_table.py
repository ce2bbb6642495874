"""A front as tables: what each board does at each clock."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from rich.console import Group
from rich.table import Table

from bnn2fpga.cli.tables import stacked
from bnn2fpga.planning.exploration.points import Point


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
