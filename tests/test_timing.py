"""Schedules, FIFO depths and deadlocks: by hand, by a slow simulation, by RTL, and by C++ with threads."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from bnn2fpga.backends.hls import hls_project
from bnn2fpga.backends.rtl import rtl_project
from bnn2fpga.design.graph import Design, Node, Port
from bnn2fpga.design.integers import BIPOLAR, IntType
from bnn2fpga.design.layers import Copies, Sum, Top1, Windows, WindowSum
from bnn2fpga.design.stream import Stream
from bnn2fpga.errors import ToolError
from bnn2fpga.files.project import Project
from bnn2fpga.kernels import implement
from bnn2fpga.kernels.width_converter import WidthConverter
from bnn2fpga.planning.timing.fifo_depths import size_fifos
from bnn2fpga.planning.timing.fifo_needs import fifo_needs
from bnn2fpga.planning.timing.schedule import Passage, deadlock, earliest, interval, latency, latest
from bnn2fpga.planning.timing.steady_state import Steady
from bnn2fpga.simulation.cpp import CppSimulator
from bnn2fpga.simulation.rtl import RtlSimulator
from tests.kernels.designs import chain, connect, dot, forked, frames_for, outputs_of
from tests.random_designs import random_design
from tests.rtl.runtime import runtime
from tests.some_slow import some_slow


def residual(shortcut: int) -> Design:
    """Every pixel plus the 3x3 pixels around it, 4 x 4 x 1; output `shortcut` of the fork goes around."""
    source = Stream((4, 4, 1), IntType(4))
    window = implement(Windows(source, (3, 3), pads=(1, 1, 1, 1)))
    pool = implement(WindowSum(window.outputs[0], 9))
    nodes = [
        Node("parted", implement(Copies(source, 2))),
        Node("window", window),
        Node("pool", pool),
        Node("add", implement(Sum(pool.outputs[0], source))),
    ]
    ends = [
        (Port(None), Port("parted")),
        (Port("parted", 1 - shortcut), Port("window")),
        (Port("window"), Port("pool")),
        (Port("pool"), Port("add", 0)),
        (Port("parted", shortcut), Port("add", 1)),
        (Port("add"), Port(None)),
    ]
    return connect("residual", ends, nodes, source)


def depths(design: Design) -> list[int]:
    return [edge.depth for edge in design.edges]


def with_depth(design: Design, place: int, depth: int) -> Design:
    """Another depth for edge number `place`."""
    edge = replace(design.edges[place], depth=depth)
    return replace(design, edges=(*design.edges[:place], edge, *design.edges[place + 1 :]))


# by hand


def test_a_line_that_passes_a_beat_a_cycle() -> None:
    """A place is taken a cycle before the beat comes, and free a cycle after it has gone."""
    line = chain("line", Stream((6,), IntType(2)), *((n, lambda s, _: Copies(s, 1)) for n in ("a", "b")))
    first, middle, last = earliest(line).values()
    np.testing.assert_array_equal(first.written, np.arange(6))
    np.testing.assert_array_equal(first.read, np.arange(6) + 1)
    np.testing.assert_array_equal(middle.written, first.read + 1)
    np.testing.assert_array_equal(last.read, np.arange(6) + 5)
    assert latency(line) == 6 + 5
    assert depths(size_fifos(line)) == [2, 3, 3]


def test_units_of_one_pace_hold_each_others_vector() -> None:
    """12 sums of 8, then 8 sums of 12: 96 trips each, so neither may ever wait.

    The first reads in cycles 1 to 8 and makes sum k in cycle 8 k + 8. The second reads one a cycle; sum 11
    in 97, right after it is made, so sum k in 86 + k. When sum 9 comes in 80, none has been read: 10 lie
    there. No depth makes a line stop. The stages of the first come on top, and its trips begin when there is
    room for what comes out as many cycles later, so there is one more.
    """
    line = size_fifos(chain("two", Stream((8,), BIPOLAR), dot("first", 12, 0), dot("second", 8, 1)))
    assert interval(line) == 96
    stages = line.nodes[0].kernel.stages
    for schedule in (earliest(line), latest(line)):
        passage = schedule[line.edges[1]]
        np.testing.assert_array_equal(passage.written, 8 * np.arange(12) + 8 + stages)
        np.testing.assert_array_equal(passage.read, np.arange(12) + 86 + stages)
    assert depths(line) == [2, 11, 2]
    assert latency(line) == 86 + 96 + 1 + sum(node.kernel.stages for node in line.nodes)
    assert deadlock(with_depth(line, 1, 1)) == ()


def test_a_narrow_reader_is_fed_just_in_time() -> None:
    """A wide beat in four narrow ones, and then a label."""
    nodes = [
        Node("narrow", WidthConverter((8,), IntType(3), 4, 1)),
        Node("label", implement(Top1(Stream((8,), IntType(3))))),
    ]
    ends = [(Port(None), Port("narrow")), (Port("narrow"), Port("label")), (Port("label"), Port(None))]
    line = connect("line", ends, nodes, Stream((8,), IntType(3), 4))
    into, between, out = (latest(line)[edge] for edge in line.edges)
    assert (into.written.tolist(), into.read.tolist()) == ([0, 4], [1, 5])
    assert (between.written.tolist(), between.read.tolist()) == (list(range(3, 11)), list(range(4, 12)))
    assert (out.written.tolist(), out.read.tolist()) == ([13], [14])
    assert latency(line) == 15
    assert depths(size_fifos(line)) == [2, 4, 2]


@pytest.mark.parametrize(("shortcut", "least"), [(1, 11), (0, 12)])
def test_the_shortcut_around_a_window(shortcut: int, least: int) -> None:
    """The window reads 8 pixels, and 4 more while it sends the first 4 of 144 taps: 152 trips, no waiting.

    It reads the next 4 pixels from its trip 44 on. By then 16 have passed the fork, and the adder, which
    takes one every 9 cycles and whose first one comes 14 cycles and 5 stages after the window's trip 8, has
    taken 3. Without time: the first sum needs 12 pixels in the window. If the fork writes the window's
    first, it need not get rid of the 12th on the shortcut. The window, of three stages, a beat a cycle, has
    places for three beats on their way, one that is read and one that is free a cycle later; the fork, of
    one stage, for one on its way.
    """
    design = size_fifos(residual(shortcut))
    assert interval(design) == 152
    assert latency(design) == 2 + 152 + 3 + sum(node.kernel.stages for node in design.nodes)
    assert depths(design) == [2, 3, 5, 2, 13, 2]
    assert deadlock(design) == deadlock(with_depth(design, 4, least)) == ()
    stuck = with_depth(design, 4, least - 1)
    assert deadlock(stuck) == (stuck.edges[0], stuck.edges[4])


def test_occupancy_counts_the_frames_before() -> None:
    """A beat takes its room up to the cycle in which it is read; a frame every 4 cycles."""

    def most(written: list[int], read: list[int]) -> int:
        return Passage(np.array(written), np.array(read)).occupancy(4)

    assert most([0], [1]) == 1
    assert most([0], [4]) == 2
    assert most([0], [8]) == 3
    assert most([0], [9]) == 3
    assert most([0, 1, 2, 3], [1, 2, 3, 4]) == 2
    assert most([0, 3], [4, 7]) == 3
    assert most([-3, -2], [1, 4]) == 3


def test_a_shortcut_says_which_branch_it_waits_for() -> None:
    needs = fifo_needs(size_fifos(residual(1)))
    assert needs[4].path == ("parted", "window", "pool", "add")
    assert needs[4].reason == "waits for parted → window → pool → add"
    assert [need.reason for need in needs if need.depth == 2] == ["the smallest"] * 3
    assert all(need.most <= need.depth for need in needs)
    assert needs[2].reason == "rhythms differ"


def test_fifos_that_slow_a_design_down_have_no_schedule() -> None:
    design = size_fifos(residual(1))
    assert Steady.of(design)
    assert fifo_needs(with_depth(design, 4, 11)) == ()
    steady = Steady.of(design)
    assert steady
    before = [cycles.copy() for cycles in steady.cycles]
    late = steady.shrink(4, 6)
    assert late[0] == "parted"
    assert steady.depths[4] == 13
    for was, now in zip(before, steady.cycles, strict=True):
        np.testing.assert_array_equal(was, now)


# against a slow simulation


@dataclass
class Process:
    """A kernel, an input or an output: the edges that each trip reads and writes."""

    reads: list[list[int]]
    writes: list[list[int]]
    release: int = 0
    """Cycles between the starts of two frames, at least."""
    stages: int = 0
    done: int = 0
    """Trips of all frames."""


def processes(design: Design, release: int) -> list[Process]:
    place = {edge: index for index, edge in enumerate(design.edges)}
    made = []
    for edge in design.inputs:
        beats = edge.stream.beats
        made.append(Process([[]] * beats, [[place[edge]]] * beats, release))
    for node in design.nodes:
        pattern, trips = node.kernel.pattern, range(node.kernel.cycles.interval)
        process = Process([[] for _ in trips], [[] for _ in trips], stages=node.kernel.stages)
        for lists, edges, ports in (
            (process.reads, design.incoming(node.name), pattern.reads),
            (process.writes, design.outgoing(node.name), pattern.writes),
        ):
            for edge, port in zip(edges, ports, strict=True):
                for trip in port.tolist():
                    lists[trip].append(place[edge])
        made.append(process)
    for edge in design.outputs:
        made.append(Process([[place[edge]]] * edge.stream.beats, [[]] * edge.stream.beats))
    return made


def simulate(
    design: Design, frames: int, release: int
) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """The cycles in which every beat of every frame (frames, beats) is written to and read from each edge.

    Every cycle every process does its next trip, if all it reads is there; no FIFO is ever full.
    """
    written: list[list[int]] = [[] for _ in design.edges]
    read: list[list[int]] = [[] for _ in design.edges]
    running, cycle = processes(design, release), 0
    while any(process.done < frames * len(process.reads) for process in running):
        held = [
            len(w) > len(r) and w[len(r)] + 1 + (edge.depth > 64) <= cycle
            for edge, w, r in zip(design.edges, written, read, strict=True)
        ]
        for process in running:
            frame, trip = divmod(process.done, len(process.reads))
            if frame == frames or cycle < frame * process.release:
                continue
            if all(held[e] for e in process.reads[trip]):
                for e in process.reads[trip]:
                    read[e].append(cycle)
                for e in process.writes[trip]:
                    written[e].append(cycle + process.stages)
                process.done += 1
        cycle += 1
    return [
        (np.reshape(w, (frames, -1)), np.reshape(r, (frames, -1))) for w, r in zip(written, read, strict=True)
    ]


@pytest.mark.parametrize(
    "design",
    [
        residual(0),
        forked(),
        *(random_design(seed, 4, 2) for seed in range(4)),
        random_design(3, 4, attention=True),
    ],
    ids=lambda d: d.name,
)
def test_planned_fifos_cost_no_cycle(design: Design, tmp_path: Path) -> None:
    """Frames come out of the RTL as if no FIFO were ever full, one every interval, at the latency told."""
    design, frames = size_fifos(design), 8
    pace = interval(design)
    start = (frames - 1) * pace
    first = earliest(design)
    for edge, (written, read) in zip(design.edges, simulate(design, frames, pace), strict=True):
        np.testing.assert_array_equal(written[-1], first[edge].written + start)
        np.testing.assert_array_equal(read[-1], first[edge].read + start)
    rtl_project(design).write(tmp_path)
    simulator = RtlSimulator.compile(design, tmp_path, tmp_path / "model", optimize=0, runtime=runtime())
    inputs = frames_for(design, frames, 0)
    single = simulator.run(inputs[:1], beats=True)
    assert max(int(beats[-1]) for beats in single.beats) - single.start + 1 == latency(design)
    hurried = simulator.run(inputs, beats=True)
    for edge, found, beats in zip(design.outputs, hurried.outputs, hurried.beats, strict=True):
        np.testing.assert_array_equal(found, outputs_of(design, inputs)[design.outputs.index(edge)])
        clocks = beats.astype(np.int64).reshape(frames, -1) - hurried.start
        assert np.all(clocks <= first[edge].read + pace * np.arange(frames)[:, None])
        assert clocks[-1, -1] - clocks[-2, -1] == pace


@pytest.mark.parametrize("seed", range(8))
def test_the_steady_schedule_keeps_to_the_patterns_and_the_depths(seed: int) -> None:
    design = random_design(seed)
    steady, pace, first = Steady.of(design), interval(design), earliest(design)
    assert steady
    schedule = steady.passages
    for edge in design.edges:
        passage = schedule[edge]
        assert np.all(passage.written < passage.read)
        assert np.all(passage.written >= first[edge].written)
        frames = pace * np.arange(8)[:, None]
        written, read = (np.sort((c + frames).ravel()) for c in (passage.written, passage.read))
        held = [(written <= now).sum() - (read < now).sum() for now in written]
        assert max(held) <= edge.depth
    for node in design.nodes:
        pattern, stages = node.kernel.pattern, node.kernel.stages
        passing = [
            *zip(pattern.reads, (schedule[e].read for e in design.incoming(node.name)), strict=True),
            *zip(
                pattern.writes,
                (schedule[e].written - stages for e in design.outgoing(node.name)),
                strict=True,
            ),
        ]
        trips, cycles = (np.concatenate([pair[which] for pair in passing]) for which in (0, 1))
        places, where = np.unique(trips, return_index=True)
        np.testing.assert_array_equal(cycles, cycles[where][np.searchsorted(places, trips)])
        assert np.all(np.diff(cycles[where]) >= np.diff(places))
        assert cycles.max() - cycles.min() <= pace - node.kernel.cycles.interval + trips.max() - trips.min()


# against C++ with a thread for every kernel

DEPTHS = """\
#include <cstdio>
#include <cstdlib>

