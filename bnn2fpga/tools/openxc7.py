"""Where the open tools for 7-series chips and their databases lie.

https://github.com/openXC7: yosys, nextpnr-xilinx, prjxray's fasm2frames and xc7frames2bit; nextpnr-himbaechel
of https://github.com/YosysHQ/nextpnr.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from pydantic import Field

from bnn2fpga.errors import ToolError
from bnn2fpga.files.settings import Table
from bnn2fpga.tools.chip_database import TOOLS, Tool, check_database

INSTALL = "unpack a release of github.com/cavearr/toolchain-openxc7-releases, its bin/ on PATH"
"""openXC7's dated packages: programs for Linux, macOS and Windows, databases of all Zynq-7000 chips."""
HOW = {"effort", "jobs", "scheduler"}
"""Settings that change no result of one seed."""
MARGINS: dict[Tool, float] = {"nextpnr-xilinx": 0.05, "nextpnr-himbaechel": 0.3}
"""What every path leaves of the period: neither tool times all cells, see UNTIMED.

Of one and the same placement nextpnr-himbaechel says 121 MHz where nextpnr-xilinx says 100, although its
flip-flops are slower; the wires differ. No chip has decided yet which is right.
"""
UNTIMED: dict[Tool, str] = {
    "nextpnr-xilinx": "it has no delays of the processing system's ports and of block RAM",
    "nextpnr-himbaechel": "it has no delays of the processing system's ports, one for all LUTs and one "
    "for all flip-flops, and its wires are faster than nextpnr-xilinx'",
}
"""Why a margin is left, in words."""


class OpenXC7(Table):
    """The table [openxc7] of build.toml; a tool without a path is looked for on PATH.

    `place_and_route` is the program that does it; whichever is found if absent. `chipdb` is nextpnr-xilinx's
    database of the chip, `himbaechel_chipdb` the other's, which knows where its own lies. `database` is
    prjxray's folder of the family (…/zynq7), beside the tools if absent, `part_file` its part.yaml,
    `database`/`part`/part.yaml if absent.

    `seed` is that of the placer. With `effort`, in minutes, seeds from that one on are tried for so long and
    the best is kept; `jobs` of them at a time here, as many as cores and memory allow if absent, or on the
    Dask cluster of `scheduler` (tcp://host:port), whose machines need the tools at the same places. yosys
    has `jobs` kernels at a time, as many as cores if absent.

    The board runs at the clock that was asked for or, where timing does not allow it, at the highest slower
    one. `margin` is the part of the period that every path leaves, MARGINS if absent. With `strict_clock` a
    clock slower than asked for is an error.

    With `prove`, the bitstream is read back into a netlist by what `database` says of the chip, simulated,
    and compared.
    """

    yosys: Path | None = None
    place_and_route: Tool | None = None
    nextpnr_xilinx: Path | None = None
    nextpnr_himbaechel: Path | None = None
    fasm2frames: Path | None = None
    xc7frames2bit: Path | None = None
    chipdb: Path | None = None
    himbaechel_chipdb: Path | None = None
    database: Path | None = None
    part_file: Path | None = None
    seed: int = Field(default=1, ge=0)
    margin: float | None = Field(default=None, ge=0, lt=1)
    strict_clock: bool = False
    effort: float = Field(default=0, ge=0)
    jobs: int | None = Field(default=None, ge=1)
    scheduler: str | None = None
    prove: bool = True

    def tool(self, name: str) -> str:
        """The path of a tool; a ToolError says how to get it."""
        found = self._found(name)
        if found is None:
            explicit = self._explicit(name)
            where = f"{explicit} is no executable" if explicit else f"{name} is not on PATH"
            raise ToolError(
                f"{where}; get the openXC7 tools: {INSTALL}; or set {_setting(name)} in the table "
                "[openxc7] of build.toml"
            )
        return str(Path(found).absolute())

    def place_and_route_tool(self) -> tuple[str, Tool]:
        """The path of the program that was asked for, or of the first that is there, and which one it is.

        A file's name does not tell: in openXC7's packages since autumn 2026 nextpnr-xilinx is himbaechel.
        """
        there = [(path, _kind(path)) for name in TOOLS if (path := self._found(name))]
        for path, kind in there:
            if kind and kind == (self.place_and_route or kind):
                return str(Path(path).absolute()), kind
        if there:
            found = ", ".join(f"{path} ({kind or 'does not run'})" for path, kind in there)
            raise ToolError(
                f"place_and_route of [openxc7]: no {self.place_and_route or TOOLS[0]} is there, but {found}; "
                f"set {_setting(self.place_and_route or TOOLS[0])} to its path"
            )
        wanted = self.place_and_route or TOOLS[0]
        return self.tool(wanted), wanted

    def margin_of(self, tool: Tool) -> float:
        """What every path must leave of the period where `tool` has timed it."""
        return MARGINS[tool] if self.margin is None else self.margin

    def chip_database(self, tool: Tool, part: str) -> Path | None:
        """The database of `part` for `tool`; a ToolError for one of another tool or chip.

        None where nextpnr-himbaechel is to take that of its own folder.
        """
        if tool == "nextpnr-xilinx":
            field, path, made = "chipdb", self.chipdb, "bbaexport.py and bbasm of nextpnr-xilinx"
        else:
            field, path, made = "himbaechel_chipdb", self.himbaechel_chipdb, "the build of nextpnr-himbaechel"
            if path is None:
                return None
        how = f"{made} make it for the {part.rsplit('-', 1)[0]}"
        found = _existing(field, path, how)
        check_database(found, tool, part, field, how)
        return found

    def _explicit(self, name: str) -> Path | None:
        explicit: Path | None = getattr(self, _setting(name))
        return explicit

    def _found(self, name: str) -> str | None:
        return shutil.which(self._explicit(name) or name)

    def family(self) -> Path:
        """prjxray's folder of the chip's family."""
        how = "prjxray-db/zynq7 is in openXC7's package, below share/nextpnr/external"
        beside = (
            Path(path).resolve().parent.parent
            for name in (*TOOLS, "fasm2frames")
            if (path := self._found(name))
        )
        known = (place / "share/nextpnr/external/prjxray-db/zynq7" for place in beside)
        return _existing("database", self.database or next(filter(Path.is_dir, known), None), how)

    def part(self, part: str) -> Path:
        """prjxray's description of `part`."""
        return _existing(
            "part_file", self.part_file or self.family() / part / "part.yaml", "it is in prjxray-db"
        )


def _kind(path: str) -> Tool | None:
    """Which program it is, by its options; None for one that cannot run."""
    try:
        shown = subprocess.run([path, "--help"], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return "nextpnr-himbaechel" if "--vopt" in shown.stdout + shown.stderr else "nextpnr-xilinx"


def _setting(tool: str) -> str:
    return tool.replace("-", "_")


def _existing(field: str, path: Path | None, how: str) -> Path:
    if path is None:
        raise ToolError(f"{field} is not set in the table [openxc7] of build.toml; {how} ({INSTALL})")
    if not path.exists():
        raise ToolError(f"{field} of [openxc7]: {path} does not exist; {how} ({INSTALL})")
    return path.absolute()
