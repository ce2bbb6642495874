"""The flow with AMD's tools, up to their door: scripts run in Tcl, stand-ins on PATH, reports that are read.

What the stand-ins take for right is in fake_amd.py; the tools themselves are not run here.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bnn2fpga.backends.block_design import StreamWidths, block_design
from bnn2fpga.backends.hls import hls_project
from bnn2fpga.boards.board import Board, board_names, load_board
from bnn2fpga.build import vivado_flow
from bnn2fpga.build.step_runner import Step, run_flow
from bnn2fpga.design.graph import Design, Target
from bnn2fpga.design.integers import BIPOLAR
from bnn2fpga.design.layers import Copies
from bnn2fpga.design.stream import Stream
from bnn2fpga.driver.model import Bitstream, load_model
from bnn2fpga.errors import BuildError, ConfigError, ToolError
from bnn2fpga.files.settings import read_settings
from bnn2fpga.planning.folding.width_converters import refold
from bnn2fpga.tools.amd import INSTALL
from bnn2fpga.tools.amd import Vivado as Tools
from bnn2fpga.tools.vivado import Timing, TimingPath, read_utilization
from tests.kernels.designs import chain, forked
from tests.tools import fake_amd

if TYPE_CHECKING:
    from tests.conftest import Run

TclError: type[Exception] = pytest.importorskip("tkinter", reason="no Tcl interpreter here").TclError

PYNQ = load_board("pynq-z2")
ROOT = Path(__file__).parents[2]
STEPS = ["01-fold", "02-hls", "03-verify", "04-hls-synthesis", "05-implementation"]


def copying(lanes: int, board: Board = PYNQ) -> Design:
    """A design of one kernel that passes `lanes` bits a beat."""
    net = chain("tiny", Stream((2, lanes), BIPOLAR), ("copy", lambda s, _: Copies(s, 1)))
    net = refold(net, {"copy": replace(net["copy"], lanes=lanes)})
    return replace(net, target=Target(board.name, board.part, board.default_clock_mhz))


# the block design


def drawn(folder: Path, design: Design, board: Board = PYNQ, clock_mhz: float = 100) -> fake_amd.Vivado:
    """The block design, after its script has run to the end."""
    folder.mkdir(parents=True, exist_ok=True)
    fake_amd.write_ip(folder / "ip", design.name)
    vivado = fake_amd.Vivado(folder)
    with contextlib.chdir(folder):
        vivado.run(block_design(design, board, clock_mhz), "3")
    return vivado


def settings(vivado: fake_amd.Vivado, cell: str) -> dict[str, str]:
    return {name.removeprefix("CONFIG."): value for name, value in vivado.properties[cell].items()}


def test_the_known_good_settings_of_a_zynq_7000(tmp_path: Path) -> None:
    vivado = drawn(tmp_path, copying(8), clock_mhz=142.857143)
    assert vivado.facts["part"] == "xc7z020clg400-1" and vivado.facts["jobs"] == "3"
    ps = settings(vivado, "ps")
    assert ps["PCW_FPGA0_PERIPHERAL_FREQMHZ"] == "142.857"
    assert ps["PCW_USE_M_AXI_GP0"] == ps["PCW_USE_S_AXI_HP0"] == "1"
    assert ps["PCW_S_AXI_HP0_DATA_WIDTH"] == "64"
    assert ps["PCW_CRYSTAL_PERIPHERAL_FREQMHZ"] == "50"
    assert (ps["PCW_PRESET_BANK0_VOLTAGE"], ps["PCW_PRESET_BANK1_VOLTAGE"]) == ("LVCMOS 3.3V", "LVCMOS 1.8V")
    assert ps["PCW_UIPARAM_DDR_BUS_WIDTH"] == "16 Bit"
    assert vivado.facts["automation"][2][:4] == ["make_external", "FIXED_IO, DDR", "apply_board_preset", "0"]
    dma = settings(vivado, "dma")
    assert (dma["c_include_sg"], dma["c_sg_length_width"], dma["c_sg_include_stscntrl_strm"]) == (
        "0",
        "26",
        "0",
    )
    assert dma["c_m_axi_mm2s_data_width"] == dma["c_m_axi_s2mm_data_width"] == "64"
    assert dma["c_mm2s_burst_size"] == dma["c_s2mm_burst_size"] == "256"


def test_clock_and_reset(tmp_path: Path) -> None:
    """One clock everywhere; the active low reset, synchronized, at the core and at everything else."""
    vivado = drawn(tmp_path, copying(24))
    clocks = {pin: driver for pin, driver in vivado.drivers.items() if "clk" in pin.lower()}
    assert set(clocks.values()) == {"ps/FCLK_CLK0"} and len(clocks) == 11
    resets = {pin: driver for pin, driver in vivado.drivers.items() if pin not in clocks}
    assert resets.pop("resets/ext_reset_in") == "ps/FCLK_RESET0_N"
    assert set(resets.values()) == {"resets/peripheral_aresetn"}
    assert "core/ap_rst_n" in resets and all(pin.endswith("n") for pin in resets)


@pytest.mark.parametrize(
    ("lanes", "dma_bytes", "converted"),
    [
        (1, 1, False),
        (8, 1, False),
        (17, 8, True),
        (64, 8, False),
        (72, 8, True),
        (576, 8, True),
        (4088, 1, True),
    ],
)
def test_stream_widths(lanes: int, dma_bytes: int, converted: bool, tmp_path: Path) -> None:
    """Bytes of TDATA are equal at both ends of every stream; the DMA has a power of two up to the port's."""
    vivado = drawn(tmp_path, copying(lanes))
    dma, core = settings(vivado, "dma"), str((lanes + 7) // 8)
    assert dma["c_m_axis_mm2s_tdata_width"] == dma["c_s_axis_s2mm_tdata_width"] == str(8 * dma_bytes)
    if not converted:
        assert core == str(dma_bytes)
        assert vivado.interfaces["dma/M_AXIS_MM2S"] == "core/s_axis0"
        assert vivado.interfaces["core/m_axis0"] == "dma/S_AXIS_S2MM"
        return
    ends = {"to_core": ("dma/M_AXIS_MM2S", "core/s_axis0"), "from_core": ("core/m_axis0", "dma/S_AXIS_S2MM")}
    for cell, (before, after) in ends.items():
        assert (vivado.interfaces[f"{cell}/S_AXIS"], vivado.interfaces[f"{cell}/M_AXIS"]) == (before, after)
        widths = settings(vivado, cell)
        assert widths["HAS_TKEEP"] == widths["HAS_MI_TKEEP"] == widths["HAS_TLAST"] == "1"
        assert widths["HAS_TKEEP.VALUE_SRC"] == widths["S_TDATA_NUM_BYTES.VALUE_SRC"] == "USER"
        pair = (str(dma_bytes), core)
        assert (widths["S_TDATA_NUM_BYTES"], widths["M_TDATA_NUM_BYTES"]) == (
            pair if cell == "to_core" else pair[::-1]
        )


@pytest.mark.parametrize("port_bytes", [8, 16])
def test_every_width_is_legal(port_bytes: int) -> None:
    for core in range(1, 513):
        widths = StreamWidths.of(core, port_bytes)
        assert widths.dma_bytes in (1, 2, 4, 8, 16) and widths.dma_bytes <= port_bytes
        assert widths.converted == (core != widths.dma_bytes)
        assert widths.dma_bytes == port_bytes or core % widths.dma_bytes == 0


def test_tlast_comes_out_of_the_core() -> None:
    """Without it the DMA never ends a transfer: a plain stream of ap_uint has none."""
    files = hls_project(copying(8), PYNQ.part, 100).files
    assert "typedef ap_axiu<8, 0, 0, 0> output0_t;" in files["top.hpp"]
    assert "word.last = last.read();" in files["top.cpp"] and "word.keep = -1;" in files["top.cpp"]


@pytest.mark.parametrize("name", board_names())
def test_every_board_has_a_block_design(name: str, tmp_path: Path) -> None:
    board = load_board(name)
    vivado = drawn(tmp_path, copying(24, board), board, board.default_clock_mhz)
    ps, dma = settings(vivado, "ps"), settings(vivado, "dma")
    assert vivado.facts["part"] == board.part
    assert set(board.preset.items()) <= set(ps.items())
    assert dma["c_m_axi_mm2s_data_width"] == str(board.hp_port_bits)
    if board.family == "zynqmp":
        assert float(ps["PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ"]) == pytest.approx(
            board.default_clock_mhz, abs=1e-3
        )
        assert ps["PSU__SAXIGP2__DATA_WIDTH"] == "128"
        assert (ps["PSU__USE__M_AXI_GP1"], ps["PSU__USE__M_AXI_GP2"]) == ("0", "0")
        assert vivado.interfaces["memory_bus/M00_AXI"] == "ps/S_AXI_HP0_FPD"


def test_what_has_no_block_design() -> None:
    spartan = PYNQ.model_copy(update={"part": "xc7s50csga324-1"})
    with pytest.raises(BuildError, match="xc7s50csga324-1 has no processing system that is known here"):
        block_design(copying(8), spartan, 100)
    with pytest.raises(
        BuildError, match="forked: has 1 inputs and 2 outputs; the DMA engine serves one of each"
    ):
        block_design(forked(), PYNQ, 100)


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("dma/axi_resetn} {", "dma/s_axi_lite_aclk} {", "dma/s_axi_lite_aclk has two drivers"),
        ("core/ap_rst_n dma/axi_resetn", "core/ap_rst dma/axi_resetn", "No pins matched 'core/ap_rst'"),
        ("CONFIG.PCW_USE_S_AXI_HP0 {1}", "CONFIG.PCW_USE_S_AXI_HP0 {0}", "PCW_USE_S_AXI_HP0 is off"),
        ("foreach pin $port_clocks", "foreach pin {}", "ps/M_AXI_GP0_ACLK is not connected"),
        ("assign_bd_address", "", "saved before it was valid"),
        ("update_compile_order", "update_compile", 'invalid command name "update_compile"'),
    ],
)
def test_the_stand_in_finds_faults(
    before: str, after: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the tests above would prove nothing."""
    script = block_design(copying(8), PYNQ, 100)
    assert script.count(before) == 1
    fake_amd.write_ip(tmp_path / "ip", "tiny")
    vivado = fake_amd.Vivado(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TclError, match=complaint):
        vivado.run(script.replace(before, after))


# reports


def test_timing_that_is_met() -> None:
    report = fake_amd.TIMING.format(verdict="MET", setup=1.204, total=0.0, failing=0)
    timing = Timing.read(report)
    hold = TimingPath(0.031, "system_i/dma/U0/a_reg/C", "system_i/dma/U0/b_reg/D", "Hold")
    start, end = "system_i/core/inst/fc0_U0/sum_reg[3]/C", "system_i/core/inst/fc0_U0/out_reg[0]/D"
    setup = TimingPath(1.204, start, end, "Setup")
    assert timing == Timing(1.204, 0.0, 0.031, 3.75, (setup, hold))
    timing.check("tiny", 100, Path("r.rpt"))


@pytest.mark.parametrize("text", ["", "WNS(ns) TNS(ns)\n----- -----\nNA NA NA NA NA NA NA NA NA\n"])
def test_a_report_without_numbers(text: str) -> None:
    with pytest.raises(ToolError, match="has no Design Timing Summary with numbers"):
        Timing.read(text)


def test_slack_of_other_kinds() -> None:
    path = TimingPath(0.2, "a", "b", "Setup")
    with pytest.raises(BuildError, match=r"tiny: misses 100 MHz by 0.1 ns of hold after routing; choose"):
        Timing(0.2, 0, -0.1, 1, (path,)).check("tiny", 100, Path("r"))
    with pytest.raises(BuildError, match=r"by 1.5 ns of pulse width .* the report is r"):
        Timing(0.2, 0, 0.1, -1.5, ()).check("tiny", 100, Path("r"))


def test_utilization_of_both_families() -> None:
    assert read_utilization(fake_amd.UTILIZATION) == {
        "luts": (5112, 53200), "lutram_luts": (401, 17400), "flipflops": (7023, 106400), "bram36": (4.5, 140),
        "dsps": (0, 220),
    }  # fmt: skip
    ultrascale = (
        "| Site Type | Used | Fixed | Available | Util% |\n| CLB LUTs* | 63886 | 0 | 230400 | 27.7 |\n"
        "| CLB Registers | 44099 | 0 | 460800 | 9.6 |\n| Block RAM Tile | 12 | 0 | 312 | 3.8 |\n"
        "| URAM | 0 | 0 | 96 | 0.0 |\n| DSPs | 0 | 0 | 1728 | 0.0 |\n"
    )
    assert read_utilization(ultrascale)["luts"] == (63886, 230400)
    assert read_utilization(ultrascale)["urams"] == (0, 96)
    with pytest.raises(ToolError, match="tells no bram36, dsps"):
        read_utilization(ultrascale.split("| Block")[0])


# the flow


@dataclass
class Bench:
    """Stand-ins in a folder of their own, which is all of PATH but the system's folders."""

    folder: Path

    def install(self, *names: str, version: str = "2022.2") -> None:
        (self.folder / "bin").mkdir(parents=True, exist_ok=True)
        (self.folder / "version").write_text(f"****** Tool v{version} (64-bit)\n  **** SW Build 3671981\n")
        for name in names:
            program = f"{sys.executable} {fake_amd.__file__} {name} {self.folder}"
            (self.folder / "bin" / name).write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {program} "$@"\n')
            (self.folder / "bin" / name).chmod(0o755)

    def fault(self, text: str) -> None:
        """A tool's name and what it is to suffer; nothing, if empty."""
        (self.folder / "fault").write_text(text)

    def facts(self, tool: str) -> Any:
        """What a tool was told."""
        return json.loads((self.folder / f"{tool}.json").read_text())

    def build(self, tools: Tools | None = None, lanes: int = 24) -> dict[str, Path]:
        design, tools = copying(lanes), tools or Tools()

        def hls(folder: Path) -> None:
            hls_project(design, PYNQ.part, 100).write(folder)

        def nothing(folder: Path) -> None:
            pass

        last = partial(vivado_flow.implementation, design, board=PYNQ, tools=tools)
        return run_flow(
            self.folder / "out",
            [
                Step("fold", nothing),
                Step("hls", hls),
                Step("verify", nothing),
                Step(
                    "hls-synthesis",
                    partial(vivado_flow.hls_synthesis, design, board=PYNQ, tools=tools),
                    ("hls",),
                ),
                Step("implementation", last, ("hls-synthesis",)),
            ],
        )

    @property
    def made(self) -> list[str]:
        """The steps that are whole; nothing else may lie there but logs."""
        return sorted(path.name for path in (self.folder / "out").iterdir() if path.is_dir())


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    bench = Bench(tmp_path / "bench")
    bench.install("vitis_hls", "vivado")
    monkeypatch.setenv("PATH", f"{bench.folder / 'bin'}:/usr/bin:/bin")
    return bench


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"stamp.json"}


