"""The open flow with stand-ins for its tools: what it makes of their output, and how it fails.

The stand-ins take the arguments and print the lines of the real tools, which are not run here.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from bnn2fpga.backends.rtl import rtl_project
from bnn2fpga.build import open_flow
from bnn2fpga.build.critical_path import CriticalPath
from bnn2fpga.build.step_runner import Step, run_flow
from bnn2fpga.design.graph import Target
from bnn2fpga.driver.model import Bitstream, load_model
from bnn2fpga.errors import BuildError, ConfigError, ToolError
from bnn2fpga.files.settings import read_settings
from bnn2fpga.tools.netlist import Netlist
from bnn2fpga.tools.nextpnr import Clock, Hop, Routing
from bnn2fpga.tools.openxc7 import INSTALL, OpenXC7
from tests.zynq.board import Shape

if TYPE_CHECKING:
    from tests.conftest import Run

PART = "xc7z020clg400-1"
LOG = """\
Info: Device utilisation:
Info: \t          SLICE_LUTX:  2211/106400     2%
Info: \t           SLICE_FFX:  1204/106400     1%
Info: \t            RAMB18E1:     0/  280     0%
Info: Critical path report for clock 'clk' (posedge -> posedge):
Info: curr total
Info:  0.5  0.5  Source early_FDRE_Q.Q
Info:  0.1  9.9  Setup early_FDRE_D.D
Info: Max frequency for clock 'clk': 40.00 MHz (FAIL at 100.00 MHz)
Info: Routing complete.
Info: Critical path report for clock 'clk' (posedge -> posedge):
Info:       type curr  total name
Info:   clk-to-q  0.46  0.46 Source core.a_FDRE_Q.Q
Info:    routing  0.41  0.87 Net core.a (13,1) -> (14,1)
Info:                          Sink core.b_LUT6_O.A1
Info:      logic  0.12  0.99 Source core.b_LUT6_O.O6
Info:      setup  0.05  9.21 Setup core.c_FDRE_Q.D
Warning: Max frequency for clock   'clk': 108.54 MHz (PASS at 100.00 MHz)
"""
PATH = (
    Hop("cell", 0.46, "core.a_FDRE_Q.Q"),
    Hop("wire", 0.41, "core.a"),
    Hop("cell", 0.12, "core.b_LUT6_O.O6"),
    Hop("cell", 0.05, "core.c_FDRE_Q.D"),
)
WORDS = "longest path from a to Conv_0.tile[1]: 0.63 ns logic, 0.41 ns routing, 0.41 of them on a, fan-out 1"
YOSYS = """[ "$1" != -V ] || exit 0
out=$(printf %s "$2" | sed 's/.*"\\([^"]*\\)"$/\\1/')
cp "$(dirname "$0")/netlist" "$out"
echo ' Yosys 0.23 (git sha1 7ce5011c24b)'
echo 'Printing statistics.'
echo '     LUT6                          12'
"""
NETLIST = {
    "modules": {
        "zynq_top": {
            "cells": {
                "core.a_FDRE_Q": {
                    "type": "FDRE",
                    "port_directions": {"Q": "output"},
                    "connections": {"Q": [2]},
                },
                "core.b_LUT6_O": {
                    "type": "LUT6",
                    "port_directions": {"I0": "input", "I1": "input", "O": "output"},
                    "connections": {"I0": [2], "I1": ["0"], "O": [3]},
                },
                "core.c_FDRE_Q": {
                    "type": "FDRE",
                    "port_directions": {"CE": "input", "D": "input", "Q": "output"},
                    "connections": {"CE": ["1"], "D": [3], "Q": [4]},
                },
            },
            "netnames": {
                "core.a": {"hide_name": 0, "bits": [2]},
                "core.Conv_0_.tile": {"hide_name": 0, "bits": ["0", 4]},
                "$x": {"hide_name": 1, "bits": [4]},
            },
        }
    }
}
NEXTPNR = """cat "$(dirname "$0")/log"
while [ $# -gt 1 ]; do
    case $1 in --fasm) echo routed > "$2";; --write) echo '{"modules": {}}' > "$2";; esac
    shift
