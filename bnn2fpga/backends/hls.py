"""A Design as a Vitis HLS project: one file a kernel, the top level, a test bench, a Tcl script."""

from __future__ import annotations

from pathlib import Path

from bnn2fpga.backends.names import check_names
from bnn2fpga.design.graph import Design
from bnn2fpga.errors import BuildError
from bnn2fpga.files.project import Project
from bnn2fpga.files.templates import render


def write_hls(design: Design, folder: str | Path) -> Path:
    """Writes the Vitis HLS project of a folded `design` into a new or empty folder; all of it or nothing.

    Raises BuildError if the folder is in use or the design is not folded for a board.
    """
    if design.target is None:
        raise BuildError(f"{design.name}: is not folded for a board yet; compile() or fold() does that")
    return hls_project(design, design.target.part, design.target.clock_mhz).write_new(Path(folder))


def hls_project(design: Design, part: str, clock_mhz: float) -> Project:
    """The C++ and Tcl of `design` for an FPGA `part`, clocked at `clock_mhz`."""
    check_names(design)
    files = {
        "bnn2fpga.hpp": render("bnn2fpga.hpp.j2"),
        "top.hpp": render("top.hpp.j2", design=design),
        "top.cpp": render("top.cpp.j2", design=design),
        "testbench.cpp": render("testbench.cpp.j2", design=design),
        "vitis_hls.tcl": render("vitis_hls.tcl.j2", design=design, part=part, clock_mhz=clock_mhz),
        "hls.cfg": render("hls.cfg.j2", name=design.name, part=part, clock_mhz=clock_mhz),
        "gcc/ap_axi_sdata.h": render("ap_axi_sdata.h.j2"),
        "gcc/threads.cpp": render("threads.cpp.j2", design=design),
        "gcc/threads/hls_stream.h": render("threads_stream.h.j2"),
    }
    for node in design.nodes:
        text = render(f"kernels/{node.kernel.template}.hpp.j2", name=node.name, k=node.kernel)
        files[f"kernels/{node.name}.hpp"] = (
            f"// {node.name}: {type(node.kernel).__name__}\n#pragma once\n{text}"
        )
    return Project(files)
