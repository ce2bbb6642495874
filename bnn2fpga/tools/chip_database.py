"""Which chip a database of nextpnr is of, read from its first structure.

nextpnr-xilinx looks at nothing: it crashes on a file of another kind, and takes another chip's for the right
one. nextpnr-himbaechel knows its own kind and version, but takes another chip's of the same package, too.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bnn2fpga.errors import ToolError

Tool = Literal["nextpnr-xilinx", "nextpnr-himbaechel"]
"""The programs that place and route; their databases differ."""
TOOLS: tuple[Tool, ...] = ("nextpnr-xilinx", "nextpnr-himbaechel")

_HIMBAECHEL = 0x00CA7CA7
"""The first word of himbaechel's structure (himbaechel/chipdb.h)."""
_LONGEST_NAME = 64


@dataclass(frozen=True)
class ChipDatabase:
    """The tool that a database is for, and its chip: xc7z020clg400-1 for nextpnr-xilinx, else xc7z020."""

    tool: Tool
    chip: str

    @classmethod
    def read(cls, path: Path) -> ChipDatabase | None:
        """None for a file that is neither tool's."""
        with path.open("rb") as file:
            try:
                content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except (OSError, ValueError):  # an empty one
                return None
            with content:
                return _himbaechel(content) or _xilinx(content)


def check_database(path: Path, tool: Tool, part: str, field: str, how: str) -> None:
    """A ToolError unless `path`, of the setting `field`, is a database for `tool` of the chip `part`."""
    try:
        found = ChipDatabase.read(path)
    except OSError as error:
        raise ToolError(f"{field} of [openxc7]: {path}: {error.strerror or error}; {how}") from error
    if found is None:
        raise ToolError(f"{field} of [openxc7]: {path} is no whole database of {tool}; {how}")
    if found.tool != tool:
        raise ToolError(f"{field} of [openxc7]: {path} is a database of {found.tool}, not of {tool}; {how}")
    if not part.startswith(found.chip.partition("-")[0]):
        raise ToolError(f"{field} of [openxc7]: {path} is of the {found.chip}, not of the {part}; {how}")


def _himbaechel(content: mmap.mmap) -> ChipDatabase | None:
    """Magic, version, width, height, family and name: words and references in bytes."""
    base = _reference(content, 0, 1)
    if base is None or _word(content, base) != _HIMBAECHEL:
        return None
    chip = _text(content, base + 20, 1)
    return ChipDatabase("nextpnr-himbaechel", chip) if chip else None


def _xilinx(content: mmap.mmap) -> ChipDatabase | None:
    """Name, generator, version: references in words of four bytes (xilinx/arch.h)."""
    base = _reference(content, 0, 4)
    chip = base and _text(content, base, 4)
    return ChipDatabase("nextpnr-xilinx", chip) if chip and chip.startswith("xc") else None


def _word(content: mmap.mmap, at: int) -> int | None:
    if not 0 <= at <= len(content) - 4:
        return None
    return int(struct.unpack_from("<i", content, at)[0])


def _reference(content: mmap.mmap, at: int, unit: int) -> int | None:
    """The place that the word at `at` names, counted from itself."""
    word = _word(content, at)
    return None if word is None else at + unit * word


def _text(content: mmap.mmap, at: int, unit: int) -> str:
    """The string that the word at `at` refers to; empty if it is none."""
    start = _reference(content, at, unit)
    if start is None or not 0 <= start < len(content):
        return ""
    name, end, _ = content[start : start + _LONGEST_NAME].partition(b"\0")
    return name.decode("ascii") if end and name.isascii() and name.decode("ascii").isprintable() else ""
