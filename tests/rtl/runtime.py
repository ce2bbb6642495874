"""Verilator's own part of every model, compiled once a process of tests."""

from __future__ import annotations

import atexit
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from bnn2fpga.tools.verilator import compile_runtime


@cache
def runtime() -> Path:
    """The object file; it goes when the process ends."""
    folder = TemporaryDirectory()
    atexit.register(folder.cleanup)
    return compile_runtime(Path(folder.name))
