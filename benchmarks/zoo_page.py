"""The zoo's page: a table of what came out of every network."""

from __future__ import annotations

from textwrap import fill

from benchmarks.zoo_trial import CLOCK_MHZ, CPP_FRAMES, FPS, FRAMES, RTL_FRAMES, Row
from bnn2fpga.boards.board import load_board

WIDTH = 110
COLUMNS = {"integers_s": ".1f", "luts": ",", "bram36": ",g", "fps": ",", "seconds": ","}
"""Numbers of a row, and how they are written."""


def came_out(row: Row) -> str:
    """In words."""
    if row["outcome"] in ("refused", "failed", "stopped"):
        return f"{row['outcome']}: {row['reason']}"
    levels = ", ".join(f"{name} {frames}" for name, frames in row["levels"].items())
    text = f"{row['outcome']} ({levels})"
    if row["options"]:
        text += f" with `{' '.join(row['options'])}`"
    return "; ".join([text, *(row[key] for key in ("reason", "unplanned") if key in row)])


def page(rows: list[Row]) -> str:
    """docs/zoo.md."""
    board = load_board("pynq-z2")
    exact, refused = (sum(row["outcome"] == what for row in rows) for what in ("exact", "refused"))
    sources = """\
`uv run python -m benchmarks.zoo` writes this page. Examples are networks of FINN and Brevitas at their
published shapes, exported with random weights (`benchmarks/examples.py`). Networks trained by others and
users' cases lie in `../shared`, where that is."""
    meaning = f"""\
{len(rows)} networks: {exact} exact, {refused} refused, {len(rows) - exact - refused} otherwise. Exact is: on
{FRAMES} random frames the streamlined graph and numpy give what the QONNX graph gives, on {CPP_FRAMES} the
C++ and on {RTL_FRAMES} the SystemVerilog what numpy does, integers to the bit; both are of a plan of {FPS:,}
frames/s, or of the fastest where that is slower. Behind each level stand the frames that are equal; a trial
with `--quick` ends at numpy. Where a refusal names an option, that was taken. With `--exact-sums` numpy is
compared with the graph whose sums are put on their integer grids; behind `exact sums` stand the frames in
which float32 decides no threshold otherwise."""
    numbers = f"""\
LUT, block RAM and frames/s are those of the fastest plan, before synthesis, that fits four fifths of a
PYNQ-Z2 ({board.luts:,} LUT, {board.bram36:g} block RAM) at {CLOCK_MHZ:g} MHz; no DSP is used. Seconds are
those of the machine that wrote this, whose two cores had much other work; the last column is the whole
trial."""
    lines = [
        "# Networks that were tried",
        *(line for text in (sources, meaning, numbers) for line in ("", fill(text, WIDTH))),
        "",
        "| network | source | what came out | to integers, s | LUT | block RAM | frames/s | all, s |",
        "|---|---|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        written = [f"{row[name]:{form}}" if name in row else "" for name, form in COLUMNS.items()]
        text = came_out(row).replace("|", r"\|")
        lines.append(f"| {row['network']} | {row['source']} | {text} | {' | '.join(written)} |")
    return "\n".join(lines) + "\n"
