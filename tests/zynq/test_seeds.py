"""Several seeds of place and route: the best is kept, a stopped run goes on, one seed alone repeats it.

nextpnr is a stand-in here, whose clock depends on the seed.
"""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bnn2fpga.build.seeds import Placed, Request, best_of_seeds
from bnn2fpga.errors import ToolError
from bnn2fpga.planning.pool import open_pool
from bnn2fpga.tools.nextpnr import Routing
from bnn2fpga.tools.openxc7 import OpenXC7
from tests.zynq.test_open_flow import xilinx_database

PART = "xc7z020clg400-1"
NEXTPNR = """#!/bin/sh
cd "$(dirname "$0")"
while [ $# -gt 1 ]; do case $1 in --fasm) fasm=$2;; --write) netlist=$2;; --seed) seed=$2;; esac; shift; done
[ -n "$seed" ] || exit 0
echo "$seed" >> tried
[ ! -e "wait-$seed" ] || sleep 60
[ ! -e "fail-$seed" ] || { echo "ERROR: no route for seed $seed"; exit 1; }
echo "features of $seed" > "$fasm"
echo "netlist of $seed" > "$netlist"
echo "Info: Max frequency for clock 'clk': $(( (seed * 37) % 50 + 50 )).00 MHz (FAIL at 100.00 MHz)"
"""


@dataclass
class Bench:
    """A stand-in whose seeds reach (37 * seed) % 50 + 50 MHz: 87 for 1, then 74, 61, 98, 85, 72."""

    folder: Path
    said: list[Placed] = field(default_factory=list)

    def __post_init__(self) -> None:
        program = self.folder / "nextpnr-xilinx"
        program.write_text(NEXTPNR)
        program.chmod(0o755)
        (self.folder / "chip.bin").write_bytes(xilinx_database(PART))

    def run(
        self, workers: int = 1, enough: float = 1000, netlist: bytes = b"{}", **settings: float
    ) -> Routing:
        tools = OpenXC7(
            nextpnr_xilinx=self.folder / "nextpnr-xilinx", chipdb=self.folder / "chip.bin", **settings
        )
        stop = threading.Event()
        request = Request(gzip.compress(netlist, mtime=0), PART, 100, tools, stop)
        with open_pool(workers, threads=True) as pool:
            return best_of_seeds(
                request, enough, pool, self.folder / "seeds", self.fasm, self.folder / "log", self.said.append
            )

    @property
    def fasm(self) -> Path:
        return self.folder / "best.fasm"

    @property
    def tried(self) -> list[int]:
        """The seeds that nextpnr was started with."""
        path = self.folder / "tried"
        return [int(line) for line in path.read_text().split()] if path.exists() else []


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_one_seed_without_effort(bench: Bench) -> None:
    assert bench.run(seed=2).slowest.fmax_mhz == 74
    assert (bench.tried, bench.fasm.read_text(), bench.said) == ([2], "features of 2\n", [])
    assert bench.run(seed=2).seed == 2 and bench.tried == [2], "what is there is not computed again"


def test_enough_ends_the_search(bench: Bench) -> None:
    found = bench.run(enough=95, effort=10)
    assert (found.seed, found.slowest.fmax_mhz) == (4, 98)
    assert bench.tried == [1, 2, 3, 4] and bench.fasm.read_text() == "features of 4\n"
    assert "98.00 MHz" in (bench.folder / "log").read_text()
    assert [placed.best_mhz for placed in bench.said] == sorted(placed.best_mhz for placed in bench.said)
    assert bench.said[-1].best_seed == 4 and bench.said[-1].budget == 600
    kept = sorted(path.name for path in next((bench.folder / "seeds").iterdir()).iterdir())
    assert kept == ["1.json", "2.json", "3.json", "4.fasm.gz", "4.json", "4.log.gz", "4.netlist.gz", "spent"]
    bench.fasm.unlink()
    assert bench.run(seed=4).seed == 4 and bench.fasm.read_text() == "features of 4\n"
    assert bench.run(seed=4, effort=0.01, enough=50).seed == 4 and len(bench.tried) == 4


