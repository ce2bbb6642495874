"""Exploration: the front is Pareto's, the same wherever it was computed; no kill, no stop costs a point."""

from __future__ import annotations

import csv
import json
import logging
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import dask
import pytest
from distributed import Client, LocalCluster
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn2fpga.boards.board import load_board
from bnn2fpga.design.graph import Design
from bnn2fpga.errors import ConfigError
from bnn2fpga.planning.exploration.explore import Progress, Space, explore
from bnn2fpga.planning.exploration.points import Point, Result, Task, evaluate, front
from bnn2fpga.planning.exploration.workers import Evaluate, _evaluate, bare, open_evaluation
from bnn2fpga.planning.pool import pack, work
from tests.conftest import Run
from tests.kernels.designs import conv_net
from tests.models import small_onnx

BOARD = load_board("pynq-z2")
RATES = tuple(float(rate) for rate in range(1000, 120_000, 1000))


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def smaller_board(folder: Path) -> Path:
    """The PYNQ-Z2 with a tenth of its LUTs and block RAM."""
    path = folder / "small.toml"
    facts = BOARD.model_copy(update={"name": "small", "luts": 5320, "lutram_luts": 1740, "bram36": 14})
    lines = (
        f"{name} = {json.dumps(value)}\n"
        for name, value in facts.model_dump(mode="json", exclude={"preset"}).items()
    )
    path.write_text("".join(lines))
    return path


def here(design: Design, space: Space, folder: Path) -> dict[str, bytes]:
    """What an exploration in one process leaves."""
    with open_evaluation(1) as pool:
        explore(design, space, folder, pool)
    return tree(folder)


# the front


def costs(point: Point) -> tuple[float, int, float]:
    return -point.fps, point.luts, point.bram36


def group(point: Point) -> tuple[str, float]:
    return point.board, point.clock_mhz


@st.composite
def point(draw: st.DrawFn) -> Point:
    """Few values, so that ties and equal points are frequent."""
    few = st.integers(1, 4)
    return Point(
        board=draw(st.sampled_from(["a", "b"])),
        clock_mhz=draw(st.sampled_from([100.0, 125.0])),
        asked_fps=draw(st.none() | st.just(1.0)),
        fps=draw(few),
        interval=1,
        latency=draw(few),
        luts=draw(few),
        bram36=draw(few) / 2,
        shares={},
        bottleneck=draw(st.sampled_from("xy")),
    )


@settings(deadline=None)
@given(st.lists(point(), max_size=30), st.randoms())
def test_front_is_the_undominated_points(points: list[Point], shuffle: random.Random) -> None:
    best = front(points)
    for one in best:
        assert one in points
        for other in points:
            better = all(a <= b for a, b in zip(costs(other), costs(one), strict=True))
            assert not (group(other) == group(one) and better and costs(other) != costs(one))
    for one in points:
        assert any(
            group(other) == group(one) and all(a <= b for a, b in zip(costs(other), costs(one), strict=True))
            for other in best
        ), "neither on the front nor dominated by it"
    assert len({(group(one), costs(one)) for one in best}) == len(best), "a point twice"
    shuffle.shuffle(points)
    assert front(points) == best == front(best)


# the space


@pytest.mark.slow
def test_default_space_goes_from_the_smallest_folding_to_the_fastest(tmp_path: Path) -> None:
    design = conv_net()
    with open_evaluation(1) as pool:
        best, refused = explore(design, Space.of(["pynq-z2"]), tmp_path / "out", pool)
    points = [Point(**one) for one in json.loads((tmp_path / "out/points.json").read_text())["points"]]
    fastest = evaluate(design, Task(BOARD, BOARD.default_clock_mhz))
    assert isinstance(fastest, Point) and fastest in points
    assert max(point.fps for point in points) == fastest.fps and best[-1].fps == fastest.fps
    assert len(points) == len({point.asked_fps for point in points}) == 16 and not refused
    slowest = max(node.kernel.cycles.interval for node in design.nodes)
    asked = [point.clock_mhz * 1e6 / point.asked_fps for point in points if point.asked_fps]
    assert int(max(asked)) == slowest
    for point in points:
        assert point.asked_fps is None or point.fps >= point.asked_fps
        assert point == evaluate(design, Task(BOARD, point.clock_mhz, point.asked_fps))
    assert points == sorted(points, key=lambda point: point.asked_fps or float("inf"))


