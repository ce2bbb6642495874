"""What a build can be asked for by name. Light: the command line needs the names before all else."""

from __future__ import annotations

from typing import Literal

Flow = Literal["sim", "vitis", "vivado", "openxc7"]
"""Where a build ends: RTL to simulate, a Vitis HLS project, a bitstream by AMD's or by open tools."""
Source = Literal["hls", "rtl"]
"""What the flow `vivado` gives to Vivado: the IP core of Vitis HLS, or the SystemVerilog of the open flow."""
