"""A small design that was placed, routed and written as a bitstream once, and how: with the real tools.

`python -m tests.bitstream.recorded build.toml FOLDER` builds it again, with the tools of the table [openxc7],
and replaces the recorded file.
"""

from __future__ import annotations

import json
import lzma
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from bnn2fpga.backends.rtl import rtl_project
from bnn2fpga.build import open_flow
from bnn2fpga.build.config import BuildConfig
from bnn2fpga.build.prove import Made
from bnn2fpga.design.graph import Design, Target
from bnn2fpga.files.settings import read_settings
from bnn2fpga.planning.timing.fifo_depths import size_fifos
from bnn2fpga.tools import nextpnr
from tests.kernels.designs import dense_net

PART = "xc7z020clg400-1"
HERE = Path(__file__).parent
RECORDED = HERE / "dense.bit.xz"
ROUTED = HERE / "routed.json.xz"
"""nextpnr's netlist, without what is not read: names of nets, places in the sources."""
REGISTERS = HERE / "registers.json"
"""Those that the bitstream must answer with."""


def design() -> Design:
    """Two fully connected layers; the weights of the first lie in block RAM."""
    return replace(size_fifos(dense_net((64, 48, 10))), target=Target("pynq-z2", PART, 100.0))


def unpack(folder: Path) -> Made:
    """The recorded files, in `folder`."""
    for path in (RECORDED, ROUTED):
        (folder / path.stem).write_bytes(lzma.decompress(path.read_bytes()))
    return Made(folder / ROUTED.stem, folder / RECORDED.stem, REGISTERS)


def _record(settings: Path, folder: Path) -> None:
    tools, made = read_settings(settings, BuildConfig).openxc7, design()
    steps = {name: folder / f"{number:02}-{name}" for number, name in enumerate(_STEPS, 1)}
    for path in steps.values():
        path.mkdir(parents=True)
    open_flow.rtl(made, steps["rtl"], rtl_project(made, primitives=True))
    open_flow.synthesis(made, steps["synthesis"], tools)
    open_flow.route(made, steps["route"], tools)
    open_flow.bitstream(made, steps["bitstream"], tools, clocks_mhz=(50, 75, 100))
    data = _without_paths((steps["bitstream"] / f"{made.name}.bit").read_bytes())
    RECORDED.write_bytes(_packed(data))
    netlist = json.loads((steps["route"] / nextpnr.ROUTED).read_text())
    ROUTED.write_bytes(_packed(json.dumps(_essential(netlist), separators=(",", ":")).encode()))
    registers = json.loads((steps["bitstream"] / "registers.json").read_text())
    REGISTERS.write_text(json.dumps({name: registers[name] for name in ("id", "digest")}) + "\n")


def _packed(data: bytes) -> bytes:
    return lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)


def _essential(netlist: dict[str, Any]) -> dict[str, Any]:
    """The cells, by numbers, with the attributes that are read."""
    (module,) = netlist["modules"].values()
    for cell in module["cells"].values():
        cell.pop("hide_name")
        kept = cell["attributes"].items()
        cell["attributes"] = {
            key: value for key, value in kept if key.startswith("X_ORIG_") or key == "NEXTPNR_BEL"
        }
    return {"modules": {"top": {"cells": dict(enumerate(module["cells"].values()))}}}


def _without_paths(data: bytes) -> bytes:
    """Another text for the header's field a, where xc7frames2bit names its input."""
    size = int.from_bytes(data[14:16], "big")
    text = b"dense.frames;Generator=xc7frames2bit\0"
    return data[:14] + len(text).to_bytes(2, "big") + text + data[16 + size :]


_STEPS = ("rtl", "synthesis", "route", "bitstream")

if __name__ == "__main__":
    _record(Path(sys.argv[1]), Path(sys.argv[2]))
