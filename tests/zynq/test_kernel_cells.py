"""yosys synthesizes each kernel on its own, and again only when something that decides has changed."""

from __future__ import annotations

import gzip
import json
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from bnn2fpga.backends.zynq import LUTS
from bnn2fpga.build.kernel_cells import map_kernels
from bnn2fpga.build.open_flow import synthesize
from bnn2fpga.errors import ToolError
from bnn2fpga.files.templates import render
from bnn2fpga.tools.openxc7 import OpenXC7

pytestmark = pytest.mark.skipif(shutil.which("yosys") is None, reason="yosys is not installed")

INVERTS = "module inverts (input wire a, output wire y);\n    flip_ flip (.a(a), .y(y));\nendmodule\n"
FLIP = "module flip_ (input wire a, output wire y);\n    assign y = !a;\nendmodule\n"
TABLE = """\
module table_of (input wire clk, input wire [3:0] a, output reg [1:0] y);
    (* ram_style = "logic" *) reg [1:0] words [0:15];
    initial $readmemh("table_of.mem", words);
    always_ff @(posedge clk) y <= words[a];
endmodule
"""
TOP = """\
module top_ (input wire clk, input wire [3:0] a, output wire [2:0] y);
    table_of table_of_ (.clk(clk), .a(a), .y(y[1:0]));
    inverts inverts_ (.a(a[0]), .y(y[2]));
endmodule
"""
WORDS = "".join(f"{word * 7 % 4:x}\n" for word in range(16))
YOSYS = """#!/bin/sh
[ "$1" = -V ] || echo "$2" | sed 's/.*-top \\([a-z_]*\\) .*/\\1/' >> "$(dirname "$0")/runs"
exec {yosys} "$@"
"""


@dataclass
class Bench:
    """RTL of two kernels, and the real yosys behind a script that notes what it is run on."""

    folder: Path

    def __post_init__(self) -> None:
        texts = {"inverts.sv": INVERTS, "flip_.sv": FLIP, "table_of.sv": TABLE, "top_.sv": TOP}
        for name, text in {**texts, "table_of.mem": WORDS}.items():
            self.write(name, text)
        self.yosys(YOSYS.format(yosys=shutil.which("yosys")))
        (self.folder / "zynq").mkdir()
        (self.folder / "zynq" / LUTS).write_text(render(f"zynq/{LUTS}.j2"))

    def write(self, name: str, text: str) -> None:
        """A file of the RTL."""
        (self.folder / "rtl").mkdir(exist_ok=True)
        (self.folder / "rtl" / name).write_text(text)

    def yosys(self, text: str) -> None:
        """The script that is run as yosys."""
        (self.folder / "yosys").write_text(text)
        (self.folder / "yosys").chmod(0o755)

    def map(self, jobs: int = 1) -> list[str]:
        """The kernels that yosys was run on now."""
        runs, into = self.folder / "runs", self.folder / "into"
        runs.write_text("")
        into.mkdir(exist_ok=True)
        map_kernels(str(self.folder / "yosys"), self.folder / "rtl", self.folder / "kernels", into, jobs)
        assert {path.name for path in into.iterdir()} == {"inverts.il", "table_of.il"}
        return sorted(runs.read_text().split())

    @property
    def kept(self) -> dict[str, Path]:
        """Kernels and the files that keep their cells."""
        return {path.name.split("-")[0]: path for path in (self.folder / "kernels").glob("*.il.gz")}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_only_what_has_changed_is_synthesized(bench: Bench) -> None:
    assert bench.map(jobs=2) == ["inverts", "table_of"]
    first = bench.kept
    cells = {name: (bench.folder / "into" / f"{name}.il").read_bytes() for name in first}
    bench.write("top_.sv", TOP.replace("a[0]", "a[1]"))
    assert bench.map() == []
    assert cells == {name: (bench.folder / "into" / f"{name}.il").read_bytes() for name in first}
    bench.write("table_of.mem", WORDS[::-1].lstrip() + "\n")
    assert bench.map() == ["table_of"]
    assert bench.kept["inverts"] == first["inverts"] and not first["table_of"].exists()
    bench.write("flip_.sv", FLIP.replace("!a", "a"))
    assert bench.map() == ["inverts"]


def test_damaged_cells_are_made_again(bench: Bench) -> None:
    bench.map()
    whole = bench.kept["inverts"].read_bytes()
    for damaged in (whole[:-9], b"", whole[:30] + b"\0\0\0\0" + whole[34:]):
        bench.kept["inverts"].write_bytes(damaged)
        assert bench.map() == ["inverts"]
        assert gzip.decompress(bench.kept["inverts"].read_bytes()) == gzip.decompress(whole)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (INVERTS.replace("flip_ ", "absent_ "), r"yosys failed on inverts: ERROR: Module `\\absent_'"),
        (
            INVERTS.replace("flip_ flip", "always_comb if (a) y = a; //"),
            "yosys failed on inverts: ERROR: Latch inferred",
        ),
    ],
)
def test_the_kernel_that_fails_is_named(text: str, message: str, bench: Bench) -> None:
    """What went well is kept."""
    bench.write("inverts.sv", text.replace("output wire y", "output logic y"))
    with pytest.raises(ToolError, match=message) as caught:
        bench.map(jobs=2)
    assert str(caught.value).endswith(f"all it printed is in {bench.folder / 'kernels/inverts.log'}")
    assert not bench.kept.keys() - {"table_of"}


def test_killed_half_way(bench: Bench) -> None:
    """yosys writes half of the cells, then the build is killed; the next one starts with nothing of that."""
    run = (bench.folder / "yosys").read_text()
    out = """$(printf %s "$2" | sed 's/.*"\\([^"]*\\)"$/\\1/')"""
    bench.yosys(
        f'#!/bin/sh\n[ "$1" != -V ] || exec {shutil.which("yosys")} -V\necho half > "{out}"\nkill -9 $PPID\n'
    )
    program = (
        "from pathlib import Path; from tests.zynq import test_kernel_cells as t; "
        f"bench = object.__new__(t.Bench); bench.folder = Path({str(bench.folder)!r}); bench.map()"
    )
    victim = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert victim.returncode == -signal.SIGKILL, victim.stderr
    assert list((bench.folder / "into").iterdir()) and not bench.kept
    bench.yosys(run)
    assert bench.map() == ["inverts", "table_of"]


@pytest.mark.slow
def test_the_netlist_is_the_same_with_what_was_kept(bench: Bench) -> None:
    tools = OpenXC7(yosys=bench.folder / "yosys")
    made = []
    for netlist in (bench.folder / "first.json", bench.folder / "second.json"):
        found = synthesize(bench.folder, "top_", netlist, bench.folder / "yosys.log", tools)
        assert (found.flipflops, found.dsps) == (2, 0) and found.luts
        made.append(json.loads(netlist.read_text())["modules"]["top_"])
    assert made[0] == made[1]
    assert (bench.folder / "runs").read_text().split()[2:] == ["top_", "top_"]
    assert not any(cell["type"] in ("inverts", "table_of") for cell in made[0]["cells"].values())
