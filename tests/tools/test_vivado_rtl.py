"""`--flow vivado --source rtl` up to Vivado's door: the script runs in Tcl, a stand-in is on PATH.

The stand-in (fake_amd.py) checks files, order, the clock's pin and the cell PS7; it synthesizes nothing.
That the RTL and what is around it are right is shown elsewhere: Verilator, yosys, the model of the PS7.
"""

from __future__ import annotations

import contextlib
import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bnn2fpga.backends.rtl import rtl_project
from bnn2fpga.backends.zynq_vivado import vivado_script
from bnn2fpga.build import open_flow, vivado_rtl_flow
from bnn2fpga.build.config import BuildConfig
from bnn2fpga.build.step_runner import Step, run_flow
from bnn2fpga.design.graph import Design
from bnn2fpga.driver.model import Bitstream, load_model
from bnn2fpga.errors import BuildError, ToolError
from bnn2fpga.files.settings import read_settings
from bnn2fpga.tools.amd import Vivado as Tools
from bnn2fpga.tools.vivado import Implementation, Timing, TimingPath
from tests.tools import fake_amd
from tests.tools.test_vivado import PYNQ, Bench, copying, names

if TYPE_CHECKING:
    from tests.conftest import Run

TclError: type[Exception] = pytest.importorskip("tkinter", reason="no Tcl interpreter here").TclError

STEPS = ["01-rtl", "02-implementation", "03-bitstream"]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    bench = Bench(tmp_path / "bench")
    bench.install("vivado")
    monkeypatch.setenv("PATH", f"{bench.folder / 'bin'}:/usr/bin:/bin")
    return bench


def written(design: Design, folder: Path) -> Path:
    """The RTL of the chip's own cells and what is around it, as the step `rtl` writes it."""
    folder.mkdir(parents=True)
    open_flow.rtl(design, folder, rtl_project(design, primitives=True))
    return folder


# the script


def built(folder: Path, script: str) -> fake_amd.Vivado:
    """The stand-in, after the script has run to the end."""
    return ran(written(copying(24), folder), script)


def ran(folder: Path, script: str) -> fake_amd.Vivado:
    vivado = fake_amd.Vivado(folder)
    with contextlib.chdir(folder):
        vivado.run(script)
    return vivado


def test_what_the_script_asks_for(tmp_path: Path) -> None:
    vivado = built(tmp_path / "a", vivado_script(PYNQ.part, 100))
    facts = vivado.facts
    assert facts["synth"] == {"-top": "zynq_top", "-part": "xc7z020clg400-1", "-max_dsp": "0"}
    assert facts["clocks"] == {"fclk0": ["10.000", "ps7/FCLKCLK[0]"]} and facts["jitter"] == [
        "fclk0",
        "0.300",
    ]
    there = [path.relative_to(tmp_path / "a").as_posix() for path in (tmp_path / "a").glob("*/*.sv")]
    assert sorted(facts["sources"]) == sorted(there)
    assert {"rtl/copy.sv", "rtl/fifo_.sv", "rtl/top_.sv", "zynq/top.sv", "zynq/mover.sv"} <= set(there)
    assert "vlnv" not in facts and vivado.stage == "write_bitstream"
    assert {"zynq_top.bit", "timing.rpt", "utilization.rpt"} <= names(tmp_path / "a")


@pytest.mark.parametrize(("mhz", "period"), [(142.857143, "7.000"), (76.923077, "13.000"), (50, "20.000")])
def test_the_period_of_a_clock(mhz: float, period: str, tmp_path: Path) -> None:
    assert built(tmp_path / "a", vivado_script(PYNQ.part, mhz)).facts["clocks"]["fclk0"][0] == period


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("{ps7/FCLKCLK[0]}", "{ps7/FCLK[0]}", "no pins matched 'ps7/FCLK"),
        ("{ps7/FCLKCLK[0]}", "{ps/FCLKCLK[0]}", "after synthesis there is not one clock fclk0 but 0"),
        ("read_xdc clock.xdc", "", "after synthesis there is not one clock fclk0 but 0"),
        ("[lsort [glob ../zynq/*.sv]]", "{}", "module 'zynq_top' not found"),
        ("place_design\n", "", "phys_opt_design after opt_design, not place_design"),
        ("opt_design\nplace", "opt_dsign\nplace", 'invalid command name "opt_dsign"'),
    ],
)
def test_the_stand_in_finds_faults(before: str, after: str, complaint: str, tmp_path: Path) -> None:
    """Otherwise the tests here would prove nothing."""
    script = vivado_script(PYNQ.part, 100)
    assert before in script
    with pytest.raises(TclError, match=complaint):
        built(tmp_path / "a", script.replace(before, after, 1))


