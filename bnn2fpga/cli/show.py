"""Shows what the Python API gives as the command line does."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType

from bnn2fpga.build.ladder import Ladder, Level
from bnn2fpga.cli.explanation import explanation
from bnn2fpga.cli.tables import kernel_table, level_line, share_bars, speed, stacked
from bnn2fpga.design.explanation import Explanation
from bnn2fpga.planning.estimate import Estimate


def show(thing: Estimate | Explanation | Ladder | Level, width: int | None = None) -> None:
    """Prints an estimate, an explanation, a ladder or a level of one, in a terminal or a notebook.

    `width` is in characters; the terminal's if it is None. Raises TypeError for anything else.
    """
    Console(width=width, highlight=False).print(_rendered(thing))


def _rendered(thing: Estimate | Explanation | Ladder | Level) -> RenderableType:
    if isinstance(thing, Estimate):
        return stacked(kernel_table(thing), speed(thing), share_bars(thing))
    if isinstance(thing, Explanation):
        return explanation(thing)
    if isinstance(thing, Level):
        return level_line(thing)
    if isinstance(thing, Ladder):
        return Group(*map(level_line, thing.levels))
    raise TypeError(f"a {type(thing).__name__} cannot be shown; legal: Estimate, Explanation, Ladder, Level")
