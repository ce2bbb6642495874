"""Commands that list what there is: boards, kernels, doctor."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.padding import Padding
from rich.table import Column, Table

from bnn2fpga.cli.terminal import command, out

PANEL = "What there is"


@command(PANEL, "bnn2fpga build model.onnx --board arty-z7-20")
def boards() -> None:
    """Lists the boards that designs can be folded for."""
    from bnn2fpga.boards.board import board_names, load_board

    counted = [Column(title, justify="right") for title in ("LUT", "FF", "BRAM36", "DSP", "MHz")]
    table = Table("board", "part", *counted, box=None, header_style="bold", padding=(0, 1, 0, 0))
    for name in board_names():
        board = load_board(name)
        clocks = f"{board.clocks_mhz[0]:g}-{board.clocks_mhz[-1]:g}"
        counts = (f"{n:,}" for n in (board.luts, board.flipflops, board.bram36, board.dsps))
        table.add_row(name, board.part, *counts, clocks)
    out.print(table)
    out.print("\nEach is one TOML file. Your own: --board FILE.toml")


@command(PANEL, "bnn2fpga kernels")
def kernels() -> None:
    """Lists the hardware kernels: what each does, and what a folding sets."""
    from bnn2fpga.kernels import all_kernels

    for kind in all_kernels():
        folding = ", ".join(kind.folding_fields) or "as its neighbours"
        out.print(f"[bold]{kind.__name__}[/]  [dim]folding: {folding}[/]")
        out.print(Padding(kind.summary, (0, 0, 0, 4)))


@command(PANEL, "bnn2fpga doctor", "bnn2fpga doctor --clear-cache")
def doctor(
    clear_cache: Annotated[
        bool, typer.Option("--clear-cache", help="Remove the compiled simulators that are kept between runs.")
    ] = False,
) -> None:
    """Checks what bnn2fpga needs on this machine, and what it could use.

    Exit code 3 if something is missing that it needs.
    """
    from bnn2fpga.cli.doctor import examine, verdict
    from bnn2fpga.files.kept import LIMIT, clear_kept, kept_bytes, kept_folder

    if clear_cache:
        out.print(f"{clear_kept() / 1e6:.1f} MB removed from {kept_folder()}")
        return
    findings = list(examine())
    for finding in findings:
        mark = "[green]✓[/]" if finding.found else "[red]✗[/]" if finding.needed else "[yellow]–[/]"
        out.print(f"{mark} {finding.name:<14} {finding.found or 'not found'}  [dim]{finding.purpose}[/]")
    kept = f"{kept_bytes() / 1e6:.1f} of {LIMIT / 1e6:,.0f} MB"
    out.print(f"  {'cache':<14} {kept}  [dim]compiled simulators in {kept_folder()} (--clear-cache)[/]")
    out.print()
    out.print(verdict(findings))
    if any(finding.needed and not finding.found for finding in findings):
        raise typer.Exit(3)
