"""Which frames a chip has, and in which order it takes them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from bnn2fpga.errors import ToolError

PADDING = 2
"""Frames of nothing after each row."""
_BUSES = (("CLB_IO_CLK", 0), ("BLOCK_RAM", 1))


@dataclass(frozen=True)
class Row:
    """A row of one kind of frames: the address of its first frame, and the frames of each column."""

    base: int
    columns: tuple[int, ...]


@dataclass(frozen=True)
class Part:
    """A chip in its package: its IDCODE and its rows in the order of configuration."""

    name: str
    idcode: int
    rows: tuple[Row, ...]

    @classmethod
    def read(cls, database: Path, name: str) -> Part:
        """From prjxray's folder of the family; a ToolError says what is missing."""
        path = database / name / "part.json"
        try:
            facts = json.loads(path.read_text())
            regions, idcode = facts["global_clock_regions"], facts["idcode"]
            rows = tuple(
                Row(block << 23 | half << 22 | int(row) << 17, _columns(buses[bus]))
                for bus, block in _BUSES
                for half, region in ((0, "top"), (1, "bottom"))
                for row, buses in sorted(
                    ((row, facts["configuration_buses"]) for row, facts in regions[region]["rows"].items()),
                    key=lambda pair: int(pair[0]),
                )
                if bus in buses
            )
        except OSError as error:
            raise ToolError(f"{path}: {error.strerror or error}; it is part of prjxray-db") from error
        except (ValueError, LookupError, TypeError) as error:
            raise ToolError(f"{path}: is not prjxray's description of a part ({error!r})") from error
        return cls(name, idcode, rows)

    def frame_order(self) -> list[int | None]:
        """The address of every frame as they follow each other; None for one of padding."""
        order: list[int | None] = []
        for row in self.rows:
            for column, count in enumerate(row.columns):
                order += range(row.base | column << 7, (row.base | column << 7) + count)
            order += [None] * PADDING
        return order


def _columns(bus: dict[str, dict[str, dict[str, int]]]) -> tuple[int, ...]:
    columns = bus["configuration_columns"]
    return tuple(columns[str(column)]["frame_count"] for column in range(len(columns)))
