"""nextpnr-xilinx and nextpnr-himbaechel themselves, on a small design; and what they say of wrong databases.

The real tools run where BNN2FPGA_OPENXC7 names a build.toml with their table [openxc7].
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from bnn2fpga.build.config import BuildConfig
from bnn2fpga.build.critical_path import CriticalPath
from bnn2fpga.errors import ToolError
from bnn2fpga.files.settings import read_settings
from bnn2fpga.tools.chip_database import TOOLS, ChipDatabase, Tool
from bnn2fpga.tools.netlist import Netlist
from bnn2fpga.tools.nextpnr import route
from bnn2fpga.tools.openxc7 import OpenXC7
from tests.zynq.test_open_flow import himbaechel_database, xilinx_database

PART = "xc7z020clg400-1"
DESIGN = """
module top;
    wire [3:0] clocks;
    wire clk;
    PS7 ps7(.FCLKCLK(clocks), .MAXIGP0RDATA({24'd0, count}), .MAXIGP0ACLK(clk));
    BUFG buffer(.I(clocks[0]), .O(clk));
    reg [7:0] count;
    always @(posedge clk) count <= count + 3;
endmodule
"""


@pytest.fixture(scope="module")
def real() -> OpenXC7:
    given = os.environ.get("BNN2FPGA_OPENXC7")
    if not given:
        pytest.skip("needs nextpnr and databases: BNN2FPGA_OPENXC7 names a build.toml with [openxc7]")
    return read_settings(Path(given), BuildConfig).openxc7


@pytest.fixture(scope="module")
def netlist(tmp_path_factory: pytest.TempPathFactory, real: OpenXC7) -> Path:
    folder = tmp_path_factory.mktemp("netlist")
    (folder / "top.v").write_text(DESIGN)
    script = "read_verilog top.v; synth_xilinx -flatten -noiopad -top top; write_json top.json"
    subprocess.run([real.tool("yosys"), "-q", "-p", script], cwd=folder, check=True)
    return folder / "top.json"


def placed(real: OpenXC7, tool: Tool, netlist: Path, folder: Path, part: str = PART, **change: object) -> str:
    """The longest path in words; a ToolError where nextpnr cannot do it."""
    tools = real.model_copy(update={"place_and_route": tool, **change})
    found = route(netlist, part, 100, folder / "top.fasm", folder / "log", tools, seed=1)
    assert found.tool == tool and found.slowest.fmax_mhz > 100 and (folder / "top.fasm").stat().st_size
    return str(CriticalPath.of(found.slowest, Netlist.read(netlist, "top")))


@pytest.mark.parametrize("tool", TOOLS)
def test_a_small_design(tool: Tool, real: OpenXC7, netlist: Path, tmp_path: Path) -> None:
    words = placed(real, tool, netlist, tmp_path)
    assert words.startswith("longest path from count[") and " to count[" in words and "fan-out" in words


def test_the_program_is_told_by_its_options(real: OpenXC7, netlist: Path, tmp_path: Path) -> None:
    """In openXC7's packages nextpnr-xilinx is the program that is elsewhere nextpnr-himbaechel."""
    change = {"nextpnr_xilinx": real.nextpnr_himbaechel, "nextpnr_himbaechel": None}
    placed(real, "nextpnr-himbaechel", netlist, tmp_path, **change)
    with pytest.raises(ToolError, match=r"no nextpnr-xilinx is there, but \S+ \(nextpnr-himbaechel\)"):
        placed(real, "nextpnr-xilinx", netlist, tmp_path, **change)


@pytest.mark.parametrize("tool", TOOLS)
def test_real_databases_of_another_kind(tool: Tool, real: OpenXC7, netlist: Path, tmp_path: Path) -> None:
    """nextpnr-xilinx itself would crash without a word."""
    swapped = {"chipdb": real.himbaechel_chipdb, "himbaechel_chipdb": real.chipdb}
    with pytest.raises(ToolError, match=f"is a database of nextpnr-.*, not of {tool}; "):
        placed(real, tool, netlist, tmp_path, **swapped)
    for path in swapped.values():
        assert path
        (tmp_path / "half.bin").write_bytes(path.open("rb").read(1_000_000))
        halves = dict.fromkeys(swapped, tmp_path / "half.bin")
        with pytest.raises(ToolError, match=f"half.bin is no whole database of {tool}; "):
            placed(real, tool, netlist, tmp_path, **halves)
    with pytest.raises(ToolError, match=r"is of the xc7z020\S*, not of the xc7z010clg400-1; "):
        placed(real, tool, netlist, tmp_path, "xc7z010clg400-1")


def test_himbaechel_without_a_database(real: OpenXC7, netlist: Path, tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"has no database of its own; set himbaechel_chipdb in \[openxc7\]"):
        placed(real, "nextpnr-himbaechel", netlist, tmp_path, himbaechel_chipdb=None)


# without the tools: the beginnings of their databases, and what they were seen to print


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (xilinx_database(PART), ChipDatabase("nextpnr-xilinx", PART)),
        (himbaechel_database("xc7z020"), ChipDatabase("nextpnr-himbaechel", "xc7z020")),
        (himbaechel_database("xc7z020")[:30], None),
        (b"", None),
        (b"\x7fELF" + bytes(100), None),
        (b"a text\n" * 20, None),
    ],
)
def test_what_a_database_is_of(content: bytes, found: ChipDatabase | None, tmp_path: Path) -> None:
    (tmp_path / "some.bin").write_bytes(content)
    assert ChipDatabase.read(tmp_path / "some.bin") == found


@pytest.mark.parametrize(
    ("tool", "content", "text"),
    [
        (
            "nextpnr-xilinx",
            himbaechel_database("xc7z020"),
            "is a database of nextpnr-himbaechel, not of nextpnr-x",
        ),
        ("nextpnr-himbaechel", xilinx_database(PART), "is a database of nextpnr-xilinx, not of nextpnr-himb"),
        (
            "nextpnr-xilinx",
            xilinx_database("xc7a35tcsg324-1"),
            "is of the xc7a35tcsg324-1, not of the xc7z020",
        ),
        (
            "nextpnr-himbaechel",
            himbaechel_database("xc7z010"),
            "is of the xc7z010, not of the xc7z020clg400-1",
        ),
        ("nextpnr-xilinx", b"?", "is no whole database of nextpnr-xilinx"),
        ("nextpnr-himbaechel", None, "does not exist"),
    ],
)
def test_wrong_databases(tool: Tool, content: bytes | None, text: str, tmp_path: Path) -> None:
    path = tmp_path / "some.bin"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ToolError) as caught:
        OpenXC7(chipdb=path, himbaechel_chipdb=path).chip_database(tool, PART)
    assert (
        text in str(caught.value) and "of [openxc7]: " in str(caught.value) and "\n" not in str(caught.value)
    )


