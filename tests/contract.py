"""The contract of every kernel; a kernel's test subclasses `KernelContract` and names its layers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bnn2fpga.backends.hls import hls_project
from bnn2fpga.backends.rtl import rtl_project
from bnn2fpga.design.graph import Design, Edge, Node, Port
from bnn2fpga.design.host import IntegerHost
from bnn2fpga.design.integers import BIPOLAR, TERNARY, Ints, IntType
from bnn2fpga.design.kernel import Kernel
from bnn2fpga.design.layers import Layer
from bnn2fpga.design.packed_frames import PackedFrames, is_narrow
from bnn2fpga.design.packed_run import through
from bnn2fpga.design.step_functions import Steps
from bnn2fpga.design.stream import Stream
from bnn2fpga.errors import FoldingError
from bnn2fpga.files.project import Project
from bnn2fpga.kernels import implement
from bnn2fpga.kernels.stream_fork import StreamFork
from bnn2fpga.packed.library import load_library
from bnn2fpga.simulation.cpp import CppSimulator
from bnn2fpga.simulation.rtl import RtlSimulator
from tests.headers import short_run
from tests.rtl.runtime import runtime
from tests.some_slow import some_slow

FOLDINGS = 6
FRAMES = 3
BATCH = 24

RECORDER = """\
#pragma once
#include <cstdio>
#include <vector>

// One kernel's loop trips of all frames, and (trip, port) of every beat in the order in which they pass.
struct Recorder {
    const char *file;
    std::vector<unsigned> beats;
    unsigned trips = 0;
    explicit Recorder(const char *name) : file(name) {}
    ~Recorder() {
        beats.push_back(trips);
        std::FILE *out = std::fopen(file, "wb");
        std::fwrite(beats.data(), sizeof(unsigned), beats.size(), out);
        std::fclose(out);
    }
};

template <typename STREAM>
struct Recorded {
    STREAM &stream;
    Recorder &recorder;
    unsigned port;
    void note() {
        recorder.beats.push_back(recorder.trips - 1);
        recorder.beats.push_back(port);
    }
    auto read() -> decltype(stream.read()) {
        note();
        return stream.read();
    }
    template <typename BEAT>
    void write(const BEAT &beat) {
        note();
        stream.write(beat);
    }
};

template <typename STREAM>
Recorded<STREAM> recorded(STREAM &stream, Recorder &recorder, unsigned port) {
    return Recorded<STREAM>{stream, recorder, port};
}
"""


def random_values(kind: IntType, shape: tuple[int, ...], seed: int) -> Ints:
    """Values of `kind`, its extremes included more often than by chance."""
    random = np.random.default_rng(seed)
    levels = random.integers(0, kind.levels, shape)
    extreme = random.random(shape) < 0.1
    levels = np.where(extreme, random.integers(0, 2, shape) * (kind.levels - 1), levels)
    return (kind.low + kind.step * levels).astype(kind.dtype)


def side_by_side(kernels: list[Kernel]) -> Design:
    """A design of unconnected kernels, each with its own ports to the outside."""
    nodes = tuple(Node(f"k{index}", kernel) for index, kernel in enumerate(kernels))
    edges: list[Edge] = []
    ins, outs = count(), count()
    for node in nodes:
        for index, stream in enumerate(node.kernel.inputs):
            edges.append(Edge(Port(None, next(ins)), Port(node.name, index), stream))
        for index, stream in enumerate(node.kernel.outputs):
            # all that is on its way when a beat is written every clock
            depth = node.kernel.stages + 2
            edges.append(Edge(Port(node.name, index), Port(None, next(outs)), stream, depth=depth))
    return Design("contract", nodes, tuple(edges), IntegerHost(()))


def with_recorders(design: Design, folder: Path) -> Project:
    """The design's project, with every kernel's trips and the trip of every beat recorded.

    The testbench only adds up the trips of all kernels. What is recorded lies in the files NAME.trips
    of `folder` when the executable ends.
    """
    files = dict(hls_project(design, "xc7z020clg400-1", 100).files) | {"recorder.hpp": RECORDER}
    for node in design.nodes:
        path, recorder = f"kernels/{node.name}.hpp", f"{node.name}_recorder"

        def through(use: re.Match[str], node: Node = node, recorder: str = recorder) -> str:
            port = int(use[2]) + (use[1] == "out") * len(node.kernel.inputs)
            return f"recorded({use[1]}{use[2]}, {recorder}, {port}).{use[3]}("

        text = files[path]
        assert text.count("BNN2FPGA_TRIP;") == 1
        text = text.replace("BNN2FPGA_TRIP;", f"BNN2FPGA_TRIP; ++{recorder}.trips;")
        text = re.sub(r"\b(in|out)(\d+)\.(read|write)\(", through, text)
        declared = f'static Recorder {recorder}("{folder}/{node.name}.trips");\n'
        files[path] = f'#include "recorder.hpp"\n{declared}{text}'
    return Project(files)


def check_trips(kernel: Kernel, recorded: npt.NDArray[np.uint32], frames: int) -> None:
    """The trips of the kernel's C++ are those of its `cycles` and, beat by beat, of its `pattern`."""
    trips = kernel.cycles.interval
    assert recorded[-1] == frames * trips, f"trips of {kernel}"
    ports = kernel.pattern.reads + kernel.pattern.writes
    beats = [(trip, port) for port, passing in enumerate(ports) for trip in passing.tolist()]
    # reads before writes, port after port
    expected = np.array(
        [(frame * trips + trip, port) for frame in range(frames) for trip, port in sorted(beats)]
    )
    np.testing.assert_array_equal(recorded[:-1].reshape(-1, 2), expected, f"pattern of {kernel}")


