"""Nets of a netlist that drive many pins: wires that reach far are what limits a routed clock."""

from __future__ import annotations

from pathlib import Path

from bnn2fpga.backends.zynq import TOP
from bnn2fpga.tools.netlist import Netlist

MOST = 200


def wide_nets(path: Path) -> dict[str, int]:
    """How many pins of cells each drives, of those with MOST or more, by name."""
    netlist = Netlist.read(path, TOP)
    return {netlist.name(bit) or f"bit {bit}": pins for bit, pins in netlist.fanouts.items() if pins >= MOST}
