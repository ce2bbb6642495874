"""Chooses every kernel's folding for a frame rate on a board."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bnn2fpga.area import Resources, fifo
from bnn2fpga.boards import Board
from bnn2fpga.errors import FoldingError
from bnn2fpga.ir import Design, Target
from bnn2fpga.kernel import Kernel
from bnn2fpga.passes.fifos import size_fifos
from bnn2fpga.passes.widths import converters, refold, without_converters
from bnn2fpga.timing import interval

USABLE = 0.8
"""Share of the LUTs and of the block RAM that is planned with; place and route needs the rest."""


def resources(design: Design) -> Resources:
    """The kernels' resources and those of the FIFOs, added up."""
    return sum((node.kernel.resources for node in design.nodes), _fifos(design))


def _fifos(design: Design) -> Resources:
    """Those of the FIFOs."""
    return sum((fifo(edge.depth, edge.stream.bits) for edge in design.edges), Resources())


def shares(used: Resources, board: Board) -> dict[str, float]:
    """Used share of each kind of resource of `board`."""
    return {
        "LUT": used.all_luts / board.luts,
        "LUTRAM": used.lutrams / board.lutram_luts if board.lutram_luts else float(used.lutrams > 0),
        "FF": used.flipflops / board.flipflops,
        "BRAM": used.bram36 / board.bram36,
        "DSP": used.dsps / board.dsps if board.dsps else float(used.dsps),
    }


@dataclass(frozen=True)
class _Choice:
    """A kernel at one folding; its cost is LUTs, and block RAM at the chip's ratio of 380 LUTs a block."""

    kernel: Kernel
    cycles: int
    cost: float

    @classmethod
    def of(cls, kernel: Kernel) -> _Choice:
        used = kernel.resources
        return cls(kernel, kernel.cycles.interval, used.all_luts + 380 * used.bram36)


def fold(design: Design, board: Board, clock_mhz: float, fps: float | None = None) -> Design:
    """The cheapest folding that makes `fps` frames a second, or without `fps` the fastest that fits.

    Kernels are chosen one after the other along the streams, each with the width converters in front of
    it. Raises FoldingError naming the limiting kernel and what is reachable.
    """
    design = replace(design, target=Target(board.name, board.part, clock_mhz))
    choices = {
        node.name: sorted(map(_Choice.of, node.kernel.foldings()), key=lambda choice: choice.cost)
        for node in without_converters(design)[0]
    }
    if fps is not None and not 0 < fps < float("inf"):
        raise FoldingError(f"fps={fps:g} is not a frame rate; legal: above 0")
    paces = sorted({choice.cycles for kernels in choices.values() for choice in kernels})
    target = paces[-1] if fps is None else int(clock_mhz * 1e6 / fps)
    if fps is not None:
        slower_first = [target, *(pace for pace in reversed(paces) if pace < target)]
        meeting = _first_fitting(design, choices, board, slower_first)
        if meeting is not None:
            return meeting
    best = _first_fitting(design, choices, board, paces)
    if best is not None and fps is None:
        return best
    folded = _meeting(design, choices, target)
    reach = "nothing fits" if best is None else f"reachable: {clock_mhz * 1e6 / interval(best):,.0f} fps"
    asked = f"{fps or 0:,.0f} fps at {clock_mhz:g} MHz leave {target:,} cycles a frame: " if fps else ""
    why = _too_slow(choices) if folded is None else _too_large(size_fifos(folded), board)
    raise FoldingError(f"{asked}{why}; {reach} on {board.name}")


def _meeting(design: Design, choices: Mapping[str, Sequence[_Choice]], target: int) -> Design | None:
    """The cheapest kernels of at most `target` cycles, converters included; None if one has none.

    The FIFOs are not sized yet.
    """
    chosen: dict[str, Kernel] = {}
    nodes, edges = without_converters(design)
    for node in nodes:
        fed = [
            (edge, chosen[edge.source.node])
            for edge in edges
            if edge.target.node == node.name and edge.source.node
        ]
        best, best_cost = None, float("inf")
        for choice in choices[node.name]:
            if choice.cost >= best_cost:
                break
            if choice.cycles > target:
                continue
            between = [
                _Choice.of(converter)
                for edge, source in fed
                for converter in converters(
                    source.outputs[edge.source.index], choice.kernel.inputs[edge.target.index]
                )
            ]
            cost = choice.cost + sum(converter.cost for converter in between)
            if cost < best_cost and all(converter.cycles <= target for converter in between):
                best, best_cost = choice.kernel, cost
        if best is None:
            return None
        chosen[node.name] = best
    return refold(design, chosen)


def _first_fitting(
    design: Design, choices: Mapping[str, Sequence[_Choice]], board: Board, targets: Sequence[int]
) -> Design | None:
    """The first of `targets` that can be met and fits.

    All are tried: a faster folding may fit where a slower one does not, as it trades block RAM for LUTs.
    FIFOs are sized only where the kernels fit, since that takes longer than to choose the kernels.
    """
    folded = (_meeting(design, choices, target) for target in targets)
    sized = (size_fifos(one) for one in folded if one is not None and _fits(one, board))
    return next((one for one in sized if _fits(one, board)), None)


def _fits(design: Design, board: Board) -> bool:
    return max(shares(resources(design), board).values()) <= USABLE


def _too_slow(choices: Mapping[str, Sequence[_Choice]]) -> str:
    least = {name: min(choice.cycles for choice in kernels) for name, kernels in choices.items()}
    name = max(least, key=lambda kernel: least[kernel])
    return f"{name} takes {least[name]:,} cycles at its widest folding"


def _too_large(design: Design, board: Board) -> str:
    kind, share = max(shares(resources(design), board).items(), key=lambda item: item[1])

    parts = {node.name: node.kernel.resources for node in design.nodes} | {"the FIFOs": _fifos(design)}
    return (
        f"it needs {share:.0%} of the {kind} of {board.name} ({USABLE:.0%} are planned with), "
        f"most of it in {max(parts, key=lambda name: shares(parts[name], board)[kind])}"
    )
