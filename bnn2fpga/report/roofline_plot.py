"""The picture of a roofline: operations a second against operations a byte, both logarithmic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Any

from bnn2fpga.files.templates import render

WIDTH, HEIGHT = 720.0, 380.0
LEFT, RIGHT, TOP, BOTTOM = 74.0, 22.0, 20.0, 48.0
"""Margins that hold the axes' texts."""
LABEL = 200.0
"""Width of a point's text, about."""
_PREFIXES = ("", "k", "M", "G", "T", "P", "E")


@dataclass(frozen=True)
class Tick:
    """A decade of an axis, in pixels, and its text."""

    at: float
    text: str


@dataclass(frozen=True)
class _Axes:
    """Decades `x` and `y`, from and to."""

    x: tuple[int, int]
    y: tuple[int, int]

    def at_x(self, value: float) -> float:
        low, high = self.x
        return LEFT + (log10(value) - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def at_y(self, value: float) -> float:
        low, high = self.y
        return HEIGHT - BOTTOM - (log10(value) - low) / (high - low) * (HEIGHT - TOP - BOTTOM)


def roofline_svg(roofline: Mapping[str, Any]) -> str:
    """An SVG of a roofline as `roofline.roofline` gives it; empty for a design without operations."""
    points = roofline["points"]
    if not points[0]["rate"]:
        return ""
    memory, compute, folding = (roofline[f"{name}_roof"] for name in ("memory", "compute", "folding"))
    ridge = compute / memory
    intensities = [ridge, *(point["intensity"] for point in points)]
    rates = [compute, folding, *(point["rate"] for point in points)]
    x = floor(log10(min(intensities) / 2)), ceil(log10(max(intensities) * 2))
    axes = _Axes(x, (floor(log10(min(rates) / 2)), ceil(log10(max(rates) * 1.5))))
    low, high = (10.0**end for end in axes.x)
    bottom = 10.0 ** axes.y[0]
    # the slope begins where it leaves the left border or the bottom
    start = max(low, bottom / memory)
    marks = [(axes.at_x(point["intensity"]), axes.at_y(point["rate"])) for point in points]
    across, up = (abs(a - b) for a, b in zip(*marks, strict=True))
    crowded = across < 2 * LABEL and up < 30
    corners = [(start, start * memory), (ridge, compute), (high, compute)]
    return render(
        "roofline.svg.j2",
        width=WIDTH,
        height=HEIGHT,
        frame=(LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM),
        x_ticks=[Tick(axes.at_x(10.0**e), with_prefix(10.0**e)) for e in range(axes.x[0], axes.x[1] + 1)],
        y_ticks=[Tick(axes.at_y(10.0**e), with_prefix(10.0**e)) for e in range(axes.y[0], axes.y[1] + 1)],
        roof=" ".join(f"{axes.at_x(a):.1f},{axes.at_y(b):.1f}" for a, b in corners),
        roof_at=axes.at_y(compute),
        roof_text=f"{with_prefix(compute)}OP/s: the board's LUTs as XNOR units",
        folding_at=axes.at_y(folding),
        folding_text=f"{with_prefix(folding)}OP/s: this folding, if no unit ever waits",
        points=[
            {
                "x": mark_x,
                "y": mark_y,
                # the first point is never below the second
                "label_y": mark_y + (-10 if crowded and number == 0 else 18),
                "left": mark_x > WIDTH / 2,
                "text": f"{point['name']}: {with_prefix(point['rate'])}OP/s",
            }
            for number, (point, (mark_x, mark_y)) in enumerate(zip(points, marks, strict=True))
        ],
    )


def with_prefix(value: float) -> str:
    """Three digits and the prefix of a unit: 1.23 T; small numbers without one."""
    power = max(0, min(len(_PREFIXES) - 1, floor(log10(value) / 3))) if value > 0 else 0
    return f"{value / 1000.0**power:.3g} {_PREFIXES[power]}"
