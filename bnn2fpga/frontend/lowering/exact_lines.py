"""Two lines in integers that give a table of integers, to the last unit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from bnn2fpga.design.integers import Ints
from bnn2fpga.design.two_slopes import TwoSlopes

MOST_SHIFT = 20
LEAST_POINTS = 4
"""Of a channel; through fewer almost any lines go."""
OPEN = 1 << 60
"""Farther than any line reaches."""
NEAR, FAR = 3, 100
"""Points around the likely knee at which the lines may change: the blunter it is, the more."""
MOST_SLOPES = 17
"""Slopes tried for one line at one shift."""

Line = tuple[int, int]
"""Slope and constant, times 2**shift."""


@dataclass(frozen=True)
class Limits:
    """Where lines are cut off: a value at `low` stands for all below, one at `high` for all above."""

    low: float = -np.inf
    high: float = np.inf


def exact_lines(points: Ints, values: Ints, limits: Limits = Limits()) -> TwoSlopes | None:
    """Lines whose rounded-down values are the integers `values` (R, C) at `points` (R,); None if none are.

    The smallest shift is taken that serves every channel, which for slopes that are powers of two is their
    exponent. Not every such pair of lines is found, but those with a knee that can be seen are.
    """
    if len(points) < LEAST_POINTS:
        return None
    found: list[tuple[int, Line, Line]] = []
    shift = 0
    while len(found) < values.shape[1]:
        # a channel served at a smaller shift is served at a larger one too, so none is tried again
        lines = _two_lines(points, values[:, len(found)].astype(np.int64), shift, limits)
        if lines is None:
            if shift == MOST_SHIFT:
                return None
            shift += 1
            found = [(knee, _doubled(low), _doubled(high)) for knee, low, high in found]
        else:
            found.append(lines)
    knees, lows, highs = zip(*found, strict=True)
    slopes, constants = np.moveaxis(np.array([lows, highs]), 2, 0)
    return TwoSlopes(np.array(knees), slopes, constants, shift)


def _doubled(line: Line) -> Line:
    """The same line at a shift that is larger by one."""
    return 2 * line[0], 2 * line[1]


def _two_lines(points: Ints, values: Ints, shift: int, limits: Limits) -> tuple[int, Line, Line] | None:
    """The knee, and the lines below and from it on."""
    least = np.where(values > limits.low, values << shift, -OPEN)
    most = np.where(values < limits.high, (values + 1 << shift) - 1, OPEN)
    between = (values > limits.low) & (values < limits.high)
    if between.sum() < LEAST_POINTS:
        between[:] = True
    inner, heights = points[between], values[between]
    # two lines are farthest from their chord where they meet
    chord = (heights[-1] - heights[0]) / (inner[-1] - inner[0])
    likely = int(np.abs(heights - heights[0] - chord * (inner - inner[0])).argmax())
    middle = min(max(likely, 1), len(inner) - 2)
    turn = np.diff(heights[[0, middle, -1]]) / np.diff(inner[[0, middle, -1]])
    # rounding down by up to 1 moves the farthest point, along the line that leaves the chord more slowly
    near = min(FAR, NEAR + int(1 / max(np.abs(turn - chord).min(), 1 / FAR)))
    for at in sorted({0, *range(max(1, likely - near), likely + near + 1)}, key=lambda a: abs(a - likely)):
        if at < len(inner):
            knee = int(np.searchsorted(points, inner[at])) if at else 0
            slopes = _slopes(inner[:at], heights[:at], shift)
            low = _line(points[:knee], least[:knee], most[:knee], slopes)
            slopes = _slopes(inner[at:], heights[at:], shift)
            high = _line(points[knee:], least[knee:], most[knee:], slopes)
            if low and high:
                return int(points[knee]), low, high
    return None


def _line(points: Ints, least: Ints, most: Ints, slopes: Iterable[int]) -> Line | None:
    """The first of the `slopes` and the middle of the constants that give `least` to `most` at `points`."""
    if not len(points):
        return 0, 0
    for slope in slopes:
        rise = slope * points
        low, high = int((least - rise).max()), int((most - rise).min())
        if low <= high:
            # where all values are at one limit, one end is open
            low, high = low if low > -OPEN // 2 else high, high if high < OPEN // 2 else low
            return slope, (low + high) // 2
    return None


def _slopes(points: Ints, values: Ints, shift: int) -> Iterator[int]:
    """Those that the ends allow, nearest to the slope between them first."""
    if len(points) == 1:
        yield 0
        return
    run, rise = int(points[-1] - points[0]), int(values[-1] - values[0])
    nearest = round(rise * 2**shift / run)
    reach = min(MOST_SLOPES // 2, 1 + 2**shift // run)
    yield from sorted(range(nearest - reach, nearest + reach + 1), key=lambda slope: abs(slope - nearest))
