"""VTR's model of 7-series chips with what the netlists here need, the size of an xc7z020.

`vtr_flow/arch/xilinx/7series_BRAM_DSP_carry.xml` of VTR 9 approximates the wires, their delays, LUTs, carry
chains and block RAM of an Artix-7 of speed grade 1 (https://scholarsarchive.byu.edu/etd/11058). Changed are:
registers have an enable and a reset, shared by the eight of a slice; a carry passes four bits in 0.114 ns,
not one; block RAM is one cell with addresses, enables and all its data, and its output comes 2.454 ns behind
the clock, as without its output register (DS187, T_RCKO_DO); the grid has 6,650 CLBs and 140 block RAM, and
a corner without, where the processor is.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable

from benchmarks.blif import BLOCK_RAM

NAME = "xc7z020"
WIDTH, HEIGHT = 80, 102
BLOCK_RAM_COLUMNS = (7, 20, 33, 46, 59, 72)
DSP_COLUMNS = (11, 24, 37, 50, 63)
CORNER = ((1, 51), (7, 61))
"""Columns that end there, at a row: 6,700 CLBs and 150 block RAM would be too many."""
SLICES = 2
REGISTER_SETUP = {"D": "-4.6e-11", "CE": "2.0e-10", "R": "5.0e-10"}
BLOCK_RAM_SETUP = {"a1": "5.66e-10", "a2": "5.66e-10", "di": "7.37e-10", "en": "4.43e-10", "we": "5.32e-10"}
BLOCK_RAM_PORTS = (
    ("input", "a1", 28),
    ("input", "a2", 28),
    ("input", "di", 72),
    ("input", "en", 4),
    ("input", "we", 2),
    ("output", "do", 72),
    ("clock", "clk", 1),
)
"""Of a block RAM of 36 kbit, or of both of 18."""


def chip(text: str) -> str:
    """The architecture, from VTR's file."""
    root = ET.fromstring(text)
    _models(root)
    _registers(root)
    _carry(root)
    _block_ram(root)
    _layout(root)
    return ET.tostring(root, encoding="unicode")


def _named(elements: Iterable[ET.Element], name: str) -> ET.Element:
    return next(element for element in elements if element.get("name") == name)


def _child(element: ET.Element, tag: str) -> ET.Element:
    return next(iter(element.iterfind(tag)))


def _models(root: ET.Element) -> None:
    models = _child(root, "models")
    for model in [model for model in models if model.get("name", "").endswith("_ram")]:
        models.remove(model)
    cells = {"fdre": ("C", list(REGISTER_SETUP), "Q")}
    cells |= {model: ("clk", list(BLOCK_RAM_SETUP), "do") for model, _, _ in BLOCK_RAM.values()}
    for name, (clock, inputs, output) in cells.items():
        model = ET.SubElement(models, "model", name=name)
        ports = ET.SubElement(model, "input_ports")
        for port in inputs:
            ET.SubElement(ports, "port", name=port, clock=clock)
        ET.SubElement(ports, "port", name=clock, is_clock="1")
        ET.SubElement(ET.SubElement(model, "output_ports"), "port", name=output, clock=clock)


def _registers(root: ET.Element) -> None:
    tile = _child(_named(_child(root, "tiles"), "CLB"), "sub_tile")
    clb = _named(_child(root, "complexblocklist"), "CLB")
    slices = _named(clb, "SLICE_L")
    mode = _child(slices, "mode")
    element = _named(mode, "fle")
    for block, pins in ((tile, SLICES), (clb, SLICES), (slices, 1), (element, 1)):
        first = list(block).index(_child(block, "input"))
        for port in ("CE", "SR"):
            block.insert(first, ET.Element("input", name=port, num_pins=str(pins)))
    for place in _child(tile, "pinlocations"):
        place.text = f"{place.text} CLB.CE CLB.SR"
    register = _named(element, "FDSE")
    register.clear()
    register.attrib |= {"name": "FDSE", "blif_model": ".subckt fdre", "num_pb": "2"}
    ET.SubElement(register, "clock", name="C", num_pins="1")
    for port, setup in REGISTER_SETUP.items():
        ET.SubElement(register, "input", name=port, num_pins="1")
        ET.SubElement(register, "T_setup", clock="C", port=f"FDSE.{port}", value=setup)
    ET.SubElement(register, "output", name="Q", num_pins="1")
    ET.SubElement(register, "T_clock_to_Q", clock="C", port="FDSE.Q", max="3.03e-10", min="9.9e-11")
    wires = _child(element, "interconnect")
    _named(wires, "clocks").set("output", "FDSE[1:0].C")
    for port, pin in (("CE", "CE"), ("SR", "R")):
        ET.SubElement(wires, "complete", name=port, input=f"fle.{port}", output=f"FDSE[1:0].{pin}")
        inner, outer = _child(mode, "interconnect"), _child(clb, "interconnect")
        ET.SubElement(inner, "complete", name=port, input=f"SLICE_L.{port}", output=f"fle.{port}")
        for place in range(SLICES):
            near, far = f"CLB.{port}[{place}]", f"SLICE_L[{place}:{place}].{port}"
            ET.SubElement(outer, "direct", name=f"{port}{place}", input=near, output=far)


