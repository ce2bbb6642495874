"""The command line.

Exit codes: 0 done, 1 build error, 2 wrong usage, 3 tool missing or failed, 4 results differ.
"""

from __future__ import annotations

import io
import os
import sys
import warnings
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from bnn2fpga import __version__

# the commands join as they are imported; --help lists them in this order
# isort: split
from bnn2fpga.cli import build_commands  # noqa: F401

# isort: split
from bnn2fpga.cli import bitstream_commands  # noqa: F401

# isort: split
from bnn2fpga.cli import model_commands  # noqa: F401

# isort: split
from bnn2fpga.cli import check_command  # noqa: F401

# isort: split
from bnn2fpga.cli import training_commands  # noqa: F401

# isort: split
from bnn2fpga.cli import list_commands  # noqa: F401
from bnn2fpga.cli.terminal import app, out
from bnn2fpga.errors import BuildError

INTERRUPTED = 130
"""The exit code that typer makes of Ctrl-C."""


@app.callback(invoke_without_command=True)
def _global(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where in bnn2fpga an error arose.")] = False,
) -> None:
    if version:
        out.print(f"bnn2fpga {__version__}")
        raise typer.Exit


def main() -> None:
    """The entry point: every refusal is one line on standard error and an exit code."""
    warnings.simplefilter("ignore")
    _prepare_streams()
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except BuildError as error:
        _give_up(str(error), error.exit_code)
    except OSError as error:
        # what cannot be written now must not be tried again when Python ends
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115
        where = f"{error.filename}: " if error.filename else "writing: "
        _give_up(f"{where}{error.strerror or error}; free or choose another place, and run it again", 1)
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            _give_up("stopped; the same command goes on from here", INTERRUPTED)
        raise
    except Exception as error:
        if "--debug" in sys.argv[1:2]:
            raise
        _give_up(f"{type(error).__name__}: {error}; a fault of bnn2fpga, see bnn2fpga --debug", 1)


def _prepare_streams() -> None:
    """Makes the standard streams take every text, where a terminal knows no more than ASCII or is closed."""
    nowhere = Path(os.devnull).open("w")  # noqa: SIM115
    sys.stdout, sys.stderr = sys.stdout or nowhere, sys.stderr or nowhere
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _give_up(text: str, exit_code: int) -> NoReturn:
    # a name from a file may hold what a terminal obeys
    shown = "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))
    print(f"error: {shown}", file=sys.stderr)
    sys.exit(exit_code)