done
"""
TO_FRAMES = 'case $5 in /*) exit 8;; esac; [ -f "$5" ] || exit 7; echo "frames of $5"\necho warning >&2\n'
# the name of the frames' file goes into the header: PYNQ reads ASCII, and folders may have any name
TO_BITS = """frames=$6; case $frames in */*) exit 8;; esac; [ "$(head -c 6 "$frames")" = frames ] || exit 9
cp "$frames" "$8"
"""
STEPS = ["01-rtl", "02-synthesis", "03-route", "04-bitstream"]


def xilinx_database(chip: str) -> bytes:
    """The beginning of nextpnr-xilinx's database: a reference to a reference to the name, in words."""
    return struct.pack("<ii", 1, 1) + chip.encode() + b"\0"


def himbaechel_database(chip: str) -> bytes:
    """The beginning of nextpnr-himbaechel's: magic, version, width, height, references in bytes."""
    words = struct.pack("<iIiiiii", 4, 0x00CA7CA7, 6, 187, 157, 99, 4)
    return words + chip.encode() + b"\0" + bytes(80)


@dataclass
class Bench:
    """A folder with stand-ins on PATH and the databases that the tools want."""

    folder: Path

    def __post_init__(self) -> None:
        bodies = {
            "yosys": YOSYS,
            "nextpnr-xilinx": NEXTPNR,
            "fasm2frames": TO_FRAMES,
            "xc7frames2bit": TO_BITS,
        }
        (self.folder / "bin").mkdir(parents=True)
        for name, body in bodies.items():
            self.tool(name, body)
        (self.folder / "bin/log").write_text(LOG)
        (self.folder / "bin/netlist").write_text(json.dumps(NETLIST))
        (self.folder / "zynq7" / PART).mkdir(parents=True)
        (self.folder / "zynq7" / PART / "part.yaml").write_text("")
        (self.folder / "chip.bin").write_bytes(xilinx_database(PART))

    def tool(self, name: str, body: str) -> None:
        """A stand-in, a shell script."""
        (self.folder / "bin" / name).write_text("#!/bin/sh\n" + body)
        (self.folder / "bin" / name).chmod(0o755)

    @property
    def tools(self) -> OpenXC7:
        return OpenXC7(chipdb=self.folder / "chip.bin", database=self.folder / "zynq7")

    def build(
        self, tools: OpenXC7 | None = None, part: str = PART, clocks: tuple[float, ...] = ()
    ) -> dict[str, Path]:
        design: Any = Shape(3, 2).design()
        design = SimpleNamespace(**vars(design) | {"target": Target("board", part, 100.0)})
        tools = tools or self.tools
        return run_flow(
            self.folder / "out",
            [
                Step("rtl", partial(open_flow.rtl, design, core=rtl_project(design, primitives=True))),
                *(
                    Step(name, partial(action, design, tools=tools), (before,), f"{tools!r}{clocks}")
                    for before, name, action in (
                        ("rtl", "synthesis", open_flow.synthesis),
                        ("synthesis", "route", open_flow.route),
                        ("route", "bitstream", partial(open_flow.bitstream, clocks_mhz=clocks)),
                    )
                ),
            ],
        )

    @property
    def made(self) -> list[str]:
        """The steps that are whole."""
        return sorted(path.name for path in (self.folder / "out").glob("[0-9.]*-*"))


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    bench = Bench(tmp_path / "bench")
    monkeypatch.setenv("PATH", f"{bench.folder / 'bin'}:{os.environ['PATH']}")
    return bench


def test_a_bitstream(bench: Bench) -> None:
    steps = bench.build()
    assert bench.made == STEPS
    assert steps["bitstream"].joinpath("tiny.bit").read_text().startswith("frames of ")
    assert {path.name for path in steps["bitstream"].iterdir()} == {
        "tiny.bit",
        "registers.json",
        "timing.json",
        "stamp.json",
    }
    timing = json.loads((steps["bitstream"] / "timing.json").read_text())
    assert (timing["clock_mhz"], timing["margin"]) == (100, 0.05)
    assert timing["untimed"].endswith("block RAM, of which no outputs go to logic before a register")
    registers = json.loads((steps["bitstream"] / "registers.json").read_text())
    assert registers["part"] == PART and registers["clock_mhz"] == 100
    assert json.loads((steps["synthesis"] / "synthesis.json").read_text()) == {
        "tool": "Yosys 0.23",
        "luts": 12, "lutram_luts": 0, "flipflops": 0, "bram36": 0, "carry4": 0, "dsps": 0
    }  # fmt: skip
    assert {path.name for path in steps["route"].iterdir()} == {
        "tiny.fasm",
        "route.json",
        "routed.json",
        "stamp.json",
    }
    routed = json.loads((steps["route"] / "route.json").read_text())
    assert Routing.of(routed) == Routing(
        "nextpnr-xilinx",
        1,
        (Clock("clk", 108.54, 100, PATH),),
        {"SLICE_LUTX": (2211, 106400), "SLICE_FFX": (1204, 106400)},
    )
    assert routed["critical_path"]["words"] == WORDS
    assert (bench.folder / "out/nextpnr.log").read_text() == LOG


HIMBAECHEL = """[ "$1" != --help ] || { echo "  -o [ --vopt ] arg"; exit; }
case "$*" in *--xdc*|*--chipdb*) exit 9;; esac
cat "$(dirname "$0")/log"
while [ $# -gt 1 ]; do
    case $1$2 in
        -ofasm=*) echo routed > "${2#fasm=}";;
        --write*) echo '{"modules": {}}' > "$2";;
        --device*) [ "$2" = xc7z020clg400-1 ] || exit 8;;
    esac
    shift
done
"""


def test_a_package_of_openxc7(bench: Bench) -> None:
    """Its nextpnr-xilinx is himbaechel, with a database of its own; prjxray's lies beside: no table."""
    bench.tool("nextpnr-xilinx", HIMBAECHEL)
    with pytest.raises(ToolError, match=r"database is not set in the table \[openxc7\] of build.toml"):
        bench.build(OpenXC7())
    database = bench.folder / "share/nextpnr/external/prjxray-db/zynq7"
    (database / PART).mkdir(parents=True)
    (database / PART / "part.yaml").write_text("")
    steps = bench.build(OpenXC7(), clocks=(50, 83.3, 83.6))  # 83.49 and 30 % more is 108.54
    timing = json.loads((steps["bitstream"] / "timing.json").read_text())
    assert timing["clock_mhz"] == 83.3 and timing["margin"] == 0.3 and "wires" in timing["untimed"]
    assert json.loads((steps["route"] / "route.json").read_text())["tool"] == "nextpnr-himbaechel"


def test_logs_of_nextpnr_xilinx() -> None:
    """Without the column of kinds, with budgets, spaces for a longer name, two clocks, and hidden nets."""
    log = (
        "Info: Critical path report for clock 'a b' (posedge -> posedge):\nInfo: curr total\n"
        "Info:  0.1  0.1  Source $auto$ff.cc:266:slice$1.Q\n"
        "Info:  1.8  1.9    Net hp_wvalid budget 1.589000 ns (54,74) -> (54,44)\n"
        "Info:                Sink $abc$2.A1\n"
        "Info:  0.0  1.9  Setup $auto$ff.cc:266:slice$3.CE\nInfo: 0.1 ns logic, 1.8 ns routing\n"
        "Info:  7.0  9.9  Source of.something else\n"
        "Info: Max frequency for clock     'a b': 50.00 MHz (PASS at 12.00 MHz)\n"
        "ERROR: Max frequency for clock 'longer': 9.50 MHz (FAIL at 12.00 MHz)\n"
    )
    path = (
        Hop("cell", 0.1, "$auto$ff.cc:266:slice$1.Q"),
        Hop("wire", 1.8, "hp_wvalid"),
        Hop("cell", 0, "$auto$ff.cc:266:slice$3.CE"),
    )
    found = Routing.read(log, "nextpnr-xilinx", 1)
    assert found.clocks == (Clock("a b", 50, 12, path), Clock("longer", 9.5, 12))
    assert found.slowest.name == "longer" and (found.clocks[0].logic_ns, found.clocks[0].routing_ns) == (
        0.1,
        1.8,
    )


def test_a_log_of_nextpnr_himbaechel() -> None:
    """Its last line of a path is no `Setup`."""
    log = (
        "Info: Critical path report for clock 'clk' (posedge -> posedge):\n"
        "Info:       type curr  total name\n"
        "Info:   clk-to-q  0.35  0.35 Source $auto$ff.cc:266:slice$1.Q\n"
        "Info:    routing  0.53  0.88 Net mover.packed_word[28] (53,48) -> (53,48)\n"
        "Info:                          Sink mover.write_fifo.memory.0.4/DPR0_0.DI1\n"
        "Info:                          Defined in:\n"
        "Info:                               ../zynq/top.sv:73.7-115.6\n"
        "Info:      setup  0.10  0.98 Source mover.write_fifo.memory.0.4/DPR0_0.DI1\n"
        "Info: 0.45 ns logic, 0.53 ns routing\n"
        "Info: Max frequency for clock 'clk': 121.02 MHz (PASS at 100.00 MHz)\n"
    )
    (clock,) = Routing.read(log, "nextpnr-himbaechel", 1).clocks
    assert [(hop.kind, hop.ns) for hop in clock.path] == [("cell", 0.35), ("wire", 0.53), ("cell", 0.1)]
    assert clock.path[1].name == "mover.packed_word[28]"
    assert clock.path[2].name == "mover.write_fifo.memory.0.4/DPR0_0.DI1"


def bits(**outputs: Any) -> Netlist:
    """A netlist of flip-flops: the name of each and of the net that it drives."""
    cells = {cell: {"port_directions": {"Q": "output", "D": "input"}, "connections": {"Q": [n], "D": [2]}}
             for n, cell in enumerate(outputs, 2)}  # fmt: skip
    nets = {net: {"hide_name": int("$" in net), "bits": [n]} for n, net in enumerate(outputs.values(), 2)}
    return Netlist(cells, nets)


def test_block_ram_that_feeds_logic() -> None:
    kinds = {"m": ("RAMB18E1", {"DO": [2, 3, 4]}, "output"), "l": ("LUT2", {"I0": [2], "I1": [3]}, "input")}
    kinds["f"] = ("FDRE", {"D": [4]}, "input")
    cells = {
        name: {"type": kind, "connections": bits, "port_directions": dict.fromkeys(bits, way)}
        for name, (kind, bits, way) in kinds.items()
    }
    assert Netlist(cells, {}).into_logic("RAMB") == 2


def test_a_path_whose_nets_have_no_names() -> None:
    """It is told by what lies around them."""
    netlist = bits(a="mover.pack.q", b="$abc$1", c="core.Conv_1_.tile", d="$abc$2")
    path = (
        Hop("cell", 0.1, "a.Q"),
        Hop("wire", 0.5, "mover.pack.q"),
        Hop("cell", 0.1, "b.O6"),
        Hop("wire", 3.0, "$abc$1"),
        Hop("cell", 0.1, "$added.O6"),
        Hop("wire", 0.2, "$abc$1$legal$7"),
        Hop("cell", 0.1, "c.CE"),
    )
    found = CriticalPath.of(Clock("clk", 50, 100, path), netlist)
    assert str(found) == (
        "longest path from mover.pack.q to Conv_1.tile (its clock enable): 0.4 ns logic, 3.7 ns routing, 3 "
        "of them on a wire between mover.pack.q and Conv_1.tile (its clock enable), fan-out 0"
    )
    added = CriticalPath.of(Clock("clk", 50, 100, (*path[:2], Hop("wire", 9, "$added"), path[-1])), netlist)
    assert added and added.fanout is None and "fan-out" not in str(added)
    memory = (
        Hop("cell", 0.1, "a.Q"),
        Hop("wire", 1, "mover.pack.q"),
        Hop("cell", 0.1, "core.K_.rows.0/DPR3_1.WE"),
    )
    found = CriticalPath.of(Clock("clk", 50, 100, memory), netlist)
    assert found and found.end == "K.rows.0 (WE)"
    assert CriticalPath.of(Clock("clk", 50, 100), netlist) is None


@pytest.mark.parametrize(
    ("name", "whole"),
    [("yosys", 1), ("nextpnr-xilinx", 2), ("fasm2frames", 3), ("xc7frames2bit", 3)],
)
def test_a_missing_tool(name: str, whole: int, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The step before it is kept, and the next run with the tool goes on from there."""
    body = (bench.folder / "bin" / name).read_text()
    (bench.folder / "bin" / name).unlink()
    path = os.environ["PATH"]
    monkeypatch.setattr("bnn2fpga.tools.openxc7.shutil.which", _which(bench))
    with pytest.raises(ToolError, match=f"{name} is not on PATH; get the openXC7 tools: ") as caught:
        bench.build()
    assert INSTALL in str(caught.value) and caught.value.exit_code == 3
    assert bench.made == STEPS[:whole]
    bench.tool(name, body.removeprefix("#!/bin/sh\n"))
    bench.build()
    assert bench.made == STEPS and os.environ["PATH"] == path


def _which(bench: Bench) -> Any:
    """shutil.which on the stand-ins only: a real yosys may be installed."""

    def which(name: str | Path) -> str | None:
        path = bench.folder / "bin" / name
        return str(path) if path.exists() else None

    return which


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"chipdb": None}, "chipdb is not set in the table [openxc7] of build.toml"),
        ({"chipdb": Path("absent.bin")}, "chipdb of [openxc7]: absent.bin does not exist"),
        ({"database": None}, "database is not set"),
        ({"part_file": Path("absent.yaml")}, "part_file of [openxc7]: absent.yaml does not exist"),
        ({"fasm2frames": Path("/absent/tool")}, "/absent/tool is no executable"),
    ],
)
def test_wrong_paths(change: dict[str, Any], text: str, bench: Bench) -> None:
    with pytest.raises(ToolError) as caught:
        bench.build(bench.tools.model_copy(update=change))
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("name", "body", "text"),
    [
        ("yosys", "echo 'ERROR: Module `tiny_x` is not part of the design.' >&2; exit 1", "Module `tiny_x`"),
        ("nextpnr-xilinx", "echo 'Info: x'; echo 'ERROR: no BELs remaining'; exit 255", "no BELs remaining"),
        ("fasm2frames", "echo half; echo 'fasm.FasmLookupError: x' >&2; exit 1", "fasm.FasmLookupError: x"),
        ("xc7frames2bit", 'echo half > "$8"; exit 7', "failed: exit code 7"),
        ("nextpnr-xilinx", "exit 0", "printed no clock's speed"),
        ("xc7frames2bit", "exit 0", "wrote no tiny.bit"),
    ],
)
def test_a_tool_that_fails(name: str, body: str, text: str, bench: Bench) -> None:
    bench.tool(name, body + "\n")
    with pytest.raises(ToolError) as caught:
        bench.build()
    assert name in str(caught.value) and text in str(caught.value)
    log = Path(str(caught.value).rsplit(" ", 1)[1])
    assert log.is_file() and "\n" not in str(caught.value)
    assert not (bench.folder / "out/04-bitstream").exists() and ".tmp" not in " ".join(bench.made)


def slow_log(mhz: str) -> str:
    """The log of a clock that reaches `mhz`."""
    return LOG.replace("108.54", mhz).replace("PASS", "FAIL")


def test_a_clock_that_is_not_reached_is_the_board_s(bench: Bench) -> None:
    """What was routed is kept; the board runs at its highest clock that timing and the margin allow."""
    (bench.folder / "bin/log").write_text(slow_log("87.20"))
    steps = bench.build(clocks=(50, 76.9, 83.3, 100, 125))
    registers = json.loads((steps["bitstream"] / "registers.json").read_text())
    assert registers["clock_mhz"] == 76.9  # 83.3 and 5 % more is 87.5
    steps = bench.build(bench.tools.model_copy(update={"margin": 0.0}), clocks=(50, 76.9, 83.3, 100, 125))
    assert json.loads((steps["bitstream"] / "registers.json").read_text())["clock_mhz"] == 83.3


def test_a_strict_clock_that_is_not_reached(bench: Bench) -> None:
    (bench.folder / "bin/log").write_text(slow_log("87.20"))
    with pytest.raises(BuildError) as caught:
        bench.build(bench.tools.model_copy(update={"strict_clock": True}), clocks=(50, 100))
    assert str(caught.value) == (
        "tiny: clock clk reaches 87.2 MHz after routing by nextpnr-xilinx (seed 1); 100 MHz with a margin of "
        f"5% need 105; {WORDS}; choose a slower clock, more seeds (--effort), or build without strict_clock: "
        "the board then runs at 50 MHz"
    )
    assert caught.value.exit_code == 1 and bench.made == STEPS[:3]
    (bench.folder / "bin/log").write_text(LOG)
    bench.build(bench.tools.model_copy(update={"seed": 2, "strict_clock": True}))
    assert bench.made == STEPS


def test_a_clock_below_all_of_the_board(bench: Bench) -> None:
    (bench.folder / "bin/log").write_text(slow_log("50.10"))
    with pytest.raises(BuildError, match=r"reaches 50.1 MHz .* no slower clock is legal on this board"):
        bench.build(clocks=(50, 100))


def test_another_chip_is_refused(bench: Bench) -> None:
    with pytest.raises(
        BuildError, match=r"tiny: is for xc7a35t; the open flow serves the Zynq-7000 \(xc7z…\)"
    ):
        bench.build(part="xc7a35t")


def test_killed_half_way(bench: Bench) -> None:
    """The last tool writes half of the bitstream, then the build is killed; the next one is whole."""
    bench.tool("xc7frames2bit", 'echo half > "$8"\nkill -9 $PPID\n')
    program = (
        "from pathlib import Path; from tests.zynq import test_open_flow as t; "
        f"bench = object.__new__(t.Bench); bench.folder = Path({str(bench.folder)!r}); bench.build()"
    )
    victim = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert victim.returncode == -signal.SIGKILL, victim.stderr
    assert (bench.folder / "out/.tmp-04-bitstream/tiny.bit").exists()
    assert not (bench.folder / "out/04-bitstream").exists()
    bench.tool("xc7frames2bit", TO_BITS)
    bench.build()
    assert bench.made == STEPS
    assert (bench.folder / "out/04-bitstream/tiny.bit").read_text().startswith("frames of ")


def test_from_the_command_line(bench: Bench, run: Run, tmp_path: Path) -> None:
    """A build.toml with the table [openxc7]; the flow can be chosen later, and verified steps are kept."""
    from tests.models import small_onnx

    model = small_onnx(tmp_path)
    assert run("build", model, "-o", "out")[0] == 0
    code, _, err = run("build", model, "-o", "out", "--flow", "openxc7")
    assert code == 3 and err.startswith("error: chipdb is not set in the table [openxc7] of build.toml")
    settings = f'model = "{model}"\nflow = "openxc7"\n[openxc7]\n'
    settings += f'chipdb = "{bench.tools.chipdb}"\ndatabase = "{bench.tools.database}"\nprove = false\n'
    Path("build.toml").write_text(settings)
    code, out, err = run("build", "build.toml", "-o", "out")
    assert (code, err) == (0, "") and out.count("unchanged") == 8
    names = [path.name for path in sorted(Path("out").glob("[0-9]*-*"))]
    later = ("verify", "rtl", "synthesis", "route", "bitstream", "report", "deploy")
    assert names[5:] == [f"{number:02}-{name}" for number, name in enumerate(later, 6)]
    assert (
        "clock clk reaches 108.54 MHz; used: SLICE_LUTX 2,211 of"
        in Path("out/11-report/report.md").read_text()
    )
    deployed = load_model(Path("out/12-deploy"))
    assert deployed.bitstream == Bitstream("n_small.bit", "registers", (0xF8008000, 0xF8008014))
    assert deployed.clock_mhz == 100
    assert "The board runs it at 100 MHz" in Path("out/11-report/report.md").read_text()
    for name in ("n_small.bit", "registers.json"):
        assert deployed.path(name).read_bytes() == Path("out/10-bitstream", name).read_bytes()
    kept = Path("out/10-bitstream/build.toml").read_text()
    assert 'place_and_route = "nextpnr-xilinx"' in kept and "seed = 1\n" in kept and "effort = 0" in kept
    assert run("build", "out/10-bitstream/build.toml", "-o", "again")[0] == 0
    assert len(list(Path("again/10-bitstream").glob("*.bit"))) == 1
    assert run("build", model, "-o", "sim", "--flow", "sim")[0] == 0
    assert Path("sim/07-rtl/registers.json").exists() and Path("sim/08-report").exists()
    cells = "rtl/counters_.sv"  # a simulator needs models of these
    assert Path("out/07-rtl", cells).exists() and not Path("sim/07-rtl", cells).exists()


def test_a_wrong_table(tmp_path: Path) -> None:
    from bnn2fpga.build.config import BuildConfig

    path = tmp_path / "build.toml"
    path.write_text('model = "m.onnx"\n[openxc7]\nchip = "x"\n')
    with pytest.raises(ConfigError, match=r"openxc7.chip: Extra inputs are not permitted"):
        read_settings(path, BuildConfig)