def _carry(root: ET.Element) -> None:
    """Vivado's reports give 0.114 ns from CI to CO[3] of a CARRY4; there it is the delay of each bit."""
    for delay in root.iter("delay_constant"):
        if (delay.get("in_port"), delay.get("out_port")) == ("adder.cin", "adder.cout"):
            delay.attrib |= {"max": "2.85e-11", "min": "0.975e-11"}


def _block_ram(root: ET.Element) -> None:
    tile = _child(_named(_child(root, "tiles"), "BRAM"), "sub_tile")
    for port in [port for port in tile if port.tag in ("input", "output", "clock")]:
        tile.remove(port)
    blocks = _child(root, "complexblocklist")
    memory = _named(blocks, "memory")
    memory.clear()
    memory.set("name", "memory")
    for place, (tag, name, pins) in enumerate(BLOCK_RAM_PORTS):
        tile.insert(1 + place, ET.Element(tag, name=name, num_pins=str(pins)))
        ET.SubElement(memory, tag, name=name, num_pins=str(pins))
    for count, (model, address, data) in enumerate(BLOCK_RAM.values(), 1):
        mode = ET.SubElement(memory, "mode", name=model)
        cell = ET.SubElement(mode, "pb_type", name=model, num_pb=str(count), blif_model=f".subckt {model}")
        wires = ET.SubElement(mode, "interconnect")
        widths = {"a1": address, "a2": address, "di": data, "en": 2, "we": 1, "do": data}
        ET.SubElement(cell, "clock", name="clk", num_pins="1")
        for port, setup in BLOCK_RAM_SETUP.items():
            ET.SubElement(cell, "input", name=port, num_pins=str(widths[port]))
            ET.SubElement(cell, "T_setup", clock="clk", port=f"{model}.{port}", value=setup)
        ET.SubElement(cell, "output", name="do", num_pins=str(data))
        ET.SubElement(cell, "T_clock_to_Q", clock="clk", port=f"{model}.do", max="2.454e-9", min="2.04e-10")
        for place in range(count):
            one = f"{model}[{place}:{place}]"
            for port, width in widths.items():
                ends = [f"memory.{port}[{width * (place + 1) - 1}:{width * place}]", f"{one}.{port}"]
                start, end = ends if port != "do" else ends[::-1]
                ET.SubElement(wires, "direct", name=f"{port}{place}", input=start, output=end)
            ET.SubElement(wires, "direct", name=f"clk{place}", input="memory.clk", output=f"{one}.clk")


def _layout(root: ET.Element) -> None:
    layout = _child(root, "layout")
    layout.clear()
    grid = ET.SubElement(layout, "fixed_layout", name=NAME, width=str(WIDTH), height=str(HEIGHT))
    ET.SubElement(grid, "perimeter", type="io", priority="100")
    ET.SubElement(grid, "corners", type="EMPTY", priority="101")
    ET.SubElement(grid, "fill", type="CLB", priority="10")
    for kind, columns in (("BRAM", BLOCK_RAM_COLUMNS), ("DSP", DSP_COLUMNS)):
        for x in columns:
            ET.SubElement(grid, "col", type=kind, startx=str(x), starty="1", priority="20")
    for x, y in CORNER:
        column = {"startx": str(x), "endx": str(x), "starty": str(y), "endy": str(HEIGHT - 2)}
        ET.SubElement(grid, "region", column, type="EMPTY", priority="30")
