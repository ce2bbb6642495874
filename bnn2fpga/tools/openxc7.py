"""Where the openXC7 tools and their databases lie.

https://github.com/openXC7: yosys, nextpnr-xilinx, prjxray's fasm2frames and xc7frames2bit.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from bnn2fpga.errors import ToolError

INSTALL = "nix develop github:openxc7/toolchain-nix"
"""Opens a shell that has all the tools; from the README of github.com/openXC7/toolchain-nix."""


class OpenXC7(BaseModel):
    """The table [openxc7] of build.toml; a tool without a path is looked for on PATH.

    `chipdb` is nextpnr-xilinx's database of the chip, `database` prjxray's folder of the family (…/zynq7),
    `part_file` its part.yaml, `database`/`part`/part.yaml if absent. `seed` is that of the placer.

    The board runs at the clock that was asked for or, where timing does not allow it, at the highest slower
    one. `margin` is the part of the period that every path leaves, as the chip's open data has no delays of
    the processing system's ports. With `strict_clock` a clock slower than asked for is an error.

    With `prove`, the bitstream is read back into a netlist by what `database` says of the chip, simulated,
    and compared.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    yosys: Path | None = None
    nextpnr_xilinx: Path | None = None
    fasm2frames: Path | None = None
    xc7frames2bit: Path | None = None
    chipdb: Path | None = None
    database: Path | None = None
    part_file: Path | None = None
    seed: int = Field(default=1, ge=0)
    margin: float = Field(default=0.05, ge=0, lt=1)
    strict_clock: bool = False
    prove: bool = True

    def tool(self, name: str) -> str:
        """The path of a tool; a ToolError says how to get it."""
        explicit: Path | None = getattr(self, name.replace("-", "_"))
        found = shutil.which(explicit or name)
        if found is None:
            where = f"{explicit} is no executable" if explicit else f"{name} is not on PATH"
            raise ToolError(
                f"{where}; get the openXC7 tools: {INSTALL}; or set {name.replace('-', '_')} in the table "
                "[openxc7] of build.toml"
            )
        return str(Path(found).absolute())

    def chip(self, part: str) -> Path:
        """The chip database for `part`."""
        device = part.rsplit("-", 1)[0]
        how = f"the Makefiles of github.com/openXC7/demo-projects make {device}.bin"
        return _existing("chipdb", self.chipdb, how)

    def family(self) -> Path:
        """prjxray's folder of the chip's family."""
        how = "PRJXRAY_DB_DIR of the openXC7 shell holds zynq7"
        return _existing("database", self.database, how)

    def part(self, part: str) -> Path:
        """prjxray's description of `part`."""
        return _existing(
            "part_file", self.part_file or self.family() / part / "part.yaml", "it is in prjxray-db"
        )


def _existing(field: str, path: Path | None, how: str) -> Path:
    if path is None:
        raise ToolError(f"{field} is not set in the table [openxc7] of build.toml; {how} ({INSTALL})")
    if not path.exists():
        raise ToolError(f"{field} of [openxc7]: {path} does not exist; {how} ({INSTALL})")
    return path.absolute()
