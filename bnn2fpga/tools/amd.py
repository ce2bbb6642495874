"""Where AMD's tools lie, which version each is, and what their errors mean.

Vitis HLS has had three commands: `vitis_hls` (2020.2 to 2024.2), `vitis-run --mode hls` and, from 2023.2 on
as well, `v++ -c --mode hls`. Versions are read from what a tool prints of itself. bnn2fpga's tests run
stand-ins, not the tools.
"""

from __future__ import annotations

import errno
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from bnn2fpga.errors import ToolError
from bnn2fpga.files.settings import Table
from bnn2fpga.tools.run_tool import call

INSTALL = "source the settings64.sh of Vitis and Vivado, 2020.2 to 2025.2"
"""What makes the tools known to a shell. From 2026.1 on they need a paid licence on Linux."""

_ERROR = re.compile(r"^ERROR:")
_ADVICE = {
    re.compile(r"^ERROR:.*\blicen[cs]e", re.I | re.M): "versions up to 2025.2 need no license file for the "
    "parts of this package's boards; for others set XILINXD_LICENSE_FILE to a license file or server",
    re.compile(
        r"bad lexical cast|is an invalid argument\. Please specify an integer"
    ): "versions up to 2021.2 "
    "export no IP after 2021: install AMD's patch y2k22_patch-1.2 (answer record 76960)",
}

Version = tuple[int, int]


@dataclass(frozen=True)
class Tool:
    """A command that was found, and its version, such as (2023, 2)."""

    path: Path
    version: Version

    def __str__(self) -> str:
        return f"{self.path.name} {_text(self.version)}"


@dataclass(frozen=True)
class _Command:
    """What a command is called, the option that prints its version, and the first and last that have it."""

    name: str
    option: str
    first: Version
    last: Version | None = None

    def __str__(self) -> str:
        return f"{self.name} ({_text(self.first)} {f'to {_text(self.last)}' if self.last else 'or newer'})"


_HLS = (
    _Command("vitis-run", "--version", (2023, 2)),
    _Command("vitis_hls", "-version", (2020, 2), (2024, 2)),
    _Command("v++", "--version", (2023, 2)),
)
_VIVADO = (_Command("vivado", "-version", (2020, 2)),)


class Vivado(Table):
    """The table [vivado] of build.toml; a tool without a path is looked for on PATH.

    `hls` is the path of vitis-run, vitis_hls or v++. `jobs` is how many runs Vivado starts at a time.
    `ip_cache` is a folder in which Vivado keeps synthesized IP from build to build.

    From HLS a clock slower than asked for is an error. From RTL the board runs at the highest clock that
    timing allows, unless `strict_clock` makes that an error too.
    """

    hls: Path | None = None
    vivado: Path | None = None
    jobs: int = Field(default=4, ge=1)
    ip_cache: Path | None = None
    strict_clock: bool = False

    def find_hls(self) -> Tool:
        """The newest command for HLS that there is and whose version is known; a ToolError otherwise."""
        return _find("hls", self.hls, _HLS)

    def find_vivado(self) -> Tool:
        """Vivado; a ToolError if it is missing or too old."""
        return _find("vivado", self.vivado, _VIVADO)


def run(command: list[str | Path], folder: Path, log: Path, of: str) -> None:
    """Runs a tool of AMD's in `folder`; a ToolError for a bad exit code or a line ERROR in what it printed.

    A full disk is an OSError, as it is where Python itself finds the disk full.
    """
    try:
        call(command, folder, log, of=of, table="vivado", fault=_ERROR)
    except ToolError as error:
        text = log.read_text(encoding="utf-8", errors="replace")
        if "No space left on device" in text:
            raise OSError(errno.ENOSPC, f"No space left on device, says {log.name}") from error
        advice = "".join(f"; {what}" for pattern, what in _ADVICE.items() if pattern.search(text))
        raise ToolError(f"{error}{advice}") from error


def _find(field: str, explicit: Path | None, commands: tuple[_Command, ...]) -> Tool:
    unfit = []
    for command in commands:
        if explicit and explicit.name != command.name:
            continue
        found = shutil.which(explicit or command.name)
        if found is None:
            continue
        tool = Tool(Path(found).absolute(), _version(found, command.option))
        if command.first <= tool.version <= (command.last or tool.version):
            return tool
        unfit.append(f"{found} is version {_text(tool.version)}")
    legal = ", ".join(map(str, commands))
    where = "; ".join(unfit) or (f"{explicit} is no such executable" if explicit else "not found on PATH")
    raise ToolError(f"{where}; legal: {legal}; {INSTALL}, or set {field} in the table [vivado] of build.toml")


def _version(path: str, option: str) -> Version:
    try:
        done = subprocess.run([path, option], capture_output=True, text=True, errors="replace", check=False)
    except OSError as error:
        raise ToolError(
            f"{path}: {error.strerror or error}; check the table [vivado] of build.toml"
        ) from error
    found = re.search(r"\bv?(20\d\d)\.(\d)\b", done.stdout + done.stderr)
    if found is None:
        lines = (done.stderr + done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
        raise ToolError(f"{path} {option} prints no version: {lines[0]}; {INSTALL}")
    return int(found[1]), int(found[2])


def _text(version: Version) -> str:
    return f"{version[0]}.{version[1]}"
