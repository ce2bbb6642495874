"""Every kernel in Icarus, too: its four states show what was never reset, which Verilator's two hide."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from bnn2fpga.backends.rtl import rtl_project
from bnn2fpga.design.graph import Design
from bnn2fpga.design.integers import Ints
from tests.contract import FRAMES
from tests.rtl.cases import every_kernel

CLOCKS = 40_000
CHANCE = "$urandom % 4 != 0"


def bench(design: Design) -> str:
    """Feeds inN.hex with pauses, writes every output beat to outN.txt."""
    declared, ports, inputs, outputs = [], [".clk(clk)", ".rst(rst)"], [], []
    for place, edge in enumerate(design.inputs):
        bits, total, name = 8 * edge.stream.beat_bytes, FRAMES * edge.stream.beats, f"s_axis{place}"
        declared += [
            f"reg [{bits - 1}:0] in{place} [0:{total - 1}]; integer at{place} = 0; reg offer{place} = 0;",
            f'initial $readmemh("in{place}.hex", in{place});',
            f"wire {name}_tready;",
        ]
        ports += [f".{name}_tdata(offer{place} ? in{place}[at{place}] : {bits}'bx)"]
        ports += [f".{name}_tvalid(offer{place})", f".{name}_tready({name}_tready)"]
        ports += [f".{name}_tlast(at{place} == {total - 1})"]
        accepted = (
            f"begin at{place} <= at{place} + 1; offer{place} <= at{place} < {total - 1} && {CHANCE}; end"
        )
        inputs += [
            f"if (offer{place} && {name}_tready) {accepted}",
            f"else if (!offer{place} && !rst) offer{place} <= at{place} < {total} && {CHANCE};",
        ]
    for place, edge in enumerate(design.outputs):
        bits, name = 8 * edge.stream.beat_bytes, f"m_axis{place}"
        declared += [
            f"wire [{bits - 1}:0] {name}_tdata; wire {name}_tvalid; reg ready{place} = 0;",
            f"integer file{place};",
            f'initial file{place} = $fopen("out{place}.txt", "w");',
        ]
        ports += [f".{name}_tdata({name}_tdata)", f".{name}_tvalid({name}_tvalid)"]
        ports += [f".{name}_tready(ready{place})", f".{name}_tlast()"]
        outputs += [
            f'if ({name}_tvalid && ready{place}) $fdisplay(file{place}, "%b", {name}_tdata);',
            f"ready{place} <= !rst && {CHANCE};",
        ]
    line = "\n    "
    return f"""\
module bench;
    reg clk = 0, rst = 1;
    {line.join(declared)}
    {design.name} dut (
        {", ".join(ports)}, .stalled(), .frame_done());
    always #1 clk = !clk;
    always @(posedge clk) begin
    {line.join(outputs)}
    end
    always @(posedge clk) begin
    {line.join(inputs)}
    end
    initial begin
        #9 rst = 0;
        #{2 * CLOCKS} $finish;
    end
endmodule
"""


def as_bits(beats: np.ndarray) -> list[str]:
    """Beats (N, beats, bytes) as lines of bits, highest first."""
    return [
        f"{int.from_bytes(beat.tobytes(), 'little'):0{8 * beat.size}b}"
        for beat in beats.reshape(-1, beats.shape[-1])
    ]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus is not installed")
def test_every_kernel_at_two_foldings(tmp_path: Path) -> None:
    design, inputs, expected = every_kernel(2)
    rtl_project(design).write(tmp_path)
    folder = tmp_path / "rtl"
    for place, (edge, array) in enumerate(zip(design.inputs, inputs, strict=True)):
        packed: Ints = edge.stream.pack(array)
        lines = [f"{int(bits, 2):x}" for bits in as_bits(packed)]
        (folder / f"in{place}.hex").write_text("\n".join(lines))
    (folder / "bench.v").write_text(bench(design))
    sources = sorted(path.name for path in folder.glob("*.sv"))
    command = ["iverilog", "-g2012", "-s", "bench", "-o", "run", "bench.v", *sources]
    built = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr[:2000]
    subprocess.run(["vvp", "run"], cwd=folder, capture_output=True, check=True)
    for place, (edge, (kernel, want)) in enumerate(zip(design.outputs, expected, strict=True)):
        found = (folder / f"out{place}.txt").read_text().split()
        used = edge.stream.bits
        assert [bits[-used:] for bits in found] == [
            bits[-used:] for bits in as_bits(edge.stream.pack(want))
        ], kernel