def run_cpp(design: Design, *inputs: Ints) -> tuple[Ints, ...]:
    """The outputs of the design's C++; every kernel's trips are checked against its declared ones."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        with_recorders(design, folder).write(folder)
        result = CppSimulator.compile(design, folder, folder / "run", flags=short_run()).run(*inputs)
        for node in design.nodes:
            recorded = np.fromfile(folder / f"{node.name}.trips", np.uint32)
            check_trips(node.kernel, recorded, len(inputs[0]))
    assert result.trips == len(inputs[0]) * sum(node.kernel.cycles.interval for node in design.nodes)
    return result.outputs


def run_packed(
    kernel: Kernel, arrays: Sequence[Ints], as_planes: bool, processor: str = "native"
) -> list[Ints]:
    """The outputs of the packed engine, whose inputs are kept as integers or as bit planes."""
    library = load_library(processor)
    assert library is not None
    frames = [
        PackedFrames.of(library, stream.type, array)
        for stream, array in zip(kernel.inputs, arrays, strict=True)
    ]
    if as_planes:
        frames = [replace(one, kept=one.planes) if is_narrow(one.type) else one for one in frames]
    return [
        one.viewed(stream.shape).arrays
        for one, stream in zip(through(kernel, *frames), kernel.outputs, strict=True)
    ]


FIFO_CLOCKS = 1
"""From a beat's way into a shallow FIFO to its way out."""
PACER = np.zeros((FRAMES, 1), np.int64)
"""Input of the first kernel, see `compile_rtl`."""


def compile_rtl(kernels: list[Kernel], folder: Path) -> RtlSimulator:
    """The Verilator model of `kernels` side by side.

    TLAST passes by the first one, which is a fork of one-beat frames, so that it delays no output.
    """
    pacer = StreamFork((1,), IntType(1), 1)
    design = side_by_side([pacer, *kernels])
    rtl_project(design).write(folder)
    return RtlSimulator.compile(design, folder, folder / "model", optimize=0, runtime=runtime())


def int_types(most_bits: int = 8) -> st.SearchStrategy[IntType]:
    """Bipolar, ternary and plain types of 1 to `most_bits` bits."""
    plain = st.builds(IntType, st.integers(1, most_bits), st.booleans())
    return st.one_of(st.just(BIPOLAR), st.just(TERNARY), plain)


def random_steps(low: int, high: int, channels: int, output: IntType, shape: str, seed: int) -> Steps:
    """Step functions of the integers `low` to `high`, "rising", "falling" or "mixed" ups and downs.

    Some channels are flat or jump by several levels. Steps are at the ends, anywhere, and in the middle,
    where random sums gather.
    """
    random = np.random.default_rng(seed)
    middle, spread = (low + high) // 2, 1 + int((high - low) ** 0.5)
    central = random.integers(middle - spread, middle + spread + 1, 5)
    points = np.unique([low, low + 1, high, *random.integers(low, high + 1, 3), *central])
    points = points[(points >= low) & (points <= high)]
    levels = random.integers(0, output.levels, (len(points), channels))
    if shape != "mixed":
        levels = np.sort(levels, axis=0)[:: 1 if shape == "rising" else -1]
    if channels > 2:
        levels[:, 0] = levels[0, 0]
    return Steps.read(levels, points, output)