@pytest.mark.parametrize(
    ("printed", "text"),
    [
        (
            "ERROR: chipdb uses db version 5 but nextpnr is expecting version 6 (did you forget a database "
            "rebuild?).",
            "nextpnr-himbaechel failed: ERROR: chipdb uses db version 5 but nextpnr is expecting version 6",
        ),
        (
            "ERROR: init_share_dirname: unable to determine share/ directory!",
            "has no database of its own; set himbaechel_chipdb in [openxc7]",
        ),
        ("ERROR: Package 'clg484' not found in database.", "ERROR: Package 'clg484' not found in database."),
    ],
)
def test_what_himbaechel_was_seen_to_print(printed: str, text: str, tmp_path: Path) -> None:
    program = tmp_path / "nextpnr-himbaechel"
    program.write_text(
        '#!/bin/sh\n[ "$1" != --help ] || { echo "  -o [ --vopt ] arg"; exit; }\n'
        f'echo "Info: Using uarch"\necho "{printed}"\necho "0 warnings, 1 error"\nexit 125\n'
    )
    program.chmod(0o755)
    tools = OpenXC7(nextpnr_himbaechel=program, place_and_route="nextpnr-himbaechel")
    with pytest.raises(ToolError) as caught:
        route(tmp_path / "no.json", PART, 100, tmp_path / "x.fasm", tmp_path / "log", tools, seed=1)
    assert text in str(caught.value) and "\n" not in str(caught.value)
