"""The map that makes a netlist's cells ones that place and route takes: they compute what they computed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bnn2fpga.backends.zynq import LUTS
from bnn2fpga.build.open_flow import CLEAN_LUTS
from bnn2fpga.files.templates import render
from tests.some_slow import some_slow

CELLS = 60
INPUTS = 8
PROOF = (
    "read_verilog +/xilinx/cells_sim.v; read_verilog before.v after.v; hierarchy; proc; "
    "flatten before after; miter -equiv -flatten before after both; hierarchy -top both; opt; "
    "sat -verify -prove trigger 0 both"
)
pytestmark = pytest.mark.skipif(shutil.which("yosys") is None, reason="yosys is not installed")


def random_cells(seed: int) -> str:
    """A module of LUTs with inputs that are constant or the same now and then."""
    random = np.random.default_rng(seed)
    signals = [*(f"a[{place}]" for place in range(INPUTS)), "1'b0", "1'b1"]
    lines = []
    for cell in range(CELLS):
        two = random.random() < 0.3
        width = 6 if two else int(random.integers(2, 7))
        taken = random.choice(signals[:: 1 if random.random() < 0.7 else 3], width).tolist()
        if two:
            taken[5] = "1'b1"
        pins = [f".I{place}({signal})" for place, signal in enumerate(taken)]
        pins += [f".O6(y[{2 * cell}]), .O5(y[{2 * cell + 1}])"] if two else [f".O(y[{2 * cell}])"]
        entries = int.from_bytes(random.bytes(8), "little") % (1 << (1 << width))
        kind = "LUT6_2" if two else f"LUT{width}"
        lines.append(f"{kind} #(.INIT({1 << width}'h{entries:x})) c{cell} ({', '.join(pins)});")
        if not two:
            lines.append(f"assign y[{2 * cell + 1}] = 1'b0;")
    return _module(lines, 2 * CELLS)


def _module(lines: list[str], outputs: int) -> str:
    ports = f"input [{INPUTS - 1}:0] a, output [{outputs - 1}:0] y"
    return f"module before({ports});\n" + "\n".join(lines) + "\nendmodule\n"


def mapped(before: str, folder: Path) -> list[dict[str, Any]]:
    """The cells that the map makes of a module; both are left in `folder` as Verilog."""
    (folder / "before.v").write_text(before)
    (folder / LUTS).write_text(render(f"zynq/{LUTS}.j2"))
    script = (
        "read_verilog -lib +/xilinx/cells_sim.v; read_verilog before.v; "
        f"{CLEAN_LUTS.format(luts=LUTS)}; rename before after; write_verilog -noattr after.v; "
        "delete =A:whitebox; delete =A:blackbox; write_json after.json"
    )
    assert yosys(script, folder)
    return list(json.loads((folder / "after.json").read_text())["modules"]["after"]["cells"].values())


@some_slow("seed", range(3))
def test_luts_have_different_signals_at_their_inputs_and_compute_the_same(seed: int, tmp_path: Path) -> None:
    cells = mapped(random_cells(seed), tmp_path)
    assert cells
    for cell in cells:
        inputs = list(chain(*(bits for pin, bits in cell["connections"].items() if pin != "O")))
        assert all(isinstance(bit, int) for bit in inputs) and len(set(inputs)) == len(inputs), cell
        assert cell["type"] != "LUT6_2"
    assert yosys(PROOF, tmp_path)
    text = (tmp_path / "after.v").read_text()
    (tmp_path / "after.v").write_text(re.sub(r"(\d+'h[0-9a-f]*)([0-9a-f])(?=\))", flipped, text, count=1))
    assert not yosys(PROOF, tmp_path)


CHAINS = """\
wire c;
wire [11:0] open;
CARRY4 low (.CO({c, y[4], open[1:0]}), .O(y[3:0]), .CI(1'b0), .CYINIT(a[0]), .DI(a[4:1]), .S(a[7:4]));
CARRY4 high (.CO({open[4:2], y[7]}), .O({open[6:5], y[6:5]}), .CI(c), .CYINIT(1'b0), .DI(a[3:0]), .S(a[5:2]));
CARRY4 one (.CO({open[9:7], y[8]}), .CI(1'b0), .CYINIT(1'b1), .DI({3'b0, a[6]}), .S({3'b0, a[7]}));
"""
"""Eight lanes, of which two are used in the second cell; and one alone."""


def test_carry_chains_have_no_lane_that_is_not_used(tmp_path: Path) -> None:
    cells = mapped(_module([CHAINS], 9), tmp_path)
    kinds = Counter(cell["type"] for cell in cells)
    assert kinds == {"MUXCY": 4 + 1 + 1, "XORCY": 4 + 2}
    assert yosys(PROOF, tmp_path)


def flipped(table: re.Match[str]) -> str:
    """A LUT's table with its lowest entry changed, so that the proof is known to see a difference."""
    return f"{table[1]}{int(table[2], 16) ^ 1:x}"


def yosys(script: str, folder: Path) -> bool:
    """Whether yosys ran `script` to its end; False only where a proof failed."""
    command = ["yosys", "-q", "-p", script]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert not done.returncode or "proof did fail" in done.stderr, done.stderr
    return not done.returncode
