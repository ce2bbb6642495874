"""bnn2fpga: binary neural networks as verified streaming accelerators for FPGAs."""

from bnn2fpga.backends.hls import write_hls
from bnn2fpga.build.compiler import compile
from bnn2fpga.build.deployment import rebuild
from bnn2fpga.build.ladder import Ladder
from bnn2fpga.build.verify import verify
from bnn2fpga.design.graph import Design
from bnn2fpga.errors import BuildError

__version__ = "0.1.0"
__all__ = ["BuildError", "Design", "Ladder", "compile", "rebuild", "verify", "write_hls"]
