"""VTR's model of 7-series chips with what the netlists here need, the size of an xc7z020.

`vtr_flow/arch/xilinx/7series_BRAM_DSP_carry.xml` of VTR 9 approximates the wires, their delays, LUTs, carry
chains and block RAM of an Artix-7 of speed grade 1 (https://scholarsarchive.byu.edu/etd/11058). Changed are:
registers have an enable and a reset, shared by the eight of a slice; a bit of a carry chain is one cell
with the LUT in front of it, and a carry passes four bits in 0.114 ns, not one; a slice may be a memory of
LUTs, of the delays that yosys has for it (on the chip a third of the slices may); block RAM is one cell
with addresses, enables and all its data, and its output comes 2.454 ns behind the clock, as without its
output register (DS187, T_RCKO_DO); the grid has 6,650 CLBs and 140 block RAM, and a corner without, where
the processor is.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping

from benchmarks.blif import BLOCK_RAM, LUT_RAM, block_ram_inputs, lut_ram_inputs

Ports = Mapping[str, Mapping[str, str]]
"""Attributes of each port."""
NAME = "xc7z020"
WIDTH, HEIGHT = 80, 102
BLOCK_RAM_COLUMNS = (7, 20, 33, 46, 59, 72)
DSP_COLUMNS = (11, 24, 37, 50, 63)
CORNER = ((1, 51), (7, 61))
"""Columns that end there, at a row: 6,700 CLBs and 150 block RAM would be too many."""
SLICES = 2
SUM_DELAYS = {
    ("in", "sumout"): 1.62e-10 + 2.23e-10,
    ("in", "cout"): 1.62e-10 + 4.69e-10,
    ("x", "cout"): 2.02e-10 + 3.29e-10,
    ("cin", "sumout"): 2.22e-10,
    ("cin", "cout"): 1.14e-10 / 4,
}
"""VTR's of a LUT, the multiplexer beside it and a carry; Vivado's reports give 0.114 ns from CI to CO[3]."""
SUM_MODE = """
<mode name="sum">
  <pb_type name="sum" blif_model=".subckt sum" num_pb="1">
    <input name="in" num_pins="6"/>
    <input name="x" num_pins="1"/>
    <input name="cin" num_pins="1"/>
    <output name="cout" num_pins="1"/>
    <output name="sumout" num_pins="1"/>
  </pb_type>
  <interconnect>
    <complete name="in" input="ALUT.A" output="sum.in"/>
    <direct name="x" input="ALUT.X" output="sum.x"/>
    <direct name="cin" input="ALUT.cin" output="sum.cin">
      <pack_pattern name="chain" in_port="ALUT.cin" out_port="sum.cin"/>
    </direct>
    <direct name="cout" input="sum.cout" output="ALUT.cout">
      <pack_pattern name="chain" in_port="sum.cout" out_port="ALUT.cout"/>
    </direct>
    <direct name="sum" input="sum.sumout" output="ALUT.sum"/>
  </interconnect>
