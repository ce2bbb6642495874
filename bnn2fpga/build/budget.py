"""Verification within a time: which frames come first, and how many of them each level gets."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bnn2fpga.build.compiler import Pipeline
from bnn2fpga.build.coverage import step_functions
from bnn2fpga.build.verify import climb, most_frames, random_frames
from bnn2fpga.design.graph import Design
from bnn2fpga.design.integers import Ints

POOL = 256
"""Frames from which those are chosen that come first."""
MOST_BITS = 1 << 28
"""Thresholds times frames that are compared for the choice."""


@dataclass(frozen=True, eq=False)
class Spread:
    """Frames, and how many of the first ones the C++ and the SystemVerilog run."""

    frames: npt.NDArray[Any]
    cpp_frames: int
    rtl_frames: int


def spread(pipeline: Pipeline, data: npt.NDArray[Any] | None, seconds: float, seed: int = 0) -> Spread:
    """Frames for about `seconds`: a third for numpy and the graph, for the C++, for the SystemVerilog.

    Each level's time for a frame is measured, compilation apart. Frames that show thresholds from another
    side come first, so that slow levels get those.
    """
    pool = _pool(pipeline, data, seed)
    first = pool[_order(pipeline, pool)]
    each = seconds / 3
    above = _seconds(pipeline, first[:2], 0, 0) / 2
    cpp = max(_seconds(pipeline, first[:1], 1, 0) - above, 1e-4)
    rtl = max(_seconds(pipeline, first[:1], 0, 1) - above, 1e-4)
    count = int(np.clip(each / above, 2, most_frames(pipeline)))
    frames = first[:count]
    if count > len(first):
        missing = count - len(first)
        rest = data[POOL : POOL + missing] if data is not None else first[:0]
        more = random_frames(pipeline, max(1, missing - len(rest)), seed + 1)[: missing - len(rest)]
        frames = np.concatenate([first, rest, more.astype(first.dtype)])
    return Spread(frames, *(int(np.clip(each / one, 1, len(frames))) for one in (cpp, rtl)))


def extremes(frames: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Frames of the smallest and the largest value of `frames` (N, …): all of one, in turns, in halves."""
    low, high = frames.min(), frames.max()
    size = frames[0].size
    turns = np.arange(size) % 2 == 0
    halves = np.arange(size) < size // 2
    masks = (np.zeros(size, bool), np.ones(size, bool), turns, ~turns, halves, ~halves)
    made = [np.where(mask, high, low).reshape(frames.shape[1:]) for mask in masks]
    return np.stack(made).astype(frames.dtype)


def _pool(pipeline: Pipeline, data: npt.NDArray[Any] | None, seed: int) -> npt.NDArray[Any]:
    some = random_frames(pipeline, 32, seed)
    own = some if data is None else np.concatenate([data[:POOL].astype(some.dtype), some])
    return np.concatenate([extremes(own), own])


def _order(pipeline: Pipeline, pool: npt.NDArray[Any]) -> list[int]:
    """Frames of nearly equal scores, then those that add most to the thresholds seen from both sides."""
    design = pipeline.lowered
    first = _ties(design, design.host.encode(pool))
    sides = []
    for steps, sums in step_functions(design, design.host.encode(pool)):
        values = sums.reshape(len(pool), -1, steps.channels)
        low, high = values.min(axis=1)[..., None], values.max(axis=1)[..., None]
        used = steps.signs != 0
        for seen in (low < steps.thresholds, high >= steps.thresholds):
            sides.append((seen & used).reshape(len(pool), -1))
    if not sides or sum(side.size for side in sides) > MOST_BITS:
        return first + [place for place in range(len(pool)) if place not in first]
    missing, left, order = np.concatenate(sides, axis=1), set(range(len(pool))) - set(first), [*first]
    missing &= ~missing[first].any(axis=0)
    while left:
        best = max(left, key=lambda place: (int(missing[place].sum()), -place))
        if not missing[best].any():
            break
        order.append(best)
        left.remove(best)
        missing = missing & ~missing[best]
    return order + sorted(left)


def _ties(design: Design, integers: Ints) -> list[int]:
    """The frames whose scores are closest together: all of them, and the largest two.

    Scores are the network's outputs, or what goes into a last kernel that makes one value of them.
    """
    passing = dict(design.trace(integers))
    edge = design.outputs[0]
    scores = passing[edge] if edge.stream.size > 1 else design.arriving(design.nodes[-1], passing)[0]
    ordered = np.sort(scores.reshape(len(integers), -1), axis=1)
    if ordered.shape[1] == 1:
        return []
    spreads, margins = ordered[:, -1] - ordered[:, 0], ordered[:, -1] - ordered[:, -2]
    return list(dict.fromkeys((int(spreads.argmin()), int(margins.argmin()))))


def _seconds(pipeline: Pipeline, frames: npt.NDArray[Any], cpp: int, rtl: int) -> float:
    """Of the second run, when all is compiled."""
    for _ in range(2):
        start = time.perf_counter()
        list(climb(pipeline, frames, None, cpp, rtl))
        took = time.perf_counter() - start
    return took
