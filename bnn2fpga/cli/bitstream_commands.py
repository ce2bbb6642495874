"""Commands on what a build has made: decode."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bnn2fpga.cli.terminal import command, out
from bnn2fpga.files.writing import write_whole

PANEL = "Build"


@command(PANEL, "bnn2fpga decode out/11-bitstream/tfc.bit --database prjxray-db/zynq7 -o netlist.v")
def decode(
    bitstream: Annotated[Path, typer.Argument(help="A .bit file for a Zynq-7000.")],
    database: Annotated[Path, typer.Option(help="prjxray's folder of the chip's family, …/zynq7.")],
    part: Annotated[
        str | None, typer.Option(help="Such as xc7z020clg400-1; what the file says if absent.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The Verilog to write.")] = Path("netlist.v"),
) -> None:
    """Reads BITSTREAM back into a netlist: frames, features of each tile, cells and the wires between them.

    The netlist is Verilog that needs no models of cells, around an instance of PS7. Every bit of the file
    must be explained by the database. Cells are named by their tile, site and output.
    """
    from bnn2fpga.backends.zynq import TOP
    from bnn2fpga.bitstream.decode import decode as read_back
    from bnn2fpga.bitstream.packets import part_of
    from bnn2fpga.bitstream.verilog import verilog

    netlist = read_back(bitstream, part or part_of(bitstream), database)
    write_whole(output, verilog(netlist, TOP))
    counted = ", ".join(f"{count:,} {kind}" for kind, count in netlist.counts().items())
    out.print(f"{output}: {counted}", soft_wrap=True)