</mode>
"""
LUT_RAM_SETUP = {"wa": "2.45e-10", "di": "4.61e-10", "we": "6.54e-10"}
LUT_RAM_READ = {"a": "6.42e-10", "we": "1.0e-12"}
LUT_RAM_CLOCK = "1.19e-9"
"""Until a word that is written stands at the output; that arc starts at an input in vpr, here at `we`."""
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
    _sum(root)
    _lut_ram(root)
    _block_ram(root)
    _layout(root)
    return ET.tostring(root, encoding="unicode")


def _named(elements: Iterable[ET.Element], name: str) -> ET.Element:
    return next(element for element in elements if element.get("name") == name)


def _child(element: ET.Element, tag: str) -> ET.Element:
    return next(iter(element.iterfind(tag)))


def _models(root: ET.Element) -> None:
    models = _child(root, "models")
    for model in [model for model in models if model.get("name", "").endswith(("_ram", "adder"))]:
        models.remove(model)
    clocks = {"fdre": ("C", REGISTER_SETUP, "Q")}
    clocks |= {model: ("clk", BLOCK_RAM_SETUP, "do") for model, _, _ in BLOCK_RAM.values()}
    for name, (clock, setup, output) in clocks.items():
        inputs = {port: {"clock": clock} for port in setup}
        _model(models, name, inputs | {clock: {"is_clock": "1"}}, {output: {"clock": clock}})
    passed = {start: " ".join(end for other, end in SUM_DELAYS if other == start) for start, _ in SUM_DELAYS}
    inputs = {port: {"combinational_sink_ports": ends} for port, ends in passed.items()}
    _model(models, "sum", inputs, {"cout": {}, "sumout": {}})
    for name, _, _ in LUT_RAM.values():
        read = {port: {"combinational_sink_ports": "do"} for port in LUT_RAM_READ}
        inputs = {port: {"clock": "clk"} | read.get(port, {}) for port in LUT_RAM_SETUP} | {"a": read["a"]}
        _model(models, name, inputs | {"clk": {"is_clock": "1"}}, {"do": {}})


def _model(models: ET.Element, name: str, inputs: Ports, outputs: Ports) -> None:
    model = ET.SubElement(models, "model", name=name)
    for tag, ports in (("input_ports", inputs), ("output_ports", outputs)):
        group = ET.SubElement(model, tag)
        for port, attributes in ports.items():
            ET.SubElement(group, "port", dict(attributes), name=port)


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


def _slice(root: ET.Element) -> ET.Element:
    return _named(_named(_child(root, "complexblocklist"), "CLB"), "SLICE_L")


def _sum(root: ET.Element) -> None:
    """Instead of the adder behind a LUT, of which the LUT then is no part."""
    element = _named(_child(_slice(root), "mode"), "fle")
    element.remove(_named(element.iterfind("pb_type"), "adder"))
    lut = _named(element, "ALUT")
    for tag, name in (("input", "X"), ("input", "cin"), ("output", "cout"), ("output", "sum")):
        lut.insert(0, ET.Element(tag, name=name, num_pins="1"))
    mode = ET.fromstring(SUM_MODE)
    for (start, end), delay in SUM_DELAYS.items():
        ends = {"in_port": f"sum.{start}", "out_port": f"sum.{end}"}
        ET.SubElement(_child(mode, "pb_type"), "delay_constant", ends, max=str(delay))
    lut.append(mode)
    wires = _child(element, "interconnect")
    for name in ("a", "adderBin"):
        wires.remove(_named(wires, name))
    ET.SubElement(wires, "direct", name="x", input="fle.inX", output="ALUT.X")
    for wire in wires.iter():
        for key, value in wire.attrib.items():
            value = value.replace("adder.sumout", "ALUT.sum")
            wire.set(key, value.replace("adder.", "ALUT."))


def _lut_ram(root: ET.Element) -> None:
    """Three LUTs of a slice with address and data at their inputs, and one for the written address."""
    for model, address, data in LUT_RAM.values():
        mode = ET.SubElement(_slice(root), "mode", name=model)
        cell = _memory(mode, model, 1, lut_ram_inputs(address, data), 3 * data, LUT_RAM_SETUP)
        wires = ET.SubElement(mode, "interconnect")
        ET.SubElement(cell, "T_clock_to_Q", clock="clk", port=f"{model}.we", max=LUT_RAM_CLOCK)
        for port, delay in LUT_RAM_READ.items():
            ends = {"in_port": f"{model}.{port}", "out_port": f"{model}.do"}
            ET.SubElement(cell, "delay_constant", ends, max=delay)
        for lut in range(4):
            first = 7 * lut
            name = f"{model}.wa" if lut == 3 else f"{model}.a[{address * (lut + 1) - 1}:{address * lut}]"
            start = f"SLICE_L.I[{first + address - 1}:{first}]"
            ET.SubElement(wires, "complete", name=f"a{lut}", input=start, output=name)
            for bit in range(data if lut < 3 else 0):
                place = data * lut + bit
                pins = {"input": f"SLICE_L.I[{first + 7 - data + bit}]", "output": f"{model}.di[{place}]"}
                ET.SubElement(wires, "direct", pins, name=f"di{place}")
                pins = {"input": f"{model}.do[{place}]", "output": f"SLICE_L.O[{3 * lut + 1 - bit}]"}
                ET.SubElement(wires, "direct", pins, name=f"do{place}")
        ET.SubElement(wires, "direct", name="we", input="SLICE_L.CE", output=f"{model}.we")
        ET.SubElement(wires, "complete", name="clk", input="SLICE_L.CLK", output=f"{model}.clk")


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
        inputs = block_ram_inputs(address, data)
        cell = _memory(mode, model, count, inputs, data, BLOCK_RAM_SETUP)
        wires = ET.SubElement(mode, "interconnect")
        ET.SubElement(cell, "T_clock_to_Q", clock="clk", port=f"{model}.do", max="2.454e-9", min="2.04e-10")
        for place in range(count):
            one = f"{model}[{place}:{place}]"
            for port, width in (inputs | {"do": data}).items():
                ends = [f"memory.{port}[{width * (place + 1) - 1}:{width * place}]", f"{one}.{port}"]
                start, end = ends if port != "do" else ends[::-1]
                ET.SubElement(wires, "direct", name=f"{port}{place}", input=start, output=end)
            ET.SubElement(wires, "direct", name=f"clk{place}", input="memory.clk", output=f"{one}.clk")


def _memory(
    mode: ET.Element, model: str, count: int, inputs: Mapping[str, int], data: int, setup: Mapping[str, str]
) -> ET.Element:
    """The cell of a mode, its output still without a delay."""
    cell = ET.SubElement(mode, "pb_type", name=model, num_pb=str(count), blif_model=f".subckt {model}")
    ET.SubElement(cell, "clock", name="clk", num_pins="1")
    for port, width in inputs.items():
        ET.SubElement(cell, "input", name=port, num_pins=str(width))
    ET.SubElement(cell, "output", name="do", num_pins=str(data))
    for port, needed in setup.items():
        ET.SubElement(cell, "T_setup", clock="clk", port=f"{model}.{port}", value=needed)
    return cell


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
