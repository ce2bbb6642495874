"""How tools are run that start others."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bnn2fpga.errors import ToolError
from bnn2fpga.tools.run_tool import call

SCRIPT = """#!/bin/sh
sh -c 'trap "" INT TERM; echo $$ > child; while :; do sleep 0.1; done' &
wait
"""


@pytest.fixture(autouse=True)
def hears_interrupts() -> Iterator[None]:
    """As on a terminal: what a shell starts in the background, and all that it starts, is deaf to them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def running(pid: int) -> bool:
    """Whether there is such a process that has not ended."""
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


def wait_for(what: object) -> None:
    start = time.monotonic()
    while not what():  # type: ignore[operator]
        assert time.monotonic() - start < 600, "it never comes"
        time.sleep(0.05)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here")
def test_an_interrupt_while_a_tool_starts_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    class Interrupted(subprocess.Popen):
        def __init__(self, *arguments: object, **settings: object) -> None:
            super().__init__(*arguments, **settings)
            started.append(self.pid)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        call(["sleep", "60"], tmp_path, tmp_path / "log")
    assert started and not running(started[0])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here")
def test_an_interrupted_tool_leaves_nothing_running(tmp_path: Path) -> None:
    """The grandchild ignores what a polite end would be."""
    (tmp_path / "tool").write_text(SCRIPT)
    (tmp_path / "tool").chmod(0o755)
    program = (
        "from pathlib import Path; from bnn2fpga.tools.run_tool import call; "
        f"call([{str(tmp_path / 'tool')!r}], Path({str(tmp_path)!r}), Path({str(tmp_path / 'log')!r}))"
    )
    build = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE)
    wait_for(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text())
    child = int((tmp_path / "child").read_text())
    assert running(child)
    build.send_signal(signal.SIGINT)
    assert b"KeyboardInterrupt" in build.communicate(timeout=600)[1]
    wait_for(lambda: not running(child))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("kill -9 $$", "was ended by SIGKILL (short of memory?)"),
        ("exit 137", "was ended by SIGKILL (short of memory?)"),
        ("kill -11 $$", "was ended by SIGSEGV"),
        ("echo last; exit 129", "last"),
        ("exit 4", "exit code 4"),
    ],
)
def test_how_a_tool_ended(body: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "tool").write_text(f"#!/bin/sh\n{body}\n")
    (tmp_path / "tool").chmod(0o755)
    log = tmp_path / "log"
    with pytest.raises(ToolError) as caught:
        call([tmp_path / "tool"], tmp_path, log)
    assert str(caught.value) == f"tool failed: {reason}; all it printed is in {log}"


def test_what_cannot_be_run_names_its_table(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"absent: No such file .*; check the table \[vivado\] of build.toml"):
        call([tmp_path / "absent"], tmp_path, tmp_path / "log", table="vivado")