def test_a_bitstream(bench: Bench) -> None:
    folders = bench.build()
    assert bench.made == STEPS
    made = folders["implementation"]
    assert names(made) == {"tiny.bit", "tiny.hwh", "vivado.tcl", "implementation.json"}
    assert b"bits of tiny " in (made / "tiny.bit").read_bytes()
    assert 'VLNV="xilinx.com:hls:tiny:1.0"' in (made / "tiny.hwh").read_text()
    facts = json.loads((made / "implementation.json").read_text())
    assert facts["tool"] == "vivado 2022.2" and facts["timing"]["setup_ns"] == 1.204
    assert facts["used"]["luts"] == [5112, 53200]
    assert names(folders["hls-synthesis"]) == {"ip", "hls.json"}
    assert json.loads((folders["hls-synthesis"] / "hls.json").read_text()) == {
        "tool": "vitis_hls 2022.2", "clock_ns": 6.912, "interval": 640, "latency": None,
        "luts": 1401, "flipflops": 1702, "bram18": 5, "dsps": 0,
    }  # fmt: skip
    assert bench.facts("vivado")["jobs"] == "4" and "cache" not in bench.facts("vivado")
    told = bench.facts("vitis_hls")
    assert (told["top"], told["part"], told["clock"]["-period"]) == ("tiny", PYNQ.part, "10.000")
    assert told["sources"] == ["top.cpp", "testbench.cpp"]
    logs = {"vitis_hls.log", "vivado.log", "vivado-timing.rpt", "vivado-utilization.rpt"}
    assert logs <= names(bench.folder / "out")
    assert "gcc" in names(folders["hls"]) and "vitis" not in names(folders["hls"])
    before = (bench.folder / "vivado.json").stat().st_mtime_ns
    bench.build()
    assert (bench.folder / "vivado.json").stat().st_mtime_ns == before, "unchanged steps are not run again"


