"""The application, how a command joins it, and where it prints."""

from __future__ import annotations

from collections.abc import Callable
from inspect import cleandoc
from typing import Any, TypeVar

import typer
from rich.console import Console

app = typer.Typer(
    name="bnn2fpga",
    help="Compiles trained binary neural networks into verified streaming accelerators for FPGAs.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)
out = Console(highlight=False)
Command = TypeVar("Command", bound=Callable[..., Any])


def command(panel: str, *examples: str) -> Callable[[Command], Command]:
    """Makes a function a command, listed under `panel`; its docstring is the help, with `examples` below.

    The lines of a paragraph are joined, as Typer would break the help where the docstring does.
    """

    def join(function: Command) -> Command:
        paragraphs = cleandoc(function.__doc__ or "").split("\n\n")
        text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
        shown = "\n\n".join((f"Example{'s' * (len(examples) > 1)}:", *examples))
        app.command(help=text, epilog=shown, rich_help_panel=panel)(function)
        return function

    return join