def test_memory_files_are_read(tmp_path: Path) -> None:
    """A memory's file is named without a folder: it must be read, and from where it lies."""
    folder = written(copying(24), tmp_path / "a")
    (folder / "rtl/table_.sv").write_text(
        'module table_;\ninitial $readmemh("table.mem", words);\nendmodule\n'
    )
    (folder / "rtl/table.mem").write_text("1\n2\n")
    script = vivado_script(PYNQ.part, 100)
    assert ran(folder, script).memories == ["table.mem"]
    for before, after in (("    read_mem $memories", ""), ("synth_design", "cd ..\nsynth_design")):
        with pytest.raises(TclError, match=r"could not open \$readmem data file 'table.mem'"):
            ran(folder, script.replace(before, after))


# the clock that is reached


def found(setup: float, hold: float = 0.1, pulse: float = 1.0) -> Implementation:
    timing = Timing(setup, min(0, setup), hold, pulse, (TimingPath(setup, "a/C", "b/D", "Setup"),))
    return Implementation("vivado 2022.2", timing, {"luts": (1, 2)}, Path("r.rpt"))


@pytest.mark.parametrize(
    ("asked", "setup", "clock"),
    [
        (100, 0.2, 100),
        (100, 0.0, 100),
        (100, -0.333, 90.909091),  # 10.333 ns
        (100, -1.999, 83.333333),
        (100, -2.1, 76.923077),
        (125, -2.0, 100),  # 10 ns, just
        (125, -2.001, 90.909091),
    ],
)
def test_the_highest_clock_that_setup_allows(asked: float, setup: float, clock: float) -> None:
    assert found(setup).clock("tiny", asked, PYNQ.clocks_mhz) == clock


def test_no_clock_that_setup_allows() -> None:
    text = (
        r"tiny: misses 100 MHz by 60 ns of setup .* to b/D; it reaches 14.29 MHz, and no clock of this board"
    )
    with pytest.raises(BuildError, match=text):
        found(-60).clock("tiny", 100, PYNQ.clocks_mhz)


@pytest.mark.parametrize(("hold", "pulse", "kind"), [(-0.1, 1.0, "hold"), (0.1, -0.1, "pulse width")])
def test_what_no_slower_clock_mends(hold: float, pulse: float, kind: str) -> None:
    with pytest.raises(BuildError, match=f"misses 100 MHz by 0.1 ns of {kind} after routing"):
        found(0.2, hold, pulse).clock("tiny", 100, PYNQ.clocks_mhz)


def test_an_implementation_is_read_back() -> None:
    made = found(-0.5)
    assert Implementation.of(json.loads(json.dumps(made.as_dict())), made.report) == made


# the flow


def build(bench: Bench, tools: Tools | None = None) -> dict[str, Path]:
    design, tools = copying(24), tools or Tools()
    core = rtl_project(design, primitives=True)
    clocks = PYNQ.clocks_mhz
    last = partial(vivado_rtl_flow.bitstream, design, tools=tools, clocks_mhz=clocks)
    return run_flow(
        bench.folder / "out",
        [
            Step("rtl", partial(open_flow.rtl, design, core=core)),
            Step("implementation", partial(vivado_rtl_flow.implementation, design, tools=tools), ("rtl",)),
            Step("bitstream", last, ("implementation",), f"{tools!r}"),
        ],
    )


def test_a_bitstream(bench: Bench) -> None:
    folders = build(bench)
    assert bench.made == STEPS
    made = folders["implementation"]
    assert names(made) == {"tiny.bit", "vivado.tcl", "implementation.json"}
    assert json.loads((made / "implementation.json").read_text())["used"]["dsps"] == [0, 220]
    last = folders["bitstream"]
    assert names(last) == {"tiny.bit", "registers.json"}
    assert (last / "tiny.bit").read_bytes() == (made / "tiny.bit").read_bytes()
    registers = json.loads((last / "registers.json").read_text())
    assert registers == json.loads((folders["rtl"] / "registers.json").read_text())
    assert registers["clock_mhz"] == 100 and registers["design"] == "tiny"
    assert {"vivado.log", "vivado-timing.rpt", "vivado-utilization.rpt"} <= names(bench.folder / "out")


