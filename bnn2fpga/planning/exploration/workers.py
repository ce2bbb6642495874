"""Evaluates tasks: in this process, in worker processes of this machine, or on a cluster, by Dask.

Dask can compute again only what came out of a function. The design therefore goes to the scheduler as the
argument of one (scattered data would be lost with the last worker that holds it), and every task depends on
its result: a worker may die at any time, with the design, with results that were not fetched yet.
"""

from __future__ import annotations

import logging
import pickle
import signal
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from bnn2fpga.design.graph import Design
from bnn2fpga.design.host import IntegerHost
from bnn2fpga.errors import ConfigError, ToolError
from bnn2fpga.files.package_data import package_digest
from bnn2fpga.planning.exploration.points import Result, Task, evaluate

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

Evaluate = Callable[[Design, Sequence[Task]], Iterator[tuple[Task, Result]]]
"""Gives each task with its result, in any order."""


@contextmanager
def open_pool(workers: int | None = None, scheduler: str | None = None) -> Iterator[Evaluate]:
    """Where tasks are evaluated: at a Dask `scheduler` (tcp://host:port), or else by `workers` processes.

    One worker is this process; None is one for each core. Dask starts with the first task. Raises
    ConfigError for both, or for no worker; evaluation raises ToolError if the scheduler cannot be reached,
    is lost, or if a task has killed every worker it was given to.
    """
    if workers is not None and (scheduler is not None or workers < 1):
        raise ConfigError(
            f"{workers} workers{f' and the scheduler {scheduler}' if scheduler else ''}; "
            "legal: 1 or more, or a scheduler, which has workers of its own"
        )
    if workers == 1:
        yield lambda design, tasks: ((task, evaluate(design, task)) for task in tasks)
        return
    with ExitStack() as stack:
        connect = cache(lambda: stack.enter_context(_client(workers, scheduler)))
        yield lambda design, tasks: _on_dask(connect(), design, tasks)


@contextmanager
def _client(workers: int | None, scheduler: str | None) -> Iterator[Client]:
    from distributed import Client
    from distributed.utils import silence_logging_cmgr

    if scheduler is None:
        with _local_cluster(workers) as cluster, Client(cluster) as client:
            yield client
        return
    try:
        client = Client(scheduler, timeout="10s")
    except (OSError, ValueError) as error:
        raise ToolError(
            f"no Dask scheduler answers at {scheduler}: {error}; start one with `dask scheduler`"
        ) from error
    with silence_logging_cmgr(logging.CRITICAL), client:
        versions = client.get_versions(packages=["bnn2fpga"])["workers"]
        bare = [worker for worker, found in versions.items() if not found["packages"].get("bnn2fpga")]
        if bare:
            raise ToolError(
                f"bnn2fpga is not installed for the Dask workers {', '.join(bare)}; install it there"
            )
        yield client


def _local_cluster(workers: int | None) -> LocalCluster:
    import dask
    from dask.system import CPU_COUNT
    from distributed import LocalCluster

    # with Dask's setting every array of more than 64 KiB is mapped anew, and folding takes twice as long
    unset = dask.config.set({"distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None})
    with unset, _deaf_to_interrupts():
        return LocalCluster(
            n_workers=workers or CPU_COUNT,
            threads_per_worker=1,
            dashboard_address=":0",
            silence_logs=logging.CRITICAL,
        )


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Processes that start meanwhile never hear Ctrl-C, which a terminal sends to them, too; we end them.

    A Ctrl-C of these two or three seconds is lost; the next one counts.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _on_dask(client: Client, design: Design, tasks: Sequence[Task]) -> Iterator[tuple[Task, Result]]:
    from distributed import KilledWorker, as_completed

    unpacked = client.submit(_unpack, _pack(design))
    futures = client.map(_evaluate, tasks, design=unpacked, version=package_digest())
    task_of = {future.key: task for future, task in zip(futures, tasks, strict=True)}
    try:
        for future in as_completed(futures):
            yield task_of[future.key], future.result()
    except (KilledWorker, CancelledError, OSError) as error:
        raise ToolError(
            f"Dask gave up: {error}; see the logs of its scheduler and workers; what is computed is kept, "
            "the same command goes on"
        ) from error


def _pack(design: Design) -> bytes:
    """Folding needs no host; one that executes a graph could not be sent."""
    bare = replace(design, host=IntegerHost(design.inputs[0].stream.shape))
    return zlib.compress(pickle.dumps(bare), level=1)


def _unpack(packed: bytes) -> Design:
    return pickle.loads(zlib.decompress(packed))


def _evaluate(task: Task, design: Design, version: str) -> Result:
    if package_digest() != version:
        raise ConfigError("a worker has another version of bnn2fpga installed; install this one everywhere")
    return evaluate(design, task)
