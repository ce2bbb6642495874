"""The open flow with stand-ins for its tools: what it makes of their output, and how it fails.

The stand-ins take the arguments and print the lines of the real tools, which are not run here.
"""

from __future__ import annotations

import json
import os
import signal
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
from bnn2fpga.build.step_runner import Step, run_flow
from bnn2fpga.design.graph import Target
from bnn2fpga.driver.model import Bitstream, load_model
from bnn2fpga.errors import BuildError, ConfigError, ToolError
from bnn2fpga.files.settings import read_settings
from bnn2fpga.tools.nextpnr_xilinx import Clock, Routing
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
YOSYS = """out=$(printf %s "$2" | sed 's/.*write_json "\\([^"]*\\)".*/\\1/')
echo '{}' > "$out"
echo ' Yosys 0.23 (git sha1 7ce5011c24b)'
echo 'Printing statistics.'
echo '     LUT6                          12'
"""
NEXTPNR = """cat "$(dirname "$0")/log"
while [ $# -gt 1 ]; do case $1 in --fasm) echo routed > "$2";; esac; shift; done
"""
TO_FRAMES = 'case $5 in /*) exit 8;; esac; [ -f "$5" ] || exit 7; echo "frames of $5"\necho warning >&2\n'
# the name of the frames' file goes into the header: PYNQ reads ASCII, and folders may have any name
TO_BITS = """frames=$6; case $frames in */*) exit 8;; esac; [ "$(head -c 6 "$frames")" = frames ] || exit 9
cp "$frames" "$8"
"""
STEPS = ["01-rtl", "02-synthesis", "03-route", "04-bitstream"]


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
        (self.folder / "zynq7" / PART).mkdir(parents=True)
        (self.folder / "zynq7" / PART / "part.yaml").write_text("")
        (self.folder / "chip.bin").write_text("")

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
        return sorted(path.name for path in (self.folder / "out").iterdir() if path.is_dir())


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
        "stamp.json",
    }
    registers = json.loads((steps["bitstream"] / "registers.json").read_text())
    assert registers["part"] == PART and registers["clock_mhz"] == 100
    assert json.loads((steps["synthesis"] / "synthesis.json").read_text()) == {
        "tool": "Yosys 0.23",
        "luts": 12, "lutram_luts": 0, "flipflops": 0, "bram36": 0, "carry4": 0, "dsps": 0
    }  # fmt: skip
    assert {path.name for path in steps["route"].iterdir()} == {"tiny.fasm", "route.json", "stamp.json"}
    assert json.loads((steps["route"] / "route.json").read_text()) == {
        "clocks": [
            {
                "name": "clk",
                "fmax_mhz": 108.54,
                "asked_mhz": 100,
                "start": "core.a_FDRE_Q.Q",
                "end": "core.c_FDRE_Q.D",
            }
        ],
        "used": {"SLICE_LUTX": [2211, 106400], "SLICE_FFX": [1204, 106400]},
    }
    assert (bench.folder / "out/nextpnr-xilinx.log").read_text() == LOG


def test_logs_of_the_older_tool() -> None:
    """Without the column of kinds, with spaces for a longer name, and two clocks."""
    log = (
        "Info: Critical path report for clock 'a b' (posedge -> posedge):\nInfo:  0.3  0.3  Source x.Q\n"
        "Info:  0.0  1.5  Setup y.DI1\n"
        "Info: Max frequency for clock     'a b': 50.00 MHz (PASS at 12.00 MHz)\n"
        "ERROR: Max frequency for clock 'longer': 9.50 MHz (FAIL at 12.00 MHz)\n"
    )
    found = Routing.read(log).clocks
    assert found == (Clock("a b", 50, 12, "x.Q", "y.DI1"), Clock("longer", 9.5, 12))


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
        "tiny: clock clk reaches 87.2 MHz after routing; 100 MHz with a margin of 5% need 105; its longest "
        "path goes from core.a_FDRE_Q.Q to core.c_FDRE_Q.D; choose a slower clock, another seed in "
        "[openxc7], or build without strict_clock: the board then runs at 50 MHz"
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
    names = [path.name for path in sorted(Path("out").iterdir()) if path.is_dir()]
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
