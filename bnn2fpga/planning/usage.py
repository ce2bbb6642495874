"""What a whole design uses of a board: its kernels and its FIFOs."""

from __future__ import annotations

from bnn2fpga.boards.board import Board
from bnn2fpga.circuits.memory import fifo
from bnn2fpga.circuits.resources import Resources
from bnn2fpga.design.graph import Design


def resources(design: Design) -> Resources:
    """The kernels' resources and those of the FIFOs, added up."""
    return sum((node.kernel.resources for node in design.nodes), fifo_resources(design))


def fifo_resources(design: Design) -> Resources:
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