def test_boards_clocks_and_rates(tmp_path: Path) -> None:
    small = smaller_board(tmp_path)
    space = Space.of(["pynq-z2", small, "pynq-z2"], [100, 142, 100.0], [20_000, 1e9])
    with open_evaluation(1) as pool:
        best, refused = explore(conv_net(), space, tmp_path / "out", pool)
    places = [(board, clock) for board in ("pynq-z2", "small") for clock in (100, 142.857)]
    assert [(one.board, round(one.clock_mhz, 3)) for one in best] == places
    assert len(refused) == 4 and all("1,000,000,000 fps" in one.refusal for one in refused)
    rows = list(csv.DictReader((tmp_path / "out/front.csv").read_text().splitlines()))
    assert [float(row["fps"]) for row in rows] == [one.fps for one in best]
    assert [int(row["luts"]) for row in rows] == [one.luts for one in best]
    picture = (tmp_path / "out/front.svg").read_text()
    for text in ("frames a second", "BRAM36", "80% of small", "80% of pynq-z2", "small, 142.857 MHz"):
        assert f"<!-- {text} -->" in picture


def test_a_share_is_of_the_luts_that_a_point_counts(tmp_path: Path) -> None:
    found = evaluate(conv_net(), Task(BOARD, 100.0, 10_000))
    assert isinstance(found, Point)
    assert found.luts / BOARD.luts == pytest.approx(found.shares["LUT"])


# one process, workers, a run that goes on


class StopRunError(Exception):
    """Ends a run in the middle."""


@pytest.mark.slow
def test_two_workers_and_a_resumed_run_give_the_bytes_of_one_process(tmp_path: Path) -> None:
    space = Space.of(["pynq-z2", smaller_board(tmp_path)])
    expected = here(conv_net(), space, tmp_path / "one")
    assert {"points.json", "front.csv", "front.svg"} < set(expected)

    def stop(progress: Progress) -> None:
        if progress.part == "slower foldings" and progress.done == 5:
            raise StopRunError

    with open_evaluation(2) as pool:
        explore(conv_net(), space, tmp_path / "two", pool)
        with pytest.raises(StopRunError):
            explore(conv_net(), space, tmp_path / "resumed", pool, stop)
    assert tree(tmp_path / "two") == expected
    kept = tree(tmp_path / "resumed")
    assert "points.json" not in kept and kept.items() < expected.items()
    assert here(conv_net(), space, tmp_path / "resumed") == expected


def counting(computed: list[Task]) -> Evaluate:
    def pool(design: Design, tasks: Sequence[Task]) -> Iterator[tuple[Task, Result]]:
        for task in tasks:
            computed.append(task)
            yield task, evaluate(design, task)

    return pool


def test_only_what_is_missing_is_computed(tmp_path: Path) -> None:
    computed: list[Task] = []
    told: list[Progress] = []
    space, folder = Space.of(["pynq-z2"], points=6), tmp_path / "out"
    explore(conv_net(), space, folder, counting(computed))
    assert len(computed) == 6
    before = tree(folder)
    explore(conv_net(), space, folder, counting(computed), told.append)
    assert len(computed) == 6 and tree(folder) == before
    assert told == [Progress("fastest foldings", 1, 1, 1), Progress("slower foldings", 5, 5, 5)]
    files = sorted((folder / "points").iterdir())
    files[0].unlink()
    files[1].write_text('{"board": "py')
    explore(conv_net(), space, folder, counting(computed))
    assert len(computed) == 8 and tree(folder) == before
    explore(conv_net(seed=1), space, folder, counting(computed))
    assert len(computed) == 14, "other weights are another design"
    changed = replace(space, boards=(BOARD.model_copy(update={"luts": BOARD.luts - 1}),))
    explore(conv_net(), changed, folder, counting(computed))
    assert len(computed) == 20, "a board of the same name, changed"
    explore(conv_net(), replace(space, fps=(5000.0,)), folder, counting(computed))
    assert len(computed) == 21


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    """Two worker processes; a dead one is soon noticed, and started again."""
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "2s"}),
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=logging.CRITICAL
        ) as made,
    ):
        yield made