def test_enough_ends_the_others(bench: Bench) -> None:
    (bench.folder / "wait-2").touch()
    begin = time.monotonic()
    assert bench.run(2, enough=80, effort=10).seed == 1
    assert time.monotonic() - begin < 20


def test_the_time_is_over(bench: Bench) -> None:
    """A seed that runs then is ended, but never the first one."""
    (bench.folder / "wait-2").touch()
    begin = time.monotonic()
    assert bench.run(2, effort=1.5 / 60).seed == 1
    assert time.monotonic() - begin < 20 and bench.said[-1].fmax_mhz is None
    (bench.folder / "wait-2").unlink()
    tried = len(bench.tried)
    assert bench.run(effort=1 / 60).seed == 1 and len(bench.tried) == tried, "the time of all runs counts"
    assert bench.run(enough=95, effort=10).seed == 4 and bench.tried[tried:] == [2, 3, 4]


def test_another_netlist_begins_anew(bench: Bench) -> None:
    bench.run(seed=4)
    assert bench.run(seed=4, netlist=b"other").seed == 4 and bench.tried == [4, 4]
    assert len(list((bench.folder / "seeds").iterdir())) == 1


def test_a_seed_that_fails(bench: Bench) -> None:
    """It is passed over where another one is routed; else its error is the step's."""
    (bench.folder / "fail-1").touch()
    with pytest.raises(ToolError) as caught:
        bench.run()
    assert str(caught.value) == (
        f"nextpnr-xilinx failed: ERROR: no route for seed 1; all it printed is in {bench.folder / 'log'}"
    )
    assert "no route" in (bench.folder / "log").read_text()
    assert bench.run(2, enough=70, effort=10).seed == 2


def test_a_killed_run_goes_on(bench: Bench) -> None:
    """Killed while the third seed runs: the fourth run's result is that of one that was never killed."""
    (bench.folder / "wait-3").touch()
    program = (
        "from tests.zynq.test_seeds import Bench; from pathlib import Path; "
        f"Bench(Path({str(bench.folder)!r})).run(enough=95, effort=10)"
    )
    victim = subprocess.Popen([sys.executable, "-c", program], start_new_session=True)
    end = time.monotonic() + 60
    while bench.tried != [1, 2, 3]:
        assert time.monotonic() < end and victim.poll() is None
        time.sleep(0.05)
    victim.kill()
    victim.wait()
    (bench.folder / "wait-3").unlink()
    assert bench.run(enough=95, effort=10).seed == 4
    assert bench.tried == [1, 2, 3, 3, 4]


def test_an_interrupt_ends_what_runs(bench: Bench) -> None:
    """Ctrl-C reaches the main thread alone; the tools in the other threads end at once."""
    for seed in (1, 2):
        (bench.folder / f"wait-{seed}").touch()
    # a background job of a shell ignores it
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Timer(1.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        begin = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            bench.run(2, effort=10)
        assert time.monotonic() - begin < 20
    finally:
        signal.signal(signal.SIGINT, before)


def test_on_a_cluster(bench: Bench) -> None:
    """Workers of a Dask cluster need the tools at the same places, and no shared folder for the rest."""
    from distributed import LocalCluster

    tools = OpenXC7(
        nextpnr_xilinx=bench.folder / "nextpnr-xilinx", chipdb=bench.folder / "chip.bin", effort=10
    )
    request = Request(gzip.compress(b"{}", mtime=0), PART, 100, tools)
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        open_pool(scheduler=cluster.scheduler_address) as pool,
    ):
        assert pool.width() == 2
        found = best_of_seeds(request, 95, pool, bench.folder / "seeds", bench.fasm, bench.folder / "log")
    assert found.seed == 4 and bench.fasm.read_text() == "features of 4\n"
    assert json.loads(next((bench.folder / "seeds").glob("*/4.json")).read_text())["seed"] == 4
