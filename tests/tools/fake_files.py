"""Files as Vivado writes them: the bitstream's header, and the hardware hand-off (.hwh) that PYNQ reads.

The form is that of public files of Vivado 2024.1 (the overlays of PYNQ 3.1.2): elements, attributes, names of
parameters. What PYNQ does not ask for is left out: registers, and the wires of an interface one by one.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from xml.etree import ElementTree

PLL_MHZ = {"processing_system7": 1000, "zynq_ultra_ps_e": 1500}
"""The clock that is divided for the fabric, by processing system."""
CONTROL = {
    "processing_system7": ("M_AXI_GP0", 0x4040_0000),
    "zynq_ultra_ps_e": ("M_AXI_HPM0_FPD", 0xA000_0000),
}
"""The port through which the processor reaches the DMA engine, and the address that Vivado gives it."""
SPAN = 0x1_0000


def bit_file(design: str, part: str, data: bytes) -> bytes:
    """A .bit of `data`: fields a (design), b (part), c (date), d (time), e (data), each with its length."""
    fields = [f"{design};UserID=0XFFFFFFFF;Version=2022.2", part.removeprefix("xc"), "2026/11/30", "18:32:24"]
    head = bytes.fromhex("00090ff00ff00ff00ff0000001")
    for letter, text in zip(b"abcd", fields, strict=True):
        head += struct.pack(">BH", letter, len(text) + 1) + text.encode() + b"\0"
    return head + struct.pack(">BI", ord("e"), len(data)) + data


@dataclass(frozen=True)
class BlockDesign:
    """Cells by name with their IP and its VLNV, their properties, and which interface each is joined to."""

    name: str
    part: str
    cells: Mapping[str, str]
    vlnv: Mapping[str, str]
    properties: Mapping[str, Mapping[str, str]]
    interfaces: Mapping[str, str]

    def handoff(self) -> str:
        """The .hwh."""
        root = ElementTree.Element("EDKSYSTEM", EDWVERSION="1.2", VIVADOVERSION="2022.2")
        family = "zynq" if "processing_system7" in self.cells.values() else "zynquplus"
        ElementTree.SubElement(root, "SYSTEMINFO", ARCH=family, DEVICE=self.part, NAME=self.name)
        ElementTree.SubElement(root, "EXTERNALPORTS")
        ElementTree.SubElement(root, "EXTERNALINTERFACES")
        modules = ElementTree.SubElement(root, "MODULES")
        for cell, ip in self.cells.items():
            # a script need not say which version of an IP it wants
            vendor, library, kind, version = (*self.vlnv[cell].split(":"), "3.4")[:4]
            names = {"FULLNAME": f"/{cell}", "INSTANCE": cell, "MODTYPE": kind, "IS_ENABLE": "1"}
            names |= {"VLNV": f"{vendor}:{library}:{kind}:{version}"}
            names |= {"IS_PL": "FALSE"} if ip in CONTROL else {}
            module = ElementTree.SubElement(modules, "MODULE", names)
            _parameters(module, ip, self.properties.get(cell, {}))
            buses = ElementTree.SubElement(module, "BUSINTERFACES")
            for path in self._ends(cell):
                _bus(buses, path.partition("/")[2])
            memory = ElementTree.SubElement(module, "MEMORYMAP")
            if ip in CONTROL:
                _range(memory, *CONTROL[ip])
        return ElementTree.tostring(root, encoding="unicode")

    def _ends(self, cell: str) -> Iterable[str]:
        return sorted(path for path in self.interfaces if path.startswith(f"{cell}/"))


def _parameters(module: ElementTree.Element, ip: str, properties: Mapping[str, str]) -> None:
    values = {name.removeprefix("CONFIG."): value for name, value in properties.items()}
    found = {name: value for name, value in values.items() if not name.endswith(".VALUE_SRC")}
    if ip == "axi_dma":
        found |= {name.upper(): value for name, value in found.items()}
    if ip == "processing_system7":
        found |= _clocks(
            ip, found["PCW_FPGA0_PERIPHERAL_FREQMHZ"], "PCW_FCLK{}_PERIPHERAL_", "PCW_FPGA_FCLK{}_ENABLE"
        )
    if ip == "zynq_ultra_ps_e":
        wanted = found["PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ"]
        found |= _clocks(ip, wanted, "PSU__CRL_APB__PL{}_REF_CTRL__", "PSU__FPGA_PL{}_ENABLE")
    under = ElementTree.SubElement(module, "PARAMETERS")
    for name, value in found.items():
        ElementTree.SubElement(under, "PARAMETER", NAME=name, VALUE=value.strip())


def _clocks(ip: str, wanted_mhz: str, divisor: str, enable: str) -> dict[str, str]:
    """The dividers that Vivado chooses for the clock of the fabric; its three other clocks are off."""
    found = {}
    for clock in range(4):
        by = round(PLL_MHZ[ip] / float(wanted_mhz)) if clock == 0 else 1
        found |= {f"{divisor.format(clock)}DIVISOR0": str(by), f"{divisor.format(clock)}DIVISOR1": "1"}
        found[enable.format(clock)] = str(int(clock == 0))
    return found


def _bus(buses: ElementTree.Element, name: str) -> None:
    stream = "AXIS" in name.upper()
    master = name.upper().startswith("M")
    kind = ("INITIATOR" if master else "TARGET") if stream else ("MASTER" if master else "SLAVE")
    vlnv = f"xilinx.com:interface:{'axis' if stream else 'aximm'}:1.0"
    bus = ElementTree.SubElement(buses, "BUSINTERFACE", NAME=name, TYPE=kind, VLNV=vlnv)
    ElementTree.SubElement(bus, "PORTMAPS")


def _range(memory: ElementTree.Element, port: str, base: int) -> None:
    where = {"BASEVALUE": f"0x{base:08X}", "HIGHVALUE": f"0x{base + SPAN - 1:08X}", "ADDRESSBLOCK": "Reg"}
    ends = {"MASTERBUSINTERFACE": port, "INSTANCE": "dma", "SLAVEBUSINTERFACE": "S_AXI_LITE"}
    ElementTree.SubElement(memory, "MEMRANGE", where | ends, MEMTYPE="REGISTER", IS_DATA="TRUE")
