"""Chooses every kernel's folding for a frame rate on a board."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bnn2fpga.boards.board import USABLE, Board
from bnn2fpga.design.graph import Design, Target
from bnn2fpga.errors import FoldingError
from bnn2fpga.planning.folding.choices import KINDS, Amounts, Choices, amounts
from bnn2fpga.planning.folding.integer_program import GAP, ROUGH_GAP, solve
from bnn2fpga.planning.folding.width_converters import refold
from bnn2fpga.planning.limits import Limits
from bnn2fpga.planning.timing.fifo_depths import size_fifos
from bnn2fpga.planning.timing.schedule import frame_cycles
from bnn2fpga.planning.usage import fifo_resources, resources

MOST_FPS = 1e12
TRIES = 4
"""Programs solved for one pace, each with less room than the one before."""


@dataclass(frozen=True)
class Plan:
    """A folded design, what keeps it from being faster, and how much cheaper it could be at most (a part)."""

    design: Design
    limit: str
    gap: float


def fold(
    design: Design,
    board: Board,
    clock_mhz: float,
    fps: float | None = None,
    limits: Limits | None = None,
) -> Design:
    """The design of `plan`."""
    return plan(design, board, clock_mhz, fps, limits).design


def plan(
    design: Design,
    board: Board,
    clock_mhz: float,
    fps: float | None = None,
    limits: Limits | None = None,
) -> Plan:
    """The cheapest folding that makes `fps` frames a second, or without `fps` the fastest that fits.

    What fits is what `limits` say of LUTs and block RAM, and USABLE of the board's LUTs as memory and
    flip-flops. No beat is wider than they say, where a kernel has a folding that is narrower.
    Raises FoldingError naming what is in the way and what is reachable.
    """
    if fps is not None and not 0 < fps < MOST_FPS:
        raise FoldingError(f"fps={fps:g} is not a frame rate; legal: above 0, below {MOST_FPS:g}")
    allowed = limits or Limits.of(board)
    search = _Search(
        replace(design, target=Target(board.name, board.part, clock_mhz)),
        Choices.find(design, board.hp_port_bits, allowed.beat),
        np.array(
            [
                allowed.luts,
                USABLE * board.lutram_luts,
                USABLE * board.flipflops,
                allowed.bram36,
            ]
        ),
        ROUGH_GAP if fps is None else GAP,
    )
    if fps is None:
        return search.fastest()
    target = int(clock_mhz * 1e6 / fps)
    found = search.at(target)
    if isinstance(found, Plan):
        return found
    raise FoldingError(search.refusal(found, fps))


@dataclass(frozen=True)
class _TooLarge:
    """Nothing of so many cycles a frame fits; the cheapest design is kept where it was worked out."""

    cycles: int
    cheapest: Design | None = None


@dataclass(frozen=True, eq=False)
class _Search:
    design: Design
    choices: Choices
    limits: Amounts
    gap: float
    """Of the programs, as `Plan.gap`."""

    def at(self, cycles: int) -> Plan | _TooLarge:
        """The cheapest design of at most `cycles` cycles a frame, if one fits with its FIFOs.

        How deep FIFOs must be is known when all foldings are; what they need beyond the shallow ones that
        the program counts is taken from the limits then, and the program solved again. So a folding with
        smaller FIFOs may be missed where all others are too large by a few LUTs.
        """
        if self.choices.fastest[1] > cycles:
            return _TooLarge(cycles)
        room, cheapest = self.limits, None
        for _ in range(TRIES):
            found = solve(self.choices, cycles, room, self.gap)
            if found is None:
                break
            folded = size_fifos(refold(self.design, found.kernels))
            used = amounts(resources(folded))
            if np.all(used <= self.limits):
                return Plan(folded, f"{cycles:,} cycles a frame are all that was asked for", found.gap)
            cheapest = cheapest or folded
            room = self.limits - np.maximum(used - found.needed, 0)
        return _TooLarge(cycles, cheapest)

    def fastest(self) -> Plan:
        """The fastest that fits: what fits at some pace fits at every slower one.

        The search goes from the fast end in growing steps, as what does not fit by far is refused soonest,
        then halves what is left.
        """
        slowest, least = self.choices.fastest
        paces = [pace for pace in self.choices.paces if pace >= least]
        low, high, step = 0, len(paces), 1
        best: Plan | None = None
        refused: _TooLarge | None = None
        while low < high:
            place = (low + high) // 2 if best else min(low + step - 1, high - 1)
            found = self.at(paces[place])
            if isinstance(found, Plan):
                best, high = found, place
            else:
                refused, low, step = found, place + 1, 2 * step
        if refused is None:
            assert best, "there is a pace"
            return replace(best, limit=slowest)
        why = self.too_large(refused)
        if best is None:
            raise FoldingError(f"{why}; nothing fits on {self.target.board}")
        return replace(best, limit=f"{refused.cycles:,} cycles a frame: {why}")

    @property
    def target(self) -> Target:
        """What is folded for."""
        assert self.design.target
        return self.design.target

    def refusal(self, refused: _TooLarge, fps: float) -> str:
        """Why `fps` is out of reach, and what is not."""
        slowest, least = self.choices.fastest
        why = slowest if least > refused.cycles else self.too_large(refused)
        clock = self.target.clock_mhz
        try:
            least = frame_cycles(self.fastest().design, self.choices.port_bits)
            reach = f"reachable: {clock * 1e6 / least:,.0f} fps"
        except FoldingError:
            reach = "nothing fits"
        return (
            f"{fps:,.0f} fps at {clock:g} MHz leave {refused.cycles:,} cycles a frame: {why}; "
            f"{reach} on {self.target.board}"
        )

    def too_large(self, refused: _TooLarge) -> str:
        """What the cheapest design of so many cycles needs too much of."""
        folded = refused.cheapest
        if folded is None:
            # LUTs can stand in for block RAM, so they are what is missing where all else is kept
            asked = self.choices, refused.cycles, self.limits, self.gap
            found = solve(*asked, beyond=("LUT",)) or solve(*asked, beyond=KINDS)
            if found is None:
                return "width converters take longer"
            folded = size_fifos(refold(self.design, found.kernels))
        needed = amounts(resources(folded))
        kind = int(np.argmax(needed / np.maximum(self.limits, 1)))
        parts = {node.name: amounts(node.kernel.resources)[kind] for node in folded.nodes}
        parts["the FIFOs"] = amounts(fifo_resources(folded))[kind]
        return (
            f"{needed[kind]:,.1f} {KINDS[kind]} are needed of the {self.limits[kind]:,.1f} that may be used, "
            f"most of it in {max(parts, key=lambda name: parts[name])}"
        ).replace(".0 ", " ")
