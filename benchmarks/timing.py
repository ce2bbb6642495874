"""Seconds, and lines of a table with a ratio."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def seconds(action: Callable[[], Any], repeats: int) -> float:
    """The fastest of `repeats` runs."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)


def row(what: str, ours: str, peer: str, theirs: str, ratio: float) -> None:
    """One line of the table; the ratio says how many times faster ours is."""
    print(f"| {what} | {ours} | {peer} | {theirs} | {ratio:.{1 if ratio >= 0.1 else 2}f} x |", flush=True)