@pytest.mark.parametrize(
    ("version", "there", "taken"),
    [
        ("2020.2", ("vitis_hls",), "vitis_hls"),
        ("2023.2", ("vitis_hls", "vitis-run"), "vitis-run"),
        ("2023.1", ("vitis_hls", "vitis-run"), "vitis_hls"),
        ("2025.2", ("vitis-run", "v++"), "vitis-run"),
        ("2025.2", ("v++",), "v++"),
        ("2024.1.1", ("vitis_hls",), "vitis_hls"),
    ],
)
def test_the_command_for_hls(version: str, there: tuple[str, ...], taken: str, bench: Bench) -> None:
    (bench.folder / "bin/vitis_hls").unlink()
    bench.install(*there, version=version)
    folders = bench.build()
    assert bench.made == STEPS
    tool = json.loads((folders["hls-synthesis"] / "hls.json").read_text())["tool"]
    assert tool == f"{taken} {version[:6]}"
    if taken == "v++":
        told = bench.facts("v++")
        assert (told["part"], told["clock"], told["syn.top"]) == (PYNQ.part, "10.000ns", "tiny")
        assert told["flow_target"] == "vivado" and told["package.output.format"] == "ip_catalog"


@pytest.mark.parametrize(
    ("version", "there", "text"),
    [
        (
            "2019.2",
            ("vitis_hls",),
            "bin/vitis_hls is version 2019.2; legal: vitis-run (2023.2 or newer), vitis_hls ",
        ),
        ("2025.1", ("vitis_hls",), "bin/vitis_hls is version 2025.1"),
        ("2022.2", (), "not found on PATH; legal: vitis-run"),
        ("unknown", ("vitis_hls",), "bin/vitis_hls -version prints no version: ****** Tool vunknown"),
    ],
)
def test_no_command_for_hls(version: str, there: tuple[str, ...], text: str, bench: Bench) -> None:
    (bench.folder / "bin/vitis_hls").unlink()
    bench.install(*there, version=version)
    with pytest.raises(ToolError) as caught:
        bench.build()
    assert text in str(caught.value) and INSTALL in str(caught.value) and caught.value.exit_code == 3
    assert bench.made == STEPS[:3]


