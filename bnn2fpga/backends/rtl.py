"""A Design as SystemVerilog: one module a kernel, the top level, memory files."""

from __future__ import annotations

from pathlib import Path

from bnn2fpga.backends.names import check_names
from bnn2fpga.backends.rtl_cells import (
    COUNTERS,
    PRODUCTS,
    copies_text,
    counters_text,
    fifo_text,
    popcount_text,
    products_text,
    rom_text,
)
from bnn2fpga.circuits.bit_heap import HeapCircuit
from bnn2fpga.circuits.plane_products import PlaneProducts
from bnn2fpga.design.graph import Design
from bnn2fpga.files.project import Project
from bnn2fpga.files.templates import render

FOLDER = "rtl"


def rtl_project(design: Design, primitives: bool = False) -> Project:
    """Everything below rtl/; the memory files are read from there, so tools run in that folder.

    With `primitives` popcounts, deep tables in LUTs and FIFOs of two beats are of 7-series cells, otherwise
    of their behavioural twins.
    """
    check_names(design)
    # no kernel's name ends in an underscore
    files = {
        "fifo_.sv": fifo_text(primitives),
        "copies_.sv": copies_text(primitives),
        "top_.sv": render("rtl/top.sv.j2", design=design),
    }
    popcounts: set[HeapCircuit] = set()
    for node in design.nodes:
        kernel = node.kernel
        text = render(f"kernels/{kernel.template}.sv.j2", name=node.name, k=kernel)
        files[f"{node.name}.sv"] = f"// {node.name}: {type(kernel).__name__}\n{text}"
        for name, rom in kernel.roms.items():
            table = f"{node.name}_{name}"
            if rom.read_from_file:
                files[f"{table}.mem"] = rom.text
            if rom.paged:
                files[f"{table}_.sv"] = rom_text(rom, table, primitives)
        popcounts |= set(kernel.popcounts)
    for popcount in popcounts:
        files[f"{popcount.name}.sv"] = popcount_text(popcount, primitives)
    if primitives and popcounts:
        files[COUNTERS] = counters_text()
    if primitives and any(isinstance(popcount, PlaneProducts) for popcount in popcounts):
        files[PRODUCTS] = products_text()
    return Project({f"{FOLDER}/{name}": text for name, text in files.items()})


def write_rtl(design: Design, folder: str | Path) -> Path:
    """Writes the SystemVerilog of a `design` into a new or empty folder, below rtl/; all of it or nothing.

    Raises BuildError if the folder is in use.
    """
    return rtl_project(design).write_new(Path(folder))
