"""Progress of long work: builds, training, explorations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.console import Console
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
from rich.text import Text

from bnn2fpga.cli.tables import level_line

if TYPE_CHECKING:
    from bnn2fpga.build.ladder import Level
    from bnn2fpga.build.seeds import Placed
    from bnn2fpga.build.step_runner import StepEvent
    from bnn2fpga.planning.exploration.explore import Progress as Explored


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

    def placed(self, placed: Placed) -> None:
        """A seed of place and route has ended; the bar is the budget."""
        reached = "no result" if placed.fmax_mhz is None else f"{placed.fmax_mhz:g} MHz"
        best = f"best {placed.best_mhz:g} MHz (seed {placed.best_seed})"
        self.console.print(Text(f"    seed {placed.seed}: {reached}, {best}"))
        if self._task is not None:
            self._progress.update(
                self._task,
                total=placed.budget,
                completed=placed.spent,
                description=f"place and route: {best}",
            )

    def epoch(self, result: Any) -> None:
        """An epoch of training has ended."""
        if self._task is not None:
            self._progress.update(
                self._task,
                total=result.epochs,
                completed=result.epoch,
                description=f"train: loss {result.loss:.3f}, test accuracy {result.test_accuracy:.1%}",
            )


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
