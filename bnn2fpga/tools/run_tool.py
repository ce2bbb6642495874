"""Runs a tool whose output is worth keeping."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from bnn2fpga.errors import ToolError

_PATIENCE = 0.2
"""Seconds between two looks at whether a tool is to be stopped."""


class NotFinishedError(Exception):
    """A tool was ended, as its time was over or nobody wants its result any more."""


def call(
    command: Sequence[str | Path],
    folder: Path,
    log: Path,
    output: Path | None = None,
    of: str = "",
    table: str = "openxc7",
    fault: re.Pattern[str] | None = None,
    seconds: float | None = None,
    stop: threading.Event | None = None,
) -> str:
    """Runs a tool in `folder`; gives what it printed, which is in `log` also if the tool fails.

    With `output`, standard output goes to that file instead. A ToolError carries the first line that names
    an error, or else the last one, and says `of` what. A line that matches `fault` is a failure whatever
    the exit code. `table` is the one of build.toml that names the tool. A tool that runs for more than
    `seconds`, or when `stop` is set, is ended and NotFinishedError raised.
    """
    name = Path(command[0]).name
    with log.open("w+", encoding="utf-8", errors="replace") as printed:
        try:
            if output is None:
                code = _exit_code(command, folder, printed, printed, seconds, stop)
            else:
                with output.open("wb") as file:
                    code = _exit_code(command, folder, file, printed, seconds, stop)
        except OSError as error:
            raise ToolError(
                f"{command[0]}: {error.strerror or error}; check the table [{table}] of build.toml"
            ) from error
        printed.seek(0)
        text = printed.read()
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    found = next((line for line in lines if fault and fault.search(line)), "")
    if code or found:
        reason = found or _killed(code)
        reason = reason or next((line for line in lines if re.search(r"\berror\b", line, re.I)), "")
        reason = reason or (lines[-1] if lines else f"exit code {code}")
        raise ToolError(f"{name} failed{of and f' on {of}'}: {reason}; all it printed is in {log}")
    return text


def _exit_code(
    command: Sequence[str | Path],
    folder: Path,
    output: IO[Any],
    errors: IO[Any],
    seconds: float | None,
    stop: threading.Event | None,
) -> int:
    """Waits for a tool; what interrupts the wait ends the tool with all that it has started.

    Vivado is a shell script that starts a program that starts others; a signal to it would end it alone.
    """
    process = None
    try:
        with _no_interrupt():  # between the start of the tool and the name that it is ended by
            process = subprocess.Popen(
                command, cwd=folder, stdout=output, stderr=errors, start_new_session=True
            )
        return _wait(process, seconds, stop)
    except BaseException:
        if process:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        raise


def _wait(process: subprocess.Popen[bytes], seconds: float | None, stop: threading.Event | None) -> int:
    """The exit code; NotFinishedError when the time is over or `stop` is set."""
    end = time.monotonic() + seconds if seconds is not None else float("inf")
    while stop is not None and not stop.is_set() and time.monotonic() < end:
        try:
            return process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            continue
    if stop is not None:
        raise NotFinishedError
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        raise NotFinishedError from None


@contextmanager
def _no_interrupt() -> Iterator[None]:
    """Puts an interrupt off to the end, for whoever handles it; only the main thread gets one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if came:
        signal.raise_signal(signal.SIGINT)


def _killed(returncode: int) -> str:
    """What to say of a tool that a signal ended; a shell around it tells by 128 + signal."""
    number = -returncode if returncode < 0 else returncode - 128
    if number not in (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGABRT):
        return ""
    advice = " (short of memory?)" if number == signal.SIGKILL else ""
    return f"was ended by {signal.Signals(number).name}{advice}"
