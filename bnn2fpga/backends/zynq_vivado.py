"""The script with which Vivado makes a bitstream of the RTL and the Zynq around it, without a vendor's IP.

Clock and jitter are constrained at the PS7's pin FCLKCLK[0], as AMD's own IP of the processing system does.
"""

from __future__ import annotations

from bnn2fpga.backends.zynq import TOP
from bnn2fpga.files.templates import render


def vivado_script(part: str, clock_mhz: float) -> str:
    """The Tcl for a folder with rtl/ and zynq/; `clock_mhz` is what Vivado tries to reach."""
    return render("vivado_rtl.tcl.j2", top=TOP, part=part, clock_mhz=clock_mhz)
