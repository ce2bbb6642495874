"""Where the open tools for 7-series chips and their databases lie.

https://github.com/openXC7: yosys, nextpnr-xilinx, prjxray's fasm2frames and xc7frames2bit; nextpnr-himbaechel
of https://github.com/YosysHQ/nextpnr.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from bnn2fpga.errors import ToolError
from bnn2fpga.tools.chip_database import TOOLS, Tool, check_database

INSTALL = "nix develop github:openxc7/toolchain-nix"
"""Opens a shell that has all the tools; from the README of github.com/openXC7/toolchain-nix."""


MARGINS: dict[Tool, float] = {"nextpnr-xilinx": 0.05, "nextpnr-himbaechel": 0.3}
"""What every path leaves of the period: neither tool times all cells, see UNTIMED.

Of one and the same placement nextpnr-himbaechel says 121 MHz where nextpnr-xilinx says 100.
"""
UNTIMED: dict[Tool, str] = {
    "nextpnr-xilinx": "it has no delays of block RAM and of the processing system's ports",
    "nextpnr-himbaechel": "its delays of LUTs and flip-flops are placeholders, and it has none of the "
    "processing system's ports",
}
"""Why a margin is left, in words."""


class OpenXC7(BaseModel):
    """The table [openxc7] of build.toml; a tool without a path is looked for on PATH.

    `place_and_route` is the program that does it, the one that is found if absent, nextpnr-xilinx first.
    `chipdb` is nextpnr-xilinx's database of the chip, `himbaechel_chipdb` the other's (its own folder's if
    absent), `database` prjxray's folder of the family (…/zynq7), `part_file` its part.yaml,
    `database`/`part`/part.yaml if absent. `seed` is that of the placer.

    The board runs at the clock that was asked for or, where timing does not allow it, at the highest slower
    one. `margin` is the part of the period that every path leaves, MARGINS if absent. With `strict_clock` a
    clock slower than asked for is an error.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

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

    def place_and_route_tool(self) -> Tool:
        """The program that was asked for, or the first that is there; nextpnr-xilinx where none is."""
        there = (name for name in TOOLS if self._found(name))
        return self.place_and_route or next(there, TOOLS[0])

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
        how = "PRJXRAY_DB_DIR of the openXC7 shell holds zynq7"
        return _existing("database", self.database, how)

    def part(self, part: str) -> Path:
        """prjxray's description of `part`."""
        return _existing(
            "part_file", self.part_file or self.family() / part / "part.yaml", "it is in prjxray-db"
        )


def _setting(tool: str) -> str:
    return tool.replace("-", "_")


def _existing(field: str, path: Path | None, how: str) -> Path:
    if path is None:
        raise ToolError(f"{field} is not set in the table [openxc7] of build.toml; {how} ({INSTALL})")
    if not path.exists():
        raise ToolError(f"{field} of [openxc7]: {path} does not exist; {how} ({INSTALL})")
    return path.absolute()
