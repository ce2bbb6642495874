"""A point of the design space: what a board does at a clock and a frame rate, and which points are best."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from pydantic import BaseModel, ConfigDict

from bnn2fpga.boards.board import Board
from bnn2fpga.design.graph import Design
from bnn2fpga.errors import FoldingError
from bnn2fpga.planning.estimate import Estimate, estimate
from bnn2fpga.planning.folding.fold import fold


@dataclass(frozen=True)
class Task:
    """A folding to find: of `fps` frames a second at least, or without `fps` the fastest that fits."""

    board: Board
    clock_mhz: float
    fps: float | None = None


class Asked(BaseModel):
    """What a task has asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    board: str
    clock_mhz: float
    asked_fps: float | None


class Point(Asked):
    """What the folding reaches, as estimated. `interval` and `latency` are cycles, `shares` the board's."""

    fps: float
    interval: int
    latency: int
    luts: int
    """All of them: logic, memories and shift registers."""
    bram36: float
    shares: dict[str, float]
    bottleneck: str

    @property
    def latency_us(self) -> float:
        """Microseconds from a frame's first input beat to its last output beat."""
        return self.latency / self.clock_mhz

    def dominates(self, other: Point) -> bool:
        """Whether this one is as good in frame rate, LUTs and block RAM, and better in one of them."""
        mine, others = (-self.fps, self.luts, self.bram36), (-other.fps, other.luts, other.bram36)
        return mine != others and all(a <= b for a, b in zip(mine, others, strict=True))


class Refused(Asked):
    """There is no such folding; `refusal` says why, and what is reachable."""

    refusal: str


Result = Point | Refused


def evaluate(design: Design, task: Task) -> Result:
    """Folds the lowered `design` as the task asks; deterministic."""
    asked = Asked(board=task.board.name, clock_mhz=task.clock_mhz, asked_fps=task.fps).model_dump()
    try:
        folded = fold(design, task.board, task.clock_mhz, task.fps)
    except FoldingError as error:
        return Refused(**asked, refusal=str(error))
    facts = estimate(folded, task.board)
    return Point(
        **asked,
        fps=facts.fps,
        interval=facts.interval,
        latency=facts.latency,
        luts=_luts(facts, task.board),
        bram36=facts.total.bram36,
        shares=facts.shares,
        bottleneck=facts.bottleneck,
    )


def _luts(facts: Estimate, board: Board) -> int:
    """Those of every use: what the board's share is a share of."""
    return round(facts.shares["LUT"] * board.luts)


def front(points: Iterable[Point]) -> list[Point]:
    """The points that no other of their board and clock dominates, by board, clock and frame rate.

    Clocks are not compared: that a design closes timing at the higher one is not estimated. Of points that
    are equal in frame rate, LUTs and block RAM one is kept, that of the lowest latency.
    """
    kept: list[Point] = []
    for _, group in groupby(sorted(points, key=_order), key=lambda point: (point.board, point.clock_mhz)):
        rivals = list(group)
        for point in rivals:
            if any(rival.dominates(point) for rival in rivals) or (kept and _same(kept[-1], point)):
                continue
            kept.append(point)
    return kept


def _order(point: Point) -> tuple[str, float, float, int, float, int, str]:
    """Total, so that the front does not depend on the order in which points come."""
    costs = (point.luts, point.bram36, point.latency)
    return (point.board, point.clock_mhz, point.fps, *costs, point.model_dump_json())


def _same(one: Point, other: Point) -> bool:
    return _order(one)[:5] == _order(other)[:5]
