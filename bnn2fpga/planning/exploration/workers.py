"""Evaluates tasks of an exploration in a pool."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from bnn2fpga.design.graph import Design
from bnn2fpga.design.host import IntegerHost
from bnn2fpga.planning.exploration.points import Result, Task, evaluate
from bnn2fpga.planning.pool import open_pool

Evaluate = Callable[[Design, Sequence[Task]], Iterator[tuple[Task, Result]]]
"""Gives each task with its result, in any order."""


@contextmanager
def open_evaluation(workers: int | None = None, scheduler: str | None = None) -> Iterator[Evaluate]:
    """Where tasks are evaluated, and what is raised: see `open_pool`."""
    with open_pool(workers, scheduler) as pool:
        yield lambda design, tasks: pool.apply(_evaluate, bare(design), tasks)


def bare(design: Design) -> Design:
    """Folding needs no host; one that executes a graph could not be sent."""
    return replace(design, host=IntegerHost(design.inputs[0].stream.shape))


def _evaluate(task: Task, design: Design) -> Result:
    return evaluate(design, task)