def test_vivado_is_looked_for_before_hls_runs(bench: Bench) -> None:
    """And the next run, with Vivado where the table says, goes on."""
    program = bench.folder / "bin/vivado"
    elsewhere = program.rename(bench.folder / "vivado")
    with pytest.raises(
        ToolError, match=r"not found on PATH; legal: vivado \(2020.2 or newer\); .* set vivado in"
    ):
        bench.build()
    assert bench.made == STEPS[:3] and not (bench.folder / "vitis_hls.json").exists()
    with pytest.raises(ToolError, match="absent/vivado is no such executable"):
        bench.build(Tools(vivado=Path("absent/vivado")))
    bench.build(Tools(vivado=elsewhere))
    assert bench.made == STEPS


@pytest.mark.parametrize(
    ("fault", "text", "log", "kept"),
    [
        ("vitis_hls quiet", "ERROR: [HLS 200-1] said, and exit code 0", "vitis_hls.log", 3),
        ("vitis_hls killed", "was ended by SIGKILL (short of memory?)", "vitis_hls.log", 3),
        ("vitis_hls y2k22", "install AMD's patch y2k22_patch-1.2 (answer record 76960)", "vitis_hls.log", 3),
        ("vivado license", "A valid license was not found for feature 'Synthesis'", "vivado.log", 4),
        ("vivado license", "set XILINXD_LICENSE_FILE", "vivado.log", 4),
        ("vivado synthesis", "ERROR: [Synth 8-439] module 'tiny_mul' not found", "vivado.log", 4),
        ("vivado killed", "vivado failed on tiny: was ended by SIGKILL", "vivado.log", 4),
    ],
)
def test_a_tool_that_fails(fault: str, text: str, log: str, kept: int, bench: Bench) -> None:
    bench.fault(fault)
    with pytest.raises(ToolError) as caught:
        bench.build()
    assert text in str(caught.value) and caught.value.exit_code == 3 and "\n" not in str(caught.value)
    assert f"all it printed is in {bench.folder / 'out' / log}" in str(caught.value)
    assert (bench.folder / "out" / log).exists() and bench.made == STEPS[:kept]
    bench.fault("")
    bench.build()
    assert bench.made == STEPS


