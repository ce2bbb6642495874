"""bnn2fpga: binary neural networks as verified streaming accelerators for FPGAs.

What `__all__` names here, in `bnn2fpga.training` and in `bnn2fpga.driver` is stable: it changes only with a
new major version, and with a word in the release notes. Everything else may move.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_HOMES = {
    "Board": "bnn2fpga.boards.board:Board",
    "BuildConfig": "bnn2fpga.build.config:BuildConfig",
    "BuildError": "bnn2fpga.errors:BuildError",
    "Design": "bnn2fpga.design.graph:Design",
    "Estimate": "bnn2fpga.planning.estimate:Estimate",
    "Explanation": "bnn2fpga.design.explanation:Explanation",
    "Ladder": "bnn2fpga.build.ladder:Ladder",
    "Level": "bnn2fpga.build.ladder:Level",
    "board_names": "bnn2fpga.boards.board:board_names",
    "compile": "bnn2fpga.build.compiler:compile",
    "draw": "bnn2fpga.build.design_facts:draw",
    "estimate": "bnn2fpga.planning.estimate:estimate",
    "explain": "bnn2fpga.build.compiler:explain",
    "load_board": "bnn2fpga.boards.board:load_board",
    "rebuild": "bnn2fpga.build.deployment:rebuild",
    "run_build": "bnn2fpga.build.steps:run_build",
    "schedule": "bnn2fpga.planning.timing.schedule:earliest",
    "show": "bnn2fpga.cli.show:show",
    "verify": "bnn2fpga.build.verify:verify",
    "write_hls": "bnn2fpga.backends.hls:write_hls",
    "write_rtl": "bnn2fpga.backends.rtl:write_rtl",
}
"""Where each public name lies; a module is imported when one of its names is first used."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'bnn2fpga' has no attribute {name!r}")
    module, _, own = _HOMES[name].partition(":")
    value = globals()[name] = getattr(import_module(module), own)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