FREE = 40
"""Rates that are computed at once; the others wait, so that a run is in its middle however slow we are."""


def hold_back(gate: Path) -> None:
    """In a worker: no rate after the free ones is computed before there is the file `gate`."""

    def waiting(design: Design, task: Task) -> Result:
        while task.fps is not None and task.fps > RATES[FREE - 1] and not gate.exists():
            time.sleep(0.005)
        return evaluate(design, task)

    _evaluate.__globals__["evaluate"] = waiting


@pytest.mark.slow
@pytest.mark.parametrize("victims", [pytest.param(1, marks=pytest.mark.long), 2])
def test_killed_workers_lose_nothing(tmp_path: Path, cluster: LocalCluster, victims: int) -> None:
    """One, or both at once: then no worker has the design, nor results that were not fetched yet."""
    space = Space.of(["pynq-z2"], fps=RATES)
    expected = here(conv_net(), space, tmp_path / "one")
    lost: dict[str, tuple[int, int]] = {}
    gate = tmp_path / "gate"

    def kill(progress: Progress) -> None:
        if progress.done != 30:
            return
        with Client(cluster) as watch:
            processes, held = watch.run(os.getpid), watch.has_what()
            while not all(watch.processing().values()):
                time.sleep(0.005)
            killed = sorted(processes, key=lambda worker: len(held[worker]))[-victims:]
            for worker in killed:
                os.kill(processes[worker], signal.SIGSTOP)
            at_work, held = watch.processing(), watch.has_what()
            lost.update({worker: (len(at_work[worker]), len(held[worker])) for worker in killed})
            for worker in killed:
                os.kill(processes[worker], signal.SIGKILL)
        gate.touch()

    with Client(cluster) as client:
        client.run(hold_back, gate)
    with open_evaluation(scheduler=cluster.scheduler_address) as pool:
        explore(conv_net(), space, tmp_path / "two", pool, kill)
    assert len(lost) == victims
    assert all(map(any, zip(*lost.values(), strict=True))), "no task or no result was lost"
    assert tree(tmp_path / "two") == expected


def test_worker_of_another_version_is_refused() -> None:
    with pytest.raises(ConfigError, match="another version of bnn2fpga"):
        work(Task(BOARD, 100.0), _evaluate, conv_net(), "of another version")