PARTS = 3
"""Of the cases; the first one is always tested."""
in_parts = some_slow("part", range(PARTS))


def part_of(cases: list[tuple[Kernel, int]], part: int) -> list[tuple[Kernel, int]]:
    """At random, so that each part has of every layer and of all foldings; a case is in one of them."""
    order = np.random.default_rng(0).permutation(len(cases))
    return [cases[place] for place in sorted(order[part::PARTS].tolist())]


class KernelContract:
    """Declared shapes, ranges and cycles hold, and C++ equals numpy, over layers and foldings."""

    layers: st.SearchStrategy[Any]
    """The layers of hypothesis; `always` come on top of them."""
    always: tuple[Any, ...] = ()
    examples = 4
    foldings_each = 4
    """Foldings of one kernel."""

    def variants(self, layer: Layer) -> Iterator[Kernel]:
        """The kernels to test for one layer; by default those of `implement`."""
        yield implement(layer)

    def choose(self, kernel: Kernel, seed: int) -> list[Kernel]:
        """Up to `foldings_each` foldings of `kernel`: the smallest, the largest, others between."""
        every = list(kernel.foldings())
        random = np.random.default_rng(seed)
        between = random.permutation(np.arange(1, len(every) - 1))[: self.foldings_each - 2]
        return [every[place] for place in sorted({0, len(every) - 1, *between.tolist()})]

    @in_parts
    def test_contract(self, part: int) -> None:
        cases = self.collected()
        seen = {str(kernel.inputs + kernel.outputs) for kernel, _ in cases}
        assert len(seen) >= FOLDINGS, "the contract saw too few foldings"
        chosen = part_of(cases, part)
        for at in range(0, len(chosen), BATCH):
            self.check_cases(chosen[at : at + BATCH])

    @in_parts
    def test_rtl(self, part: int) -> None:
        chosen = part_of(self.collected(), part)
        for at in range(0, len(chosen), BATCH):
            self.check_rtl(chosen[at : at + BATCH])

    def test_packed(self) -> None:
        """The packed engine makes the same integers, of integers and of bit planes."""
        for kernel, seed in self.collected():
            arrays = self.inputs_of(kernel, seed)
            for as_planes in (False, True):
                found = run_packed(kernel, arrays, as_planes)
                for want, have in zip(kernel.compute(*arrays), found, strict=True):
                    np.testing.assert_array_equal(have, want, err_msg=f"packed {kernel}, planes: {as_planes}")
                    assert have.dtype == want.dtype

    def collected(self) -> list[tuple[Kernel, int]]:
        """Every kernel to test, with the seed of its inputs."""
        return list(_collected(type(self)))

    def collect(self) -> list[tuple[Kernel, int]]:
        """Makes them anew."""
        cases = [case for layer in self.always for case in self.cases(layer, 0)]

        @settings(
            max_examples=self.examples,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
            database=None,
            phases=(Phase.explicit, Phase.generate),
        )
        @given(self.layers, st.integers(0, 2**31))
        def collect(layer: Layer, seed: int) -> None:
            cases.extend(self.cases(layer, seed))

        collect()
        return cases

    def inputs_of(self, kernel: Kernel, seed: int) -> list[Ints]:
        """Random frames for every input port."""
        return [random_values(s.type, (FRAMES, *s.shape), seed) for s in kernel.inputs]

    def cases(self, layer: Layer, seed: int) -> list[tuple[Kernel, int]]:
        """The chosen foldings of every variant, each with the seed of its inputs."""
        return [(f, seed) for kernel in self.variants(layer) for f in self.choose(kernel, seed)]

    def check_cases(self, cases: list[tuple[Kernel, int]]) -> None:
        """Compiles all `cases` at once, since g++ takes more than a second for the headers alone."""
        inputs: list[Ints] = []
        expected: list[tuple[Kernel, Ints]] = []
        for kernel, seed in cases:
            arrays = self.inputs_of(kernel, seed)
            results = kernel.compute(*arrays)
            assert len(results) == len(kernel.outputs)
            for stream, result in zip(kernel.outputs, results, strict=True):
                assert result.shape == (FRAMES, *stream.shape)
                stream.type.check(result, f"output of {kernel}")
            inputs += arrays
            expected += [(kernel, result) for result in results]
            assert kernel.cycles.fill == kernel.pattern.writes[0][0] + 1 <= kernel.cycles.interval
            beats = [stream.beats for stream in kernel.inputs + kernel.outputs]
            assert kernel.cycles.interval >= max(beats), "a beat takes a cycle"
            assert kernel.resources.dsps == 0
            assert min(kernel.resources.luts, kernel.resources.flipflops) > 0
        found = run_cpp(side_by_side([kernel for kernel, _ in cases]), *inputs)
        for (kernel, want), have in zip(expected, found, strict=True):
            np.testing.assert_array_equal(have, want, err_msg=f"C++ of {kernel}")

    def check_rtl(self, cases: list[tuple[Kernel, int]]) -> None:
        """The SystemVerilog makes the same integers, at the clocks that `pattern` and `stages` tell.

        Again with gaps in every input and back-pressure on every output.
        """
        inputs: list[Ints] = []
        expected: list[tuple[Kernel, Ints, Ints]] = []
        for kernel, seed in cases:
            arrays = self.inputs_of(kernel, seed)
            inputs += arrays
            for result, trips in zip(kernel.compute(*arrays), kernel.pattern.writes, strict=True):
                expected.append((kernel, result, trips))
        with TemporaryDirectory() as name:
            simulator = compile_rtl([kernel for kernel, _ in cases], Path(name))
            smooth = simulator.run(PACER, *inputs, beats=True)
            rough = simulator.run(PACER, *inputs, seed=1, gaps=0.3, holds=0.3)
        for place, (kernel, want, trips) in enumerate(expected, start=1):
            for result in (smooth, rough):
                np.testing.assert_array_equal(result.outputs[place], want, err_msg=f"RTL of {kernel}")
            frames = np.arange(FRAMES)[:, None] * kernel.cycles.interval
            first = smooth.start + FIFO_CLOCKS + kernel.stages + FIFO_CLOCKS
            clocks = (first + frames + trips).ravel()
            np.testing.assert_array_equal(smooth.beats[place], clocks, err_msg=f"clocks of {kernel}")

    def test_illegal_folding(self) -> None:
        @settings(max_examples=3, deadline=None, derandomize=True, database=None)
        @given(self.layers)
        def check(layer: Layer) -> None:
            for kernel in self.variants(layer):
                for field, legal in kernel.folding.items():
                    if isinstance(legal, str):
                        with pytest.raises(FoldingError, match=f"{field}='nowhere'; legal: "):
                            replace(kernel, **{field: "nowhere"})
                        continue
                    for value in (7919, 0, -1):
                        with pytest.raises(FoldingError, match=f"{field}={value} does not divide"):
                            replace(kernel, **{field: value})

        check()

    def test_foldings_are_this_kernel_folded(self) -> None:
        @settings(max_examples=3, deadline=None, derandomize=True, database=None)
        @given(self.layers)
        def check(layer: Layer) -> None:
            for kernel in self.variants(layer):
                foldings = [tuple(folded.folding.items()) for folded in kernel.foldings()]
                assert len(set(foldings)) == len(foldings)
                # what memory is left to its size may be either
                numbers = [{n: value for n, value in one if not isinstance(value, str)} for one in foldings]
                assert {n: v for n, v in kernel.folding.items() if not isinstance(v, str)} in numbers
                for folded in kernel.foldings():
                    assert max(stream.bits for stream in folded.inputs + folded.outputs) <= 4096
                    for field in ("shape", "type"):
                        for before, after in zip(
                            kernel.inputs + kernel.outputs, folded.inputs + folded.outputs, strict=True
                        ):
                            assert getattr(before, field) == getattr(after, field)

        check()


@cache
def _collected(kind: type[KernelContract]) -> tuple[tuple[Kernel, int], ...]:
    """Once a process of tests: many look at all kernels."""
    return tuple(kind().collect())


__all__ = ["FRAMES", "KernelContract", "Stream", "int_types", "random_steps", "random_values", "run_cpp"]