@pytest.mark.parametrize("tool", ["vitis_hls", "vivado"])
def test_a_full_disk(tool: str, bench: Bench) -> None:
    bench.fault(f"{tool} disk")
    with pytest.raises(
        ConfigError, match=r"No space left on device, says \w+.log; free some space and run it again"
    ):
        bench.build()
    assert bench.made == STEPS[: 3 if tool == "vitis_hls" else 4]


def test_a_clock_that_is_not_reached(bench: Bench) -> None:
    bench.fault("vivado timing")
    with pytest.raises(BuildError) as caught:
        bench.build()
    report = bench.folder / "out/vivado-timing.rpt"
    assert str(caught.value) == (
        "tiny: misses 100 MHz by 0.333 ns of setup after routing; its worst path goes from "
        "system_i/core/inst/fc0_U0/sum_reg[3]/C to system_i/core/inst/fc0_U0/out_reg[0]/D; choose a slower "
        f"clock (--clock) or a smaller folding (--fps); the report is {report}"
    )
    assert caught.value.exit_code == 1 and bench.made == STEPS[:4] and "VIOLATED" in report.read_text()


@pytest.mark.parametrize(("tool", "kept"), [("vitis_hls", 3), ("vivado", 4)])
def test_a_build_that_is_killed(tool: str, kept: int, bench: Bench) -> None:
    bench.fault(f"{tool} parent")
    program = (
        "from pathlib import Path; from tests.tools import test_vivado as t; "
        f"t.Bench(Path({str(bench.folder)!r})).build()"
    )
    victim = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert victim.returncode == -signal.SIGKILL, victim.stderr
    assert len([name for name in bench.made if not name.startswith(".")]) == kept
    bench.fault("")
    bench.build()
    assert bench.made == STEPS


