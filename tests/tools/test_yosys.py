"""yosys on small modules: what is counted, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bnn2fpga.errors import ToolError
from bnn2fpga.tools.yosys import cell_models, synthesize

needs_yosys = pytest.mark.skipif(shutil.which("yosys") is None, reason="yosys is not installed")

MEMORY = """\
module top (input wire clk, input wire [9:0] a, input wire [5:0] b, output reg [17:0] y, output wire z);
    (* ram_style = "block" *) reg [17:0] words [0:1023];
    initial $readmemh("words.mem", words);
    always_ff @(posedge clk) y <= words[a];
    assign z = ^b;
endmodule
"""
LATCH = """\
module top (input wire open, input wire d, output reg q);
    always_comb if (open) q = d;
endmodule
"""


def written(folder: Path, text: str) -> Path:
    (folder / "top.sv").write_text(text)
    (folder / "words.mem").write_text("".join(f"{word * 40503 % 262144:05x}\n" for word in range(1024)))
    return folder


@pytest.mark.slow
@needs_yosys
def test_counts(tmp_path: Path) -> None:
    found = synthesize(written(tmp_path, MEMORY), "top", tmp_path)
    assert (found.luts, found.bram36, found.lutram_luts, found.flipflops, found.dsps) == (1, 0.5, 0, 0, 0)
    assert "RAMB18E1" in (tmp_path / "netlist.v").read_text()
    # the block RAM is slower than the exclusive or of six bits
    assert found.path_ns and 1 < found.path_ns < 3
    without = synthesize(tmp_path, "top", tmp_path, block_ram=False)
    assert without.bram36 == 0 and without.luts > 18
    assert cell_models().is_file()


@needs_yosys
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LATCH, "[Ll]atch inferred for signal `.top[.].q'"),
        (MEMORY.replace("^b", "^b; assign z = b[0]"), "multiple conflicting drivers|ERROR"),
        (MEMORY.replace("endmodule", ""), "ERROR: .*syntax error"),
    ],
)
def test_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ToolError, match=f"yosys.* top: .*{message}"):
        synthesize(written(tmp_path, text), "top", tmp_path)


def test_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match=r"yosys is not on PATH; .*apt install yosys"):
        synthesize(tmp_path, "top", tmp_path)
