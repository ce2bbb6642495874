"""Chooses every kernel's folding for a frame rate on a board."""

from __future__ import annotations

from collections.abc import Sequence

from bnn2fpga.boards import Board
from bnn2fpga.errors import FoldingError
from bnn2fpga.ir import Design, Node
from bnn2fpga.kernel import Kernel, Resources
from bnn2fpga.passes.widths import refold, without_converters

USABLE = 0.8
"""Share of the LUTs and of the block RAM that is planned with; place and route needs the rest."""


def interval(design: Design) -> int:
    """Cycles between two frames: those of the slowest kernel."""
    return max(node.kernel.cycles.interval for node in design.nodes)


def resources(design: Design) -> Resources:
    """The kernels' resources added up; FIFOs of a few beats are not counted."""
    return sum((node.kernel.resources for node in design.nodes), Resources())


def shares(used: Resources, board: Board) -> dict[str, float]:
    """Used share of each kind of resource of `board`."""
    return {
        "LUT": used.luts / board.luts,
        "FF": used.flipflops / board.flipflops,
        "BRAM": used.bram36 / board.bram36,
        "DSP": used.dsps / board.dsps,
    }


def fold(design: Design, board: Board, clock_mhz: float, fps: float | None = None) -> Design:
    """The cheapest folding that makes `fps` frames a second, or without `fps` the fastest that fits.

    Raises FoldingError naming the limiting kernel and what is reachable.
    """
    choices = {node.name: list(node.kernel.foldings()) for node in without_converters(design).nodes}
    if fps is None:
        folded = _fastest(design, choices, board)
        if folded is None:
            raise FoldingError(
                _too_large(refold(design, {n: _cheapest(c) for n, c in choices.items()}), board)
            )
        return folded
    if fps <= 0:
        raise FoldingError(f"fps={fps:g} is not a frame rate; legal: above 0")
    target = int(clock_mhz * 1e6 / fps)
    folded = _meeting(design, choices, target)
    if folded is not None and _fits(folded, board):
        return folded
    best = _fastest(design, choices, board)
    slowest = _limiting(design, choices)
    reach = "nothing fits" if best is None else f"reachable: {clock_mhz * 1e6 / interval(best):,.0f} fps"
    if folded is None:
        least = min(kernel.cycles.interval for kernel in choices[slowest.name])
        why = f"{slowest.name} takes {least:,} cycles at its widest folding"
    else:
        why = _too_large(folded, board)
    raise FoldingError(
        f"{fps:,.0f} fps at {clock_mhz:g} MHz leave {target:,} cycles a frame: {why}; {reach} on {board.name}"
    )


def _cheapest(kernels: Sequence[Kernel]) -> Kernel:
    return min(kernels, key=_cost)


def _cost(kernel: Kernel) -> tuple[float, int]:
    """LUTs, with block RAM at the chip's ratio of about 380 LUTs a block; then cycles."""
    used = kernel.resources
    return used.luts + 380 * used.bram36, kernel.cycles.interval


def _meeting(design: Design, choices: dict[str, list[Kernel]], target: int) -> Design | None:
    """The cheapest kernels of at most `target` cycles; None if one has none."""
    chosen = {}
    for name, kernels in choices.items():
        fast = [kernel for kernel in kernels if kernel.cycles.interval <= target]
        if not fast:
            return None
        chosen[name] = _cheapest(fast)
    folded = refold(design, chosen)
    return folded if interval(folded) <= target else None


def _fastest(design: Design, choices: dict[str, list[Kernel]], board: Board) -> Design | None:
    """Bisects the intervals that foldings can have for the smallest that fits."""
    targets = sorted({kernel.cycles.interval for kernels in choices.values() for kernel in kernels})
    low, high, best = 0, len(targets) - 1, None
    while low <= high:
        middle = (low + high) // 2
        folded = _meeting(design, choices, targets[middle])
        if folded is not None and _fits(folded, board):
            best, high = folded, middle - 1
        else:
            low = middle + 1 if folded is None or not _fits(folded, board) else low
    return best


def _fits(design: Design, board: Board) -> bool:
    return max(shares(resources(design), board).values()) <= USABLE


def _limiting(design: Design, choices: dict[str, list[Kernel]]) -> Node:
    """The kernel whose widest folding is the slowest."""
    nodes = without_converters(design).nodes
    return max(nodes, key=lambda node: min(kernel.cycles.interval for kernel in choices[node.name]))


def _too_large(design: Design, board: Board) -> str:
    kind, share = max(shares(resources(design), board).items(), key=lambda item: item[1])
    largest = max(
        design.nodes,
        key=lambda node: node.kernel.resources.luts if kind == "LUT" else node.kernel.resources.bram36,
    )
    return (
        f"it needs {share:.0%} of the {kind} of {board.name} ({USABLE:.0%} are planned with), "
        f"most of it in {largest.name}"
    )
