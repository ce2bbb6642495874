"""Popcounts, products and deep tables as SystemVerilog: of 7-series cells, or twins that simulate fast."""

from __future__ import annotations

from bnn2fpga.circuits.bit_heap import HeapCircuit
from bnn2fpga.circuits.memory import LUT_DEPTH, MEMORY_SLICE, REGISTER_SLICE
from bnn2fpga.circuits.rom import Rom
from bnn2fpga.files.templates import render

COUNTERS = "counters_.sv"
"""The file of the modules that bit heaps of 7-series cells instantiate."""
PRODUCTS = "products_.sv"
"""The file of those that sums of products instantiate on top."""


def counters_text() -> str:
    """The text of COUNTERS."""
    return render("rtl/counters.sv.j2")


def products_text() -> str:
    """The text of PRODUCTS."""
    return render("rtl/products.sv.j2")


def fifo_text(primitives: bool) -> str:
    """The module `fifo_`."""
    slices = {"register_slice": REGISTER_SLICE, "memory_slice": MEMORY_SLICE}
    return render("rtl/fifo.sv.j2", lut_depth=LUT_DEPTH, primitives=primitives, **slices)


def copies_text(primitives: bool) -> str:
    """The module `copies_`: of FDRE cells, which synthesis leaves apart, or of registers."""
    return render("rtl/copies.sv.j2", primitives=primitives)


def popcount_text(count: HeapCircuit, primitives: bool) -> str:
    """Its module: of LUT and CARRY4 cells, or one that is good for any device."""
    return render(f"rtl/{count.template}.sv.j2", count=count, primitives=primitives)


def rom_text(rom: Rom, name: str, primitives: bool) -> str:
    """The module NAME_ of a `paged` table: of 7-series cells, or one that reads NAME.mem."""
    return render("rtl/rom.sv.j2", name=name, rom=rom, primitives=primitives)
