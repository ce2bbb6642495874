"""Explores boards, clocks and foldings; every point is kept in a file of its own, so that a run goes on.

The folder holds `points/KEY.json`, one a task, where KEY is a digest of the design, the task and the version
of the package; and, written at the end from those, `points.json`, `front.csv` and `front.svg`. Nothing in
them depends on where the tasks ran, in which order, or in how many runs.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dask.base import tokenize
from pydantic import TypeAdapter, ValidationError

from bnn2fpga.boards.board import Board, load_board
from bnn2fpga.design.graph import Design
from bnn2fpga.errors import ConfigError, FoldingError
from bnn2fpga.files.output_folder import blaming, claim
from bnn2fpga.files.package_data import package_digest
from bnn2fpga.files.writing import write_whole
from bnn2fpga.planning.exploration.front_plot import draw_front
from bnn2fpga.planning.exploration.points import Point, Refused, Result, Task, front
from bnn2fpga.planning.exploration.workers import Evaluate
from bnn2fpga.planning.timing.schedule import interval

POINTS = 16
"""Frame rates tried for each board and clock."""
MOST_POINTS = 10_000
_RESULT: TypeAdapter[Result] = TypeAdapter(Point | Refused)


@dataclass(frozen=True)
class Space:
    """What is explored: every board at every clock (each board's default if there are none).

    At each, `fps` are the frame rates asked for; without them, the fastest folding that fits and others down
    to the smallest, `points` in all, their intervals spread geometrically.
    """

    boards: tuple[Board, ...]
    clocks_mhz: tuple[float, ...] = ()
    fps: tuple[float, ...] = ()
    points: int = POINTS

    @classmethod
    def of(
        cls,
        boards: Iterable[str | Path],
        clocks_mhz: Iterable[float] = (),
        fps: Iterable[float] = (),
        points: int = POINTS,
    ) -> Space:
        """Boards by name or file; ConfigError for an unknown one, two of one name, too many points."""
        if not 1 <= points <= MOST_POINTS:
            raise ConfigError(f"points={points:,}; legal: 1 to {MOST_POINTS:,}")
        loaded = tuple(dict.fromkeys(map(load_board, boards)))
        names = [board.name for board in loaded]
        if len(set(names)) < len(names):
            raise ConfigError(f"two boards share a name: {', '.join(names)}; give each its own")
        return cls(loaded, tuple(clocks_mhz), tuple(fps), points)

    def first_tasks(self) -> list[Task]:
        """The frame rates that are asked for, or the fastest folding of each board and clock."""
        clocks = self.clocks_mhz or (None,)
        pairs = dict.fromkeys((board, board.clock(clock)) for board in self.boards for clock in clocks)
        rates = tuple(dict.fromkeys(self.fps)) or (None,)
        return [Task(board, clock, rate) for board, clock in pairs for rate in rates]

    def further_tasks(self, done: Iterable[tuple[Task, Result]], slowest: int) -> list[Task]:
        """Between each fastest folding that was found and the interval `slowest`."""
        return [
            Task(task.board, task.clock_mhz, task.clock_mhz * 1e6 / (cycles + 0.5))
            for task, found in done
            if task.fps is None and isinstance(found, Point)
            for cycles in _intervals(found.interval, slowest, self.points)
        ]


def _intervals(fastest: int, slowest: int, points: int) -> list[int]:
    """The integers above `fastest` of `points` steps from there to `slowest`, spread geometrically.

    Half a cycle is added where one becomes a frame rate, so that no rounding makes it a cycle less.
    """
    steps = (fastest * (slowest / fastest) ** (step / max(1, points - 1)) for step in range(1, points))
    return sorted({round(step) for step in steps} - {fastest})


@dataclass(frozen=True)
class Progress:
    """`done` of `total` results of a part are there; `kept` of them are an earlier run's."""

    part: str
    done: int
    total: int
    kept: int


def explore(
    design: Design,
    space: Space,
    folder: Path,
    evaluate: Evaluate,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> tuple[list[Point], list[Refused]]:
    """The front of the lowered `design`, and the tasks that no folding meets; writes them into `folder`.

    Computes only what the folder does not hold yet. Raises FoldingError if no task has a folding, and
    ConfigError if the folder is somebody else's or cannot be written.
    """
    first = space.first_tasks()
    with claim(folder):
        store = _Store(folder / "points", tokenize(design.nodes, design.edges) + package_digest())
        part = "asked frame rates" if space.fps else "fastest foldings"
        done = list(_complete(design, first, store, evaluate, part, on_progress))
        further = space.further_tasks(done, interval(design))
        done += _complete(design, further, store, evaluate, "slower foldings", on_progress)
        results = sorted((result for _, result in done), key=_place)
        points = [result for result in results if isinstance(result, Point)]
        refused = [result for result in results if isinstance(result, Refused)]
        if not points:
            raise FoldingError(f"no point to draw; {refused[0].refusal}")
        best = front(points)
        write_whole(folder / "points.json", _as_json({"design": design.name, "points": results}))
        write_whole(folder / "front.csv", _as_csv(best))
        write_whole(folder / "front.svg", draw_front(design.name, space.boards, points, best))
    return best, refused


@dataclass(frozen=True)
class _Store:
    """Results in files named by a digest of what they depend on."""

    folder: Path
    version: str

    def path(self, task: Task) -> Path:
        key = tokenize(self.version, task.board.model_dump_json(), task.clock_mhz, task.fps)
        return self.folder / f"{key}.json"

    def get(self, task: Task) -> Result | None:
        try:
            return _RESULT.validate_json(self.path(task).read_bytes())
        except (OSError, ValidationError):
            return None

    def put(self, task: Task, result: Result) -> None:
        with blaming(self.folder):
            self.folder.mkdir(exist_ok=True)
        write_whole(self.path(task), result.model_dump_json(indent=1).encode() + b"\n")


def _complete(
    design: Design,
    tasks: Sequence[Task],
    store: _Store,
    evaluate: Evaluate,
    part: str,
    say: Callable[[Progress], None],
) -> Iterator[tuple[Task, Result]]:
    """Every task with its result: those in the store, then the others as they come."""
    found = {task: result for task in tasks if (result := store.get(task)) is not None}
    missing = [task for task in tasks if task not in found]
    if tasks:
        say(Progress(part, len(found), len(tasks), len(found)))
    yield from found.items()
    if not missing:
        return
    for count, (task, result) in enumerate(evaluate(design, missing), len(found) + 1):
        store.put(task, result)
        say(Progress(part, count, len(tasks), len(found)))
        yield task, result


def _place(result: Result) -> tuple[str, float, float]:
    """By board, clock and frame rate asked for, the fastest folding last."""
    asked = float("inf") if result.asked_fps is None else result.asked_fps
    return result.board, result.clock_mhz, asked


def _as_json(value: dict[str, object]) -> bytes:
    return json.dumps(value, indent=1, default=lambda model: model.model_dump()).encode() + b"\n"


def _as_csv(points: Sequence[Point]) -> bytes:
    """A line a point; a column of its own for each kind of resource's share."""
    rows = [
        point.model_dump(exclude={"shares"}) | {f"share_{k}": v for k, v in point.shares.items()}
        for point in points
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
