"""g++ and the headers that the generated C++ needs."""

from __future__ import annotations

import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

from bnn2fpga.errors import ToolError


def find_gcc() -> str:
    """The path of g++; a ToolError says how to get it."""
    path = shutil.which("g++")
    if path is None:
        raise ToolError("g++ is not on PATH; it compiles the generated C++ (Debian, Ubuntu: apt install g++)")
    return path


def header_folder() -> Path:
    """Where ap_int.h and hls_stream.h lie: AMD's Apache-2.0 headers in the hls4ml wheel."""
    spec = find_spec("hls4ml")
    folders = (
        [Path(place) / "templates/vivado/ap_types" for place in (spec.submodule_search_locations or ())]
        if spec
        else []
    )
    for folder in folders:
        if (folder / "ap_int.h").is_file():
            return folder
    raise ToolError("ap_int.h is not found; it comes with the Python package hls4ml (pip install hls4ml)")


def gcc_version() -> str:
    """Of the g++ on PATH; empty without it."""
    path = shutil.which("g++")
    if path is None:
        return ""
    done = subprocess.run([path, "-dumpfullversion"], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def gcc_identity() -> tuple[str, int, int, str]:
    """Of the g++ on PATH: where it lies, its bytes, when it was changed, its version."""
    path = Path(find_gcc())
    status = path.stat()
    return (str(path), status.st_size, status.st_mtime_ns, gcc_version())