// FIFO number `place`'s depth, from the file, so that one executable runs with any depths.
static unsigned depth_of(unsigned place) {
    std::FILE *file = std::fopen("%s", "r");
    unsigned depth = 0;
    for (unsigned line = 0; line <= place; ++line)
        if (std::fscanf(file, "%%u", &depth) != 1) std::abort();
    std::fclose(file);
    return depth;
}
"""


def least_depth(design: Design, place: int) -> int:
    """The smallest depth of edge `place` with which no deadlock is; the planned one has none."""
    low, high = 1, design.edges[place].depth
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if deadlock(with_depth(design, place, middle)) else (low, middle)
    return low


def check_threads(design: Design, folder: Path, seed: int) -> int:
    """C++ passes at the planned depths, and stops where one of them is a beat less than the model needs.

    Says in how many FIFOs that was tried.
    """
    files = dict(hls_project(design, "xc7z020clg400-1", 100).files)
    parts = re.split(r"\.bound\(\d+\);", files["gcc/threads.cpp"])
    assert len(parts) == len(design.edges) + 1
    calls = (f".bound(depth_of({place}));{part}" for place, part in enumerate(parts[1:]))
    files["gcc/threads.cpp"] = DEPTHS % (folder / "depths") + "".join([parts[0], *calls])
    Project(files).write_new(folder)
    simulator = CppSimulator.compile(design, folder, folder / "threads", True, ["-O0"])
    frames = frames_for(design, 4, seed)

    def passes(some: Design) -> bool:
        (folder / "depths").write_text("\n".join(map(str, depths(some))))
        np.testing.assert_array_equal(simulator.run(frames).outputs[0], design.simulate(frames))
        return True

    assert deadlock(design) == ()
    assert passes(design)
    assert passes(with_depth(design, 0, 1))
    least = [least_depth(design, place) for place in range(len(design.edges))]
    tight = [place for place, depth in enumerate(least) if depth > 1]
    tried = np.random.default_rng(seed).permutation(tight)[:3].tolist()
    for place in tried:
        assert passes(with_depth(design, place, least[place]))
        small = with_depth(design, place, least[place] - 1)
        with pytest.raises(ToolError, match=r"deadlock: stream .* is (empty|full)"):
            passes(small)
        assert small.edges[place] in deadlock(small)
    return len(tried)


@some_slow("seed", (1, 8, 11, 15))
def test_the_model_tells_when_cpp_stops(seed: int, tmp_path: Path) -> None:
    assert check_threads(random_design(seed), tmp_path / "project", seed)


@some_slow("seed", (3, 4, 5))
def test_the_model_tells_when_attention_stops(seed: int, tmp_path: Path) -> None:
    """Queries wait for the last key; the FIFO that holds them, a beat too small, is named."""
    assert check_threads(random_design(seed, 4, attention=True), tmp_path / "project", seed)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 120))
def test_the_model_tells_when_more_cpp_stops(seed: int, tmp_path: Path) -> None:
    check_threads(random_design(seed), tmp_path / "project", seed)
