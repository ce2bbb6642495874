"""What a plan may use of a board: with the open tools, what they can place and route.

The figures are those of `python -m benchmarks.routed`: real designs that were routed for the xc7z020.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from bnn2fpga.boards.board import USABLE, Board

MAX_BEAT = 256
"""Bits. All registers of a beat load in one clock; wires of wider beats were what limited the clock."""
FRAME = 856
"""LUTs of the data mover and all else around the core."""
PLACES = 1.39
"""Places for a LUT that one LUT of the estimate takes: carry chains use some of them as wires."""


@dataclass(frozen=True)
class Limits:
    """LUTs, block RAMs of 36 Kbit and, where it matters, bits of a beat."""

    luts: float
    bram36: float
    beat: int | None = None

    @classmethod
    def of(cls, board: Board, max_lut: int | None = None, max_bram: float | None = None) -> Limits:
        """What is given, or USABLE of the board."""
        return cls(
            USABLE * board.luts if max_lut is None else max_lut,
            USABLE * board.bram36 if max_bram is None else max_bram,
        )

    def routable(self, board: Board) -> Limits:
        """No more than the open tools can place and route."""
        return replace(self, luts=min(self.luts, USABLE * board.luts / PLACES - FRAME), beat=MAX_BEAT)