def test_an_ip_of_another_name_is_refused(bench: Bench) -> None:
    """The script asks for the core by the design's name."""
    folders = bench.build()
    (folders["hls-synthesis"] / "ip/component.xml").write_text("<name>other</name>\n")
    with pytest.raises(ToolError, match=r"VLNV <xilinx.com:hls:tiny:1.0> is not supported"):
        vivado_flow.implementation(copying(24), made_beside(folders), PYNQ, Tools())


def made_beside(folders: dict[str, Path]) -> Path:
    aside = folders["implementation"].with_name(".tmp-05-implementation")
    folders["implementation"].rename(aside.with_name("old"))
    aside.mkdir()
    return aside


def test_from_the_command_line(bench: Bench, run: Run, tmp_path: Path) -> None:
    """The flow can be chosen later, and verified steps are kept; the number of jobs changes nothing."""
    from tests.models import small_onnx

    model = small_onnx(tmp_path)
    Path("build.toml").write_text(f'model = "{model}"\nframes = 4\n')
    assert run("build", "build.toml", "-o", "out")[0] == 0
    Path("build.toml").write_text(
        f'model = "{model}"\nframes = 4\nflow = "vivado"\n[vivado]\njobs = 2\nip_cache = "ip"\n'
    )
    bench.fault("vivado timing")
    code, _, err = run("build", "build.toml", "-o", "out")
    assert code == 1 and err.startswith("error: n_small: misses 100 MHz by 0.333 ns of setup")
    bench.fault("")
    code, out, err = run("build", "build.toml", "-o", "out")
    assert (code, err) == (0, "") and out.count("unchanged") == 7 and bench.facts("vivado")["jobs"] == "2"
    assert bench.facts("vivado")["cache"] == str(tmp_path / "ip")
    made = [path.name for path in sorted(Path("out").iterdir()) if path.is_dir()]
    assert made[5:] == ["06-verify", "07-hls-synthesis", "08-implementation", "09-report", "10-deploy"]
    deployed = load_model(Path("out/10-deploy"))
    assert deployed.bitstream == Bitstream("n_small.bit", "dma", (0xF8008000, 0xF8008014))
    assert deployed.path("n_small.hwh").read_bytes() == Path("out/08-implementation/n_small.hwh").read_bytes()
    text = Path("out/09-report/report.md").read_text()
    assert "Placed and routed (vivado 2022.2): worst slack 1.204 ns of setup" in text
    assert "After HLS (vitis_hls 2022.2): luts 1,401, flipflops 1,702" in text
    repeat = read_settings(Path("out/08-implementation/build.toml"), _config())
    assert repeat.flow == "vivado" and repeat.vivado.jobs == 2
    Path("build.toml").write_text(Path("build.toml").read_text().replace("jobs = 2", "jobs = 3"))
    assert run("build", "build.toml", "-o", "out")[1].count("unchanged") == 10


def _config() -> Any:
    from bnn2fpga.build.config import BuildConfig

    return BuildConfig


def test_other_boards_and_the_open_flow(run: Run, tmp_path: Path) -> None:
    from tests.models import small_onnx

    code, _, err = run("build", small_onnx(tmp_path), "--board", "kv260", "--flow", "openxc7", "-o", "out")
    assert code == 2 and "board kv260: --flow openxc7 serves the Zynq-7000 (xc7z…), not xck26" in err


def test_a_wrong_table(tmp_path: Path) -> None:
    path = tmp_path / "build.toml"
    path.write_text('model = "m.onnx"\n[vivado]\nversion = "2022.2"\njobs = 0\n')
    with pytest.raises(ConfigError, match=r"vivado.jobs: .*; vivado.version: Extra inputs are not permitted"):
        read_settings(path, _config())
