"""What several test files take as an argument."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

# before numpy and torch are imported: a process of tests a core, whose threads would only wait for each other
os.environ.setdefault("OMP_NUM_THREADS", "1")

from bnn2fpga.cli.main import main
from tests import kept_gcc

KEPT_FOR = 7 * 24 * 3600
"""Seconds that what g++ made is kept for after its last use."""


@pytest.fixture(scope="session", autouse=True)
def keep_what_gcc_makes(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every g++ of the tests, and of the processes that they start, is `kept_gcc`."""
    real = shutil.which("g++")
    if real is None or pytestconfig.cache is None:
        return
    kept = pytestconfig.cache.mkdir("g++")
    for path in kept.iterdir():
        with suppress(FileNotFoundError):  # another process of tests is here, too
            if time.time() - path.stat().st_mtime > KEPT_FOR:
                path.unlink()
    folder = tmp_path_factory.mktemp("bin")
    # isolated: the folder of the script is that of a package, and the environment is a user's
    command = [sys.executable, "-I", "-S", kept_gcc.__file__, real, str(kept)]
    (folder / "g++").write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
    (folder / "g++").chmod(0o755)
    os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs the command line in an empty folder: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["bnn2fpga", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call
