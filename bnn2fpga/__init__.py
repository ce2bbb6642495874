"""bnn2fpga: binary neural networks as verified streaming accelerators for FPGAs.

What `__all__` names here, in `bnn2fpga.training` and in `bnn2fpga.driver` is stable: it changes only with a
new major version, and with a word in the release notes. Everything else may move.
"""

from bnn2fpga.backends.hls import write_hls
from bnn2fpga.backends.rtl import write_rtl
from bnn2fpga.boards.board import Board, board_names, load_board
from bnn2fpga.build.compiler import compile, explain
from bnn2fpga.build.config import BuildConfig
from bnn2fpga.build.deployment import rebuild
from bnn2fpga.build.design_facts import draw
from bnn2fpga.build.ladder import Ladder, Level
from bnn2fpga.build.steps import run_build
from bnn2fpga.build.verify import verify
from bnn2fpga.cli.show import show
from bnn2fpga.design.explanation import Explanation
from bnn2fpga.design.graph import Design
from bnn2fpga.errors import BuildError
from bnn2fpga.planning.estimate import Estimate, estimate
from bnn2fpga.planning.timing.schedule import earliest as schedule

__version__ = "0.1.0"
__all__ = [
    "Board",
    "BuildConfig",
    "BuildError",
    "Design",
    "Estimate",
    "Explanation",
    "Ladder",
    "Level",
    "board_names",
    "compile",
    "draw",
    "estimate",
    "explain",
    "load_board",
    "rebuild",
    "run_build",
    "schedule",
    "show",
    "verify",
    "write_hls",
    "write_rtl",
]
