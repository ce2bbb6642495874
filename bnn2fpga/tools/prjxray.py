"""prjxray's fasm2frames and xc7frames2bit: from nextpnr's features to a bitstream.

The command lines are those of the Makefiles in github.com/openXC7/demo-projects and of openXC7's own smoke
test; bnn2fpga's tests run stand-ins, not the tools. The header of a bitstream holds the time of its making.
"""

from __future__ import annotations

import os
from pathlib import Path

from bnn2fpga.errors import ToolError
from bnn2fpga.tools.openxc7 import OpenXC7
from bnn2fpga.tools.run_tool import call


def write_bitstream(fasm: Path, part: str, bitstream: Path, log: Path, tools: OpenXC7) -> None:
    """Writes `bitstream` (.bit) for `part` from `fasm`."""
    to_frames, to_bits = tools.tool("fasm2frames"), tools.tool("xc7frames2bit")
    family, part_file = tools.family(), tools.part(part)
    frames = bitstream.with_suffix(".frames")
    # names without the user's folders: the FASM parser takes ASCII only, and so does PYNQ of the bitstream's
    # header, which holds the name of the frames
    features = os.path.relpath(fasm, bitstream.parent)
    call([to_frames, "--part", part, "--db-root", family, features], bitstream.parent, log, output=frames)
    command: list[str | Path] = [to_bits, "--part_file", part_file, "--part_name", part]
    call([*command, "--frm_file", frames.name, "--output_file", bitstream], bitstream.parent, log)
    frames.unlink()
    if not bitstream.is_file() or not bitstream.stat().st_size:
        raise ToolError(f"xc7frames2bit wrote no {bitstream.name}; all it printed is in {log}")
