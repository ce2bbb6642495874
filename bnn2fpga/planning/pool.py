"""Applies a function to tasks: in this process, in threads, in worker processes, or on a cluster, by Dask.

Dask can compute again only what came out of a function. What all tasks share therefore goes to the scheduler
as the argument of one (scattered data would be lost with the last worker that holds it), and every task
depends on its result: a worker may die at any time, with that, with results that were not fetched yet.
"""

from __future__ import annotations

import logging
import pickle
import signal
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from bnn2fpga.errors import ConfigError, ToolError
from bnn2fpga.files.package_data import package_digest

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

Shared = TypeVar("Shared")
Task = TypeVar("Task")
Result = TypeVar("Result")


class Apply(Protocol):
    """Gives each task with what `function` makes of it and of what all tasks share, in any order."""

    def __call__(
        self, function: Callable[[Task, Shared], Result], shared: Shared, tasks: Sequence[Task]
    ) -> Iterator[tuple[Task, Result]]: ...


@dataclass(frozen=True)
class Pool:
    """Where work is done, and how many tasks at a time."""

    apply: Apply
    width: Callable[[], int]


@contextmanager
def open_pool(
    workers: int | None = None, scheduler: str | None = None, threads: bool = False
) -> Iterator[Pool]:
    """At a Dask `scheduler` (tcp://host:port), or else by `workers` processes of this machine.

    One worker is this process; None is one for each core. With `threads`, for work that starts processes of
    its own, workers are threads of this process. Dask starts with the first task. Raises ConfigError for
    both, or for no worker; work raises ToolError if the scheduler cannot be reached, is lost, or if a task
    has killed every worker it was given to.
    """
    if workers is not None and (scheduler is not None or workers < 1):
        raise ConfigError(
            f"{workers} workers{f' and the scheduler {scheduler}' if scheduler else ''}; "
            "legal: 1 or more, or a scheduler, which has workers of its own"
        )
    if workers == 1:
        yield Pool(_here, lambda: 1)
    elif threads and scheduler is None:
        width = workers or _cores()
        with ThreadPoolExecutor(width) as executor:
            yield Pool(lambda *work: _in_threads(executor, *work), lambda: width)
    else:
        with ExitStack() as stack:
            connect = cache(lambda: stack.enter_context(_client(workers, scheduler)))
            yield Pool(lambda *work: _on_dask(connect(), *work), lambda: sum(connect().nthreads().values()))


def _here(
    function: Callable[[Task, Shared], Result], shared: Shared, tasks: Sequence[Task]
) -> Iterator[tuple[Task, Result]]:
    return ((task, function(task, shared)) for task in tasks)


def _in_threads(
    executor: ThreadPoolExecutor,
    function: Callable[[Task, Shared], Result],
    shared: Shared,
    tasks: Sequence[Task],
) -> Iterator[tuple[Task, Result]]:
    futures = {executor.submit(function, task, shared): task for task in tasks}
    for future in as_completed(futures):
        yield futures[future], future.result()


def _cores() -> int:
    from dask.system import CPU_COUNT

    return int(CPU_COUNT)


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
    from distributed import LocalCluster

    # with Dask's setting every array of more than 64 KiB is mapped anew, and folding takes twice as long
    unset = dask.config.set({"distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None})
    with unset, _deaf_to_interrupts():
        return LocalCluster(
            n_workers=workers or _cores(),
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


def _on_dask(
    client: Client, function: Callable[[Task, Shared], Result], shared: Shared, tasks: Sequence[Task]
) -> Iterator[tuple[Task, Result]]:
    from distributed import KilledWorker
    from distributed import as_completed as dask_completed

    unpacked = client.submit(unpack, pack(shared))
    futures = client.map(work, tasks, function=function, shared=unpacked, version=package_digest())
    task_of = {future.key: task for future, task in zip(futures, tasks, strict=True)}
    try:
        for future in dask_completed(futures):
            yield task_of[future.key], future.result()
    except (KilledWorker, CancelledError, OSError) as error:
        raise ToolError(
            f"Dask gave up: {error}; see the logs of its scheduler and workers; what is computed is kept, "
            "the same command goes on"
        ) from error


def pack(shared: Any) -> bytes:
    """As it is sent to the scheduler."""
    return zlib.compress(pickle.dumps(shared), level=1)


def unpack(packed: bytes) -> Any:
    """On a worker, once for all tasks that it gets."""
    return pickle.loads(zlib.decompress(packed))


def work(task: Task, function: Callable[[Task, Shared], Result], shared: Shared, version: str) -> Result:
    """On a worker; a ConfigError where another version of bnn2fpga would give other results."""
    if package_digest() != version:
        raise ConfigError("a worker has another version of bnn2fpga installed; install this one everywhere")
    return function(task, shared)
