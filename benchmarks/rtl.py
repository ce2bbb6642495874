"""What the RTL costs after yosys, beside yosys' own adders, and how fast it is simulated, beside Icarus."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bnn2fpga.backends.rtl import rtl_project
from bnn2fpga.design.graph import Design, Edge, Node, Port
from bnn2fpga.design.host import IntegerHost
from bnn2fpga.design.integers import BIPOLAR
from bnn2fpga.design.step_functions import Steps
from bnn2fpga.kernels.xnor_mvu import XnorMvu
from bnn2fpga.simulation.rtl import RtlSimulator
from bnn2fpga.tools.yosys import synthesize

FRAMES = 2000


def unit(simd: int, pe: int, columns: int, rows: int) -> Design:
    """A whole matrix-vector unit: weights in block RAM, a threshold a row."""
    random = np.random.default_rng(0)
    thresholds = random.integers(columns // 2 - 30, columns // 2 + 30, (rows, 1))
    steps = Steps(np.zeros(rows, np.int64), thresholds, np.ones((rows, 1), np.int64), BIPOLAR)
    weights = (2 * random.integers(0, 2, (rows, columns)) - 1).astype(np.int8)
    kernel = XnorMvu((columns,), BIPOLAR, weights, BIPOLAR, steps, pe, simd)
    edges = (
        Edge(Port(None), Port("unit"), kernel.inputs[0]),
        Edge(Port("unit"), Port(None), kernel.outputs[0]),
    )
    return Design("accelerator", (Node("unit", kernel),), edges, IntegerHost((columns,)))


def area(simd: int, pe: int, columns: int, rows: int) -> None:
    """LUT sites a product and clock, with popcounts of cells and with yosys' adders."""
    design, sites = unit(simd, pe, columns, rows), []
    for primitives in (True, False):
        with TemporaryDirectory() as folder:
            rtl_project(design, primitives).write(Path(folder))
            found = synthesize(Path(folder, "rtl"), "unit", Path(folder))
            sites.append((found.luts + found.lutram_luts) / (simd * pe))
            assert found.dsps == 0
    ours, theirs = sites
    row(
        f"unit of SIMD {simd} x PE {pe}",
        f"{ours:.2f} LUT/bit",
        "yosys' adders",
        f"{theirs:.2f}",
        theirs / ours,
    )


def speed(simd: int, pe: int, columns: int, rows: int) -> None:
    """Clocks a second."""
    design = unit(simd, pe, columns, rows)
    frames = 2 * np.random.default_rng(1).integers(0, 2, (FRAMES, columns)) - 1
    with TemporaryDirectory() as name:
        folder = Path(name)
        rtl_project(design).write(folder)
        simulator = RtlSimulator.compile(design, folder, folder / "model")
        start = time.perf_counter()
        clocks = simulator.run(frames).cycles
        ours = clocks / (time.perf_counter() - start)
        theirs = _icarus(design, folder)
    row(
        f"simulating SIMD {simd} x PE {pe}",
        f"{ours:,.0f} clocks/s",
        "Icarus",
        f"{theirs:,.0f}",
        ours / theirs,
    )


def _icarus(design: Design, folder: Path, clocks: int = 20_000) -> float:
    bits = 8 * design.inputs[0].stream.beat_bytes
    (folder / "rtl/bench.v").write_text(f"""\
module bench;
    reg clk = 0, rst = 1;
    reg [{bits - 1}:0] data = 1;
    accelerator dut (.clk(clk), .rst(rst), .s_axis0_tdata(data), .s_axis0_tvalid(!rst), .s_axis0_tready(),
        .s_axis0_tlast(1'b0), .m_axis0_tdata(), .m_axis0_tvalid(), .m_axis0_tready(1'b1), .m_axis0_tlast(),
        .stalled(), .frame_done());
    always #1 clk = !clk;
    always @(posedge clk) data <= {{data, data[{bits - 1}] ^ data[3]}};
    initial begin #9 rst = 0; #{2 * clocks} $finish; end
endmodule
""")
    sources = sorted(path.name for path in (folder / "rtl").glob("*.*v"))
    command = ["iverilog", "-g2012", "-s", "bench", "-o", "run", *sources]
    subprocess.run(command, cwd=folder / "rtl", check=True)
    start = time.perf_counter()
    subprocess.run(["vvp", "run"], cwd=folder / "rtl", check=True, capture_output=True)
    return clocks / (time.perf_counter() - start)


def row(what: str, ours: str, peer: str, theirs: str, ratio: float) -> None:
    """One line of the table; the ratio says how many times better ours is."""
    print(f"| {what} | {ours} | {peer} | {theirs} | {ratio:.1f} x |", flush=True)


def main() -> None:
    """Prints the table."""
    print("| what | bnn2fpga | peer | peer's figure | ratio |\n|---|---:|---|---:|---:|")
    area(64, 16, 1024, 256)
    area(512, 8, 2048, 256)
    speed(64, 16, 1024, 256)


main()