def test_a_clock_that_is_not_reached_is_the_board_s(bench: Bench) -> None:
    """The routed design is kept, and nothing is run again to change what it may be used for."""
    bench.fault("vivado timing")
    registers = json.loads((build(bench)["bitstream"] / "registers.json").read_text())
    assert registers["clock_mhz"] == 90.909091
    before = (bench.folder / "vivado.json").stat().st_mtime_ns
    with pytest.raises(BuildError) as caught:
        build(bench, Tools(strict_clock=True))
    assert str(caught.value) == (
        "tiny: misses 100 MHz by 0.333 ns of setup after routing; its worst path goes from "
        "system_i/core/inst/fc0_U0/sum_reg[3]/C to system_i/core/inst/fc0_U0/out_reg[0]/D; choose a slower "
        "clock (--clock), a smaller folding (--fps), or build without strict_clock: the board then runs at "
        f"90.9091 MHz; the report is {bench.folder / 'out/vivado-timing.rpt'}"
    )
    assert bench.made == STEPS[:2] and (bench.folder / "vivado.json").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("fault", "kind", "text"),
    [
        ("vivado dsp", BuildError, "tiny: Vivado made 3 DSPs; please report this design"),
        (
            "vivado dropped",
            ToolError,
            "ERROR: after synthesis there is not one cell PS7 but 0; all it printed",
        ),
        ("vivado synthesis", ToolError, "ERROR: [Synth 8-439] module 'tiny_mul' not found"),
        ("vivado license", ToolError, "set XILINXD_LICENSE_FILE"),
        ("vivado killed", ToolError, "vivado failed on tiny: was ended by SIGKILL"),
    ],
)
def test_a_run_that_fails(fault: str, kind: type[Exception], text: str, bench: Bench) -> None:
    """The step before it is kept, and the next run goes on from there."""
    bench.fault(fault)
    with pytest.raises(kind) as caught:
        build(bench)
    assert text in str(caught.value) and "\n" not in str(caught.value) and bench.made == STEPS[:1]
    bench.fault("")
    build(bench)
    assert bench.made == STEPS


def test_from_the_command_line(bench: Bench, run: Run, tmp_path: Path) -> None:
    """Vitis HLS is not asked for; the deployment is that of the open flow, and a build.toml repeats it."""
    from tests.models import small_onnx

    model = small_onnx(tmp_path)
    assert run("build", model, "--frames", "4", "-o", "out")[0] == 0
    bench.fault("vivado timing")
    chosen = ("build", model, "--frames", "4", "-o", "out", "--flow", "vivado", "--source", "rtl")
    code, out, err = run(*chosen)
    assert (code, err) == (0, "") and out.count("unchanged") == 6
    made = [path.name for path in sorted(Path("out").iterdir()) if path.is_dir()]
    later = ("verify", "rtl", "implementation", "bitstream", "report", "deploy")
    assert made[5:] == [f"{number:02}-{name}" for number, name in enumerate(later, 6)]
    deployed = load_model(Path("out/11-deploy"))
    assert deployed.bitstream == Bitstream("n_small.bit", "registers", (0xF8008000, 0xF8008014))
    assert deployed.clock_mhz == 90.909091 and not list(Path("out").rglob("*.hwh"))
    for name in ("n_small.bit", "registers.json"):
        assert deployed.path(name).read_bytes() == Path("out/09-bitstream", name).read_bytes()
    text = Path("out/10-report/report.md").read_text()
    assert "Placed and routed (vivado 2022.2): worst slack -0.333 ns" in text
    assert "The board runs it at 90.9091 MHz" in text
    assert "The board runs it at 90.9091 MHz" in Path("out/10-report/index.html").read_text()
    repeat: Any = read_settings(Path("out/09-bitstream/build.toml"), BuildConfig)
    assert (repeat.flow, repeat.source, repeat.vivado) == ("vivado", "rtl", Tools())
    before = (bench.folder / "vivado.json").stat().st_mtime_ns
    code, _, err = run(*chosen, "--strict-clock")
    assert code == 1 and "or build without strict_clock: the board then runs at 90.9091 MHz" in err
    assert (bench.folder / "vivado.json").stat().st_mtime_ns == before, "the routed design is kept"
    # the RTL is the open flow's, to the byte
    rtl = (Path("out/07-rtl/stamp.json")).read_bytes()
    assert run("build", model, "--frames", "4", "-o", "out", "--flow", "openxc7", "--to", "rtl")[0] == 0
    assert Path("out/07-rtl/stamp.json").read_bytes() == rtl


def test_what_source_is_not_for(run: Run, tmp_path: Path) -> None:
    from tests.models import small_onnx

    model = small_onnx(tmp_path)
    chosen = ("build", model, "-o", "out", "--source", "rtl", "--flow")
    code, _, err = run(*chosen, "openxc7")
    text = "error: --source rtl is for --flow vivado, not openxc7; choose it, or leave --source out\n"
    assert (code, " ".join(err.split()) + "\n") == (2, text)
    assert run(*chosen, "sim")[0] == 2
    code, _, err = run(*chosen, "vivado", "--board", "kv260")
    assert code == 2 and "board kv260: --source rtl serves the Zynq-7000 (xc7z…), not xck26" in err
    assert "or --source hls" in " ".join(err.split()) and not Path("out").exists()
    assert run(*chosen, "vivado", "--source", "c")[0] == 2
