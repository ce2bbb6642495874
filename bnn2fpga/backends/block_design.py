"""The vendor's hardware around an accelerator core: processing system, DMA engine, as a script for Vivado.

The core's streams are those of the generated top level: TDATA of whole bytes, TKEEP, TSTRB, TLAST; the reset
of an HLS core with AXI ports is active low (UG1399).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd, lcm

from bnn2fpga.boards.board import Board
from bnn2fpga.design.graph import Design
from bnn2fpga.errors import BuildError
from bnn2fpga.files.templates import render

WIDEST_TDATA = 512
"""Bytes; what AXI4-Stream infrastructure IP takes (PG085)."""


@dataclass(frozen=True)
class StreamWidths:
    """Bytes of TDATA at the core and at the DMA engine; `dma_bytes` is 1, 2, 4 … the memory port's."""

    core_bytes: int
    dma_bytes: int

    @classmethod
    def of(cls, core_bytes: int, port_bytes: int) -> StreamWidths:
        """Equal widths where the DMA can have the core's; else the memory port's, so that it can be busy.

        A converter works in words of the least common multiple of both. Where that is wider than TDATA may
        be, the DMA takes the widest that divides the core's. (PG085 does not tell the limit; this is safe.)
        """
        fitting = gcd(core_bytes, port_bytes)
        if fitting == core_bytes or lcm(core_bytes, port_bytes) > WIDEST_TDATA:
            return cls(core_bytes, fitting)
        return cls(core_bytes, port_bytes)

    @property
    def converted(self) -> bool:
        """Whether a data width converter stands between both."""
        return self.core_bytes != self.dma_bytes


def block_design(design: Design, board: Board, clock_mhz: float) -> str:
    """The Tcl script that makes a bitstream of the core of `design` for `board`.

    A BuildError for a part without a processing system, and for more than one input and one output.
    """
    if board.family is None:
        raise BuildError(
            f"board {board.name}: {board.part} has no processing system that is known here; legal are parts "
            "of the Zynq-7000 (xc7z…) and Zynq UltraScale+ (xczu…, xck24…, xck26…); use --flow vitis or sim"
        )
    if len(design.inputs) != 1 or len(design.outputs) != 1:
        raise BuildError(
            f"{design.name}: has {len(design.inputs)} inputs and {len(design.outputs)} outputs; the DMA "
            "engine serves one of each; join them in the model"
        )
    port_bytes = board.hp_port_bits // 8
    source, sink = (
        StreamWidths.of(edge.stream.beat_bytes, port_bytes) for edge in (design.inputs[0], design.outputs[0])
    )
    return render(
        "vivado.tcl.j2", top=design.name, board=board, clock_mhz=clock_mhz, source=source, sink=sink
    )
