"""Runs many changed files through children; what crashes, hangs or shows a traceback is kept as a file."""

from __future__ import annotations

import json
import selectors
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SECONDS = 600
"""For one file on a busy machine; of the processor it gets less, see `worker`."""
FILES = 200
"""Of one child; libraries do not give all of their memory back."""


@dataclass(frozen=True)
class Verdict:
    """Of one file: built, equal, refused, failed (a traceback), crashed or hung, with the `fault`."""

    name: str
    ended: str
    fault: str = ""

    @property
    def ok(self) -> bool:
        """A network, or one line."""
        return not self.fault


def campaign(seeds: Path | str, folder: Path, first: int, count: int) -> Iterator[Verdict]:
    """The verdicts on files `first` and on; files with a fault stay in `folder`."""
    number = first
    while number < first + count:
        for verdict in _child(seeds, folder, number, min(first + count - number, FILES)):
            number += 1
            yield verdict


def _child(seeds: Path | str, folder: Path, first: int, count: int) -> Iterator[Verdict]:
    """Until the child ends, by itself or not; of the last file then, why."""
    command = [sys.executable, "-m", "tests.fuzz.worker", str(seeds), str(folder), str(first), str(count)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0) as child,
        selectors.DefaultSelector() as ready,
    ):
        assert child.stdout
        ready.register(child.stdout, selectors.EVENT_READ)
        name = ""
        while True:
            if not ready.select(SECONDS):
                child.kill()
                yield Verdict(name, "hung", f"no answer in {SECONDS} s")
                return
            line = child.stdout.readline()  # unbuffered: what is read ahead would never be ready again
            if not line:
                break
            facts = json.loads(line)
            if "begin" in facts:
                name = facts["begin"]
            else:
                yield Verdict(name, facts["ended"], facts["fault"])
                name = ""
        code = child.wait()
    if code and name:
        what = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        yield Verdict(name, "crashed", what)
    elif code:
        raise RuntimeError(f"the child ended with {code} before a file was taken in")


def counted(verdicts: Iterator[Verdict]) -> tuple[Counter[str], list[Verdict]]:
    """How often each ending came, and the faults."""
    counts, faults = Counter[str](), []
    for verdict in verdicts:
        counts[verdict.ended] += 1
        if not verdict.ok:
            faults.append(verdict)
    return counts, faults
