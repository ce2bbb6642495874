"""Places and routes with several seeds side by side within a budget, and keeps the best.

The clock of one netlist differs by a fifth from seed to seed. The folder `seeds` of a build holds what was
found for the netlist at hand, so that a run that was stopped or killed goes on: SEED.json, and of the best
features, log and routed netlist, compressed; `spent` is the time that went into it, in seconds. A seed and
the same tools give the same result anywhere.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from tempfile import TemporaryDirectory

from bnn2fpga.errors import ToolError
from bnn2fpga.files.writing import write_whole
from bnn2fpga.planning.pool import Pool
from bnn2fpga.tools.nextpnr import ROUTED, Routing, route
from bnn2fpga.tools.openxc7 import HOW, OpenXC7
from bnn2fpga.tools.run_tool import NotFinishedError

FOLDER = "seeds"
"""Beside the folders of a build's steps."""


@dataclass(frozen=True)
class Request:
    """What is placed and routed; `stop` ends it, where it runs in threads of this process."""

    netlist: bytes
    part: str
    clock_mhz: float
    tools: OpenXC7
    stop: threading.Event | None = None


@dataclass(frozen=True)
class Seed:
    """A number for the placer, and the seconds that it may take."""

    number: int
    seconds: float | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of a seed: `routing`, and compressed the features and the routed netlist; or why not, in one
    line. Neither where the time was over.
    """

    routing: Routing | None = None
    fasm: bytes = b""
    netlist: bytes = b""
    log: bytes = b""
    error: str = ""


@dataclass(frozen=True)
class Placed:
    """Progress: a seed has ended with `fmax_mhz` (None: failed or out of time); the best so far; seconds."""

    seed: int
    fmax_mhz: float | None
    best_seed: int
    best_mhz: float
    spent: float
    budget: float


def place(seed: Seed, request: Request) -> Outcome:
    """Places and routes in a folder that is gone afterwards, on any machine that has the tools."""
    with TemporaryDirectory(prefix="bnn2fpga-") as name:
        folder = Path(name)
        netlist, fasm, log = folder / "netlist.json", folder / "routed.fasm", folder / "nextpnr.log"
        netlist.write_bytes(gzip.decompress(request.netlist))
        try:
            routing = route(
                netlist,
                request.part,
                request.clock_mhz,
                fasm,
                log,
                request.tools,
                seed.number,
                seed.seconds,
                request.stop,
            )
        except NotFinishedError:
            return Outcome()
        except ToolError as error:
            return Outcome(log=_read(log), error=str(error).partition("; all it printed")[0])
        return Outcome(routing, _read(fasm), _read(folder / ROUTED), _read(log))


def best_of_seeds(
    request: Request,
    enough_mhz: float,
    pool: Pool,
    folder: Path,
    fasm: Path,
    log: Path,
    on_placed: Callable[[Placed], None] = lambda placed: None,
) -> Routing:
    """The best routing that the budget allows; features and log go to `fasm` and `log`, ROUTED beside `fasm`.

    The budget is `effort` minutes, those of earlier runs that `folder` tells of included; without one there
    is one seed. No seed is started when `enough_mhz` is reached or the time is over; those that run then are
    ended, but for the very first. Raises ToolError where no seed can be routed.
    """
    store = _Store.of(folder, request)
    effort, begin, before = 60 * request.tools.effort, time.monotonic(), store.spent()
    best, tried = store.best(), store.tried()
    try:
        while best is None or (effort and best.slowest.fmax_mhz < enough_mhz):
            left = effort - before - (time.monotonic() - begin)
            if best and left <= 0:
                break
            errors = []
            numbers = _next(request.tools, tried, pool.width() if effort else 1)
            # the very first seed has all the time that it needs
            seeds = [Seed(n, None if best is None and n == numbers[0] else max(left, 1)) for n in numbers]
            for seed, outcome in pool.apply(place, request, seeds):
                tried.add(seed.number)
                if outcome.routing:
                    best = store.put(outcome.routing, outcome, best)
                    if request.stop and best.slowest.fmax_mhz >= enough_mhz:
                        request.stop.set()  # nobody wants the others any more
                elif outcome.error:
                    errors.append(outcome)
                spent = before + time.monotonic() - begin
                store.spend(spent)
                if best and effort:
                    mhz = outcome.routing.slowest.fmax_mhz if outcome.routing else None
                    on_placed(Placed(seed.number, mhz, best.seed, best.slowest.fmax_mhz, spent, effort))
            if best is None and errors:
                raise _failure(errors[0], log)
    except BaseException:
        if request.stop:
            request.stop.set()
        raise
    store.fetch(best, fasm, log)
    return best


def _next(tools: OpenXC7, tried: Collection[int], width: int) -> list[int]:
    """The seeds from the one that is set on that were not tried yet."""
    return list(islice((number for number in count(tools.seed) if number not in tried), width))


def _failure(outcome: Outcome, log: Path) -> ToolError:
    if not outcome.log:
        return ToolError(outcome.error)
    log.write_bytes(gzip.decompress(outcome.log))
    return ToolError(f"{outcome.error}; all it printed is in {log}")


def _read(path: Path) -> bytes:
    return gzip.compress(path.read_bytes(), 1, mtime=0) if path.is_file() else b""


@dataclass(frozen=True)
class _Store:
    """The results for one request, in files that are whole or not there."""

    folder: Path
    tools: OpenXC7

    @classmethod
    def of(cls, folder: Path, request: Request) -> _Store:
        """The store of a request below `folder`; those of others are removed."""
        tools = request.tools.model_dump_json(exclude=HOW | {"seed", "margin", "strict_clock", "prove"})
        facts = f"{request.part} {request.clock_mhz:g} {tools} ".encode()
        key = hashlib.sha256(facts + request.netlist).hexdigest()[:16]
        folder.mkdir(exist_ok=True)
        for other in folder.iterdir():
            if other.name != key:
                shutil.rmtree(other, ignore_errors=True)
        (folder / key).mkdir(exist_ok=True)
        return cls(folder / key, request.tools)

    def best(self) -> Routing | None:
        """The best of those that count: without effort the seed that is set, else all from it on."""
        found = (self._read(number) for number in self.tried())
        return max((routing for routing in found if routing), key=_speed, default=None)

    def tried(self) -> set[int]:
        """The seeds that count and have a result."""
        numbers = {int(path.stem) for path in self.folder.glob("*.json")}
        if not self.tools.effort:
            return {
                number for number in numbers if number == self.tools.seed and self._features(number).exists()
            }
        return {number for number in numbers if number >= self.tools.seed}

    def put(self, routing: Routing, outcome: Outcome, best: Routing | None) -> Routing:
        """Keeps a result, with its features if it is the best; gives the best."""
        better = routing if best is None else max(best, routing, key=_speed)
        if better is routing:
            write_whole(self.folder / f"{routing.seed}.log.gz", outcome.log)
            write_whole(self.folder / f"{routing.seed}.netlist.gz", outcome.netlist)
            write_whole(self._features(routing.seed), outcome.fasm)
        write_whole(self.folder / f"{routing.seed}.json", json.dumps(routing.as_dict()).encode())
        if best and better is routing:
            self._features(best.seed).unlink(missing_ok=True)
            for kind in ("log", "netlist"):
                (self.folder / f"{best.seed}.{kind}.gz").unlink(missing_ok=True)
        return better

    def fetch(self, routing: Routing, fasm: Path, log: Path) -> None:
        """Writes the features, the log and the netlist of a result."""
        fasm.write_bytes(gzip.decompress(self._features(routing.seed).read_bytes()))
        log.write_bytes(gzip.decompress((self.folder / f"{routing.seed}.log.gz").read_bytes()))
        netlist = gzip.decompress((self.folder / f"{routing.seed}.netlist.gz").read_bytes())
        fasm.with_name(ROUTED).write_bytes(netlist)

    def spent(self) -> float:
        """Seconds that went into all results."""
        try:
            return float((self.folder / "spent").read_text())
        except (OSError, ValueError):
            return 0.0

    def spend(self, seconds: float) -> None:
        """Keeps the seconds for the next run."""
        write_whole(self.folder / "spent", f"{seconds:.1f}".encode())

    def _features(self, number: int) -> Path:
        return self.folder / f"{number}.fasm.gz"

    def _read(self, number: int) -> Routing | None:
        """None where the features are not kept, as another was better."""
        if not self._features(number).exists():
            return None
        return Routing.of(json.loads((self.folder / f"{number}.json").read_text()))


def _speed(routing: Routing) -> tuple[float, int]:
    """Of equals the one with the smaller seed is better."""
    return routing.slowest.fmax_mhz, -routing.seed