def test_worker_needs_neither_torch_nor_qonnx(tmp_path: Path) -> None:
    (tmp_path / "call").write_bytes(pickle.dumps((pack(bare(conv_net())), Task(BOARD, 100.0, 1000.0))))
    code = (
        "import pickle, sys\n"
        "from bnn2fpga.planning.exploration.workers import _evaluate\n"
        "from bnn2fpga.planning.pool import unpack, work\n"
        "from bnn2fpga.files.package_data import package_digest\n"
        "packed, task = pickle.load(open(sys.argv[1], 'rb'))\n"
        "print(work(task, _evaluate, unpack(packed), package_digest()).fps)\n"
        "print([name for name in ('torch', 'qonnx', 'onnx', 'brevitas', 'finn') if name in sys.modules])\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "call")]
    fps, modules = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")[:2]
    assert float(fps) >= 1000 and modules == "[]"


# the command line


def test_explore_prints_the_front(run: Run, tmp_path: Path) -> None:
    arguments = ("explore", small_onnx(tmp_path), "--workers", 1, "--points", 5, "-o", "out")
    code, out, err = run(*arguments)
    assert (code, err) == (0, "")
    for text in ("fastest foldings: 1", "slower foldings: 4", "pynq-z2, 100 MHz", "frames/s", "BRAM36"):
        assert text in out
    rows = list(csv.DictReader(Path("out/front.csv").read_text().splitlines()))
    assert all(f"{float(row['fps']):,.0f}" in out for row in rows)
    assert "slower foldings: 4, 4 of them from before" in run(*arguments)[1]


def test_refusals_are_one_line(run: Run, tmp_path: Path) -> None:
    model = small_onnx(tmp_path)
    Path("file").write_text("")
    Path("mine").mkdir()
    Path("mine/thesis.txt").write_text("precious")
    Path("twin").mkdir()
    small = smaller_board(tmp_path)
    twin = Path("twin/small.toml")
    twin.write_text(small.read_text().replace("5320", "5321"))
    cases: list[tuple[int, str, tuple[object, ...]]] = [
        (2, "unknown board 'pynq-z9'", ("--board", "pynq-z9")),
        (2, "cannot make a clock of 1 MHz", ("--clock", 1)),
        (2, "two boards share a name", ("--board", small, "--board", twin)),
        (2, "file is a file; choose another folder", ("-o", "file")),
        (2, "holds no build of bnn2fpga", ("-o", "mine")),
        (2, "2 workers and the scheduler tcp://x:1", ("--workers", 2, "--scheduler", "tcp://x:1")),
        (3, "no Dask scheduler answers at nowhere: missing port", ("--scheduler", "nowhere")),
        (1, "no point to draw; 1,000,000,000 fps", ("--workers", 1, "--fps", 1e9)),
        (1, "fps=0 is not a frame rate", ("--workers", 1, "--fps", 0)),
    ]
    for expected, text, arguments in cases:
        code, _, err = run("explore", model, *arguments)
        assert (code, err.count("\n")) == (expected, 1) and err.startswith("error: ") and text in err, err
    assert tree(Path("mine")) == {"thesis.txt": b"precious"}


HELD_BACK = """
import signal
import time
from bnn2fpga.cli.main import main
from bnn2fpga.cli.progress import ExploreProgress

update = ExploreProgress.update

def wait_before_the_end(self, progress):
    update(self, progress)
    while progress.done == progress.total - 1:
        time.sleep(1)

ExploreProgress.update = wait_before_the_end
# as on a terminal: what a shell starts in the background does not hear Ctrl-C
signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""
"""The command line, which never gets to the last point by itself, however fast the workers are."""


@pytest.mark.slow
def test_ctrl_c_leaves_whole_points_and_the_run_goes_on(tmp_path: Path) -> None:
    rates = [part for rate in RATES for part in ("--fps", str(rate))]
    arguments = ["explore", str(small_onnx(tmp_path)), *rates]
    command = [sys.executable, "-c", "from bnn2fpga.cli.main import main; main()", *arguments]
    whole = [*command, "--workers", "1", "-o", "whole"]
    subprocess.run(whole, cwd=tmp_path, capture_output=True, check=True)
    stopped = subprocess.Popen(
        [sys.executable, "-c", HELD_BACK, *arguments, "--workers", "2", "-o", "stopped"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while len(list((tmp_path / "stopped/points").glob("*.json"))) < 3:
        assert stopped.poll() is None
        time.sleep(0.005)
    os.killpg(stopped.pid, signal.SIGINT)
    _, err = stopped.communicate(timeout=600)
    assert (stopped.returncode, err) == (130, "error: stopped; the same command goes on from here\n")
    left, expected = tree(tmp_path / "stopped"), tree(tmp_path / "whole")
    assert left.items() < expected.items(), "not in the middle of the run, or not whole"
    again = [*command, "--workers", "1", "-o", "stopped"]
    subprocess.run(again, cwd=tmp_path, capture_output=True, check=True)
    assert tree(tmp_path / "stopped") == expected
