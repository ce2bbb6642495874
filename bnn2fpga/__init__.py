"""bnn2fpga: binary neural networks as verified streaming accelerators for FPGAs."""

from bnn2fpga.compiler import compile
from bnn2fpga.errors import BuildError
from bnn2fpga.ir import Design
from bnn2fpga.verify import Ladder, verify

__version__ = "0.1.0"
__all__ = ["BuildError", "Design", "Ladder", "compile", "verify"]
