"""The picture of a front: frame rate against LUTs and against block RAM."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from bnn2fpga.boards.board import USABLE, Board
from bnn2fpga.planning.exploration.points import Point

# one colour more than markers: their pairs repeat after thirty
_COLOURS = ("#0b6e99", "#c4511b", "#4b7f2b", "#7d3c98", "#b8860b", "#444444")
_TICKS = (1, 2, 5)
_MARKERS = "osD^v"


def draw_front(title: str, boards: Sequence[Board], points: Sequence[Point], best: Sequence[Point]) -> bytes:
    """An SVG, the same bytes for the same points.

    All `points` are dots, the `best` are markers, a colour and shape for each board and clock; a dashed line
    is the part of a board that is planned with.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter, SymmetricalLogLocator

    figure = Figure(figsize=(10, 4.4), layout="constrained")
    FigureCanvasSVG(figure)
    panels = zip(figure.subplots(1, 2, sharey=True), ("luts", "bram36"), ("LUT", "BRAM36"), strict=True)
    for axes, field, label in panels:
        _panel(axes, field, boards, points, best)
        axes.set(xlabel=label, yscale="log")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    left, right = figure.axes
    left.set(ylabel="frames a second", xscale="log")
    left.xaxis.set_major_locator(LogLocator(subs=_TICKS))
    # log from one block upwards: many designs have none
    right.set_xscale("symlog", linthresh=1)
    right.xaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=1, subs=_TICKS))
    right.set_xlim(left=-0.1)
    for axis in (left.xaxis, left.yaxis, right.xaxis):
        axis.set_major_formatter("{x:,.12g}")
        axis.set_minor_formatter(NullFormatter())
    left.legend(fontsize="small")
    figure.suptitle(f"{title}: estimated before synthesis")
    with matplotlib.rc_context({"svg.hashsalt": "bnn2fpga"}):
        picture = io.BytesIO()
        figure.savefig(picture, format="svg", metadata={"Date": None})
    return picture.getvalue()


def _panel(
    axes: Any, field: str, boards: Sequence[Board], points: Sequence[Point], best: Sequence[Point]
) -> None:
    groups = groupby(best, key=lambda point: (point.board, point.clock_mhz))
    for index, ((board, clock), group) in enumerate(groups):
        colour, marker = _COLOURS[index % len(_COLOURS)], _MARKERS[index % len(_MARKERS)]
        members = list(group)
        others = [point for point in points if (point.board, point.clock_mhz) == (board, clock)]
        axes.plot(*_series(others, field), ".", color=colour, markersize=3)
        axes.plot(
            *_series(members, field),
            f"{marker}-",
            color=colour,
            linewidth=0.8,
            markersize=5,
            label=f"{board}, {clock:g} MHz",
        )
    for board in boards:
        limit = USABLE * getattr(board, field)
        axes.axvline(limit, color="#888888", linestyle="--", linewidth=0.8)
        axes.annotate(
            f"{USABLE:.0%} of {board.name}",
            (limit, 0.02),
            xycoords=("data", "axes fraction"),
            rotation=90,
            ha="right",
            va="bottom",
            fontsize="x-small",
            color="#888888",
        )


def _series(points: Sequence[Point], field: str) -> tuple[list[float], list[float]]:
    return [getattr(point, field) for point in points], [point.fps for point in points]
