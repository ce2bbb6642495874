"""The SystemVerilog of whole networks, clock by clock in Verilator."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from bnn2fpga import Design, compile
from bnn2fpga.backends.rtl import rtl_project
from bnn2fpga.circuits.memory import LUT_DEPTH
from bnn2fpga.design.integers import Ints
from bnn2fpga.errors import ToolError
from bnn2fpga.files.project import Project
from bnn2fpga.planning.timing.fifo_depths import GRANULE
from bnn2fpga.planning.timing.schedule import interval, latency
from bnn2fpga.planning.timing.steady_state import Steady
from bnn2fpga.simulation.rtl import RtlSimulator
from tests.networks.shared import shared_arrays, shared_file
from tests.rtl.runtime import runtime


def tfc() -> tuple[Design, Ints]:
    """1,000 digits."""
    design = compile(shared_file("models/TFC_1W1A.onnx"), fps=100_000)
    images = shared_arrays("data/mnist.npz")["test_image"][:1000]
    return design, design.host.encode((images / 255).astype(np.float32)[:, None])


def lfc() -> tuple[Design, Ints]:
    """50 digits."""
    design = compile(shared_file("models/bnnpynq_lfcW1A1.npz"), fps=100_000)
    return design, design.host.encode(shared_arrays("data/mnist.npz")["test_image"][:50])


def cnv() -> tuple[Design, Ints]:
    """10 photographs."""
    design = compile(shared_file("models/bnnpynq_cnvW1A1.npz"), fps=3000)
    return design, design.host.encode(shared_arrays("data/cifar10_lossless.npz")["test_image"][:10])


def fast_cnv() -> tuple[Design, Ints]:
    """20 photographs; whole windows in front of the first layers."""
    design = compile(shared_file("models/bnnpynq_cnvW1A1.npz"), fps=30_000)
    assert design["conv0_window"].folding["taps"] == design["conv1_window"].folding["taps"] == 9
    return design, design.host.encode(shared_arrays("data/cifar10_lossless.npz")["test_image"][:20])


def fracnet() -> tuple[Design, Ints]:
    """5 photographs."""
    design = compile(shared_file("models/fracnet_cifar10.npz"), fps=2000)
    return design, design.host.encode(shared_arrays("data/cifar10_lossless.npz")["test_image"][:5])


@pytest.mark.parametrize(
    "network",
    [
        tfc,
        *(pytest.param(one, marks=pytest.mark.slow) for one in (lfc, cnv, fracnet)),
        pytest.param(fast_cnv, marks=pytest.mark.long),
    ],
)
def test_network(
    network: Callable[[], tuple[Design, Ints]], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Every output integer is numpy's; interval and latency are as planned, to the clock."""
    design, integers = network()
    frames = integers.reshape(len(integers), *design.inputs[0].stream.shape)
    rtl_project(design).write(tmp_path)
    simulator = RtlSimulator.compile(design, tmp_path, tmp_path / "model", runtime=runtime())
    result = simulator.run(frames, beats=True)
    np.testing.assert_array_equal(result.outputs[0], design.simulate(integers))
    ends = result.beats[0].reshape(len(frames), -1)[:, -1].astype(np.int64)
    intervals, first = np.diff(ends), int(ends[0]) - result.start + 1
    record_property("interval", int(intervals[-1]))
    record_property("latency", first)
    print(f"{design.name}: interval {intervals[-1]}, latency {first}; {result.cycles} clocks")
    assert intervals[-1] == interval(design)
    assert first == latency(design)


@pytest.mark.long
@pytest.mark.parametrize("network", [cnv, fracnet])
def test_half_of_any_deep_fifo_is_too_little(
    network: Callable[[], tuple[Design, Ints]], tmp_path: Path
) -> None:
    """Frames leave later, or stop, with half of any FIFO that takes more than the smallest memory.

    Or the model says why not: beats also wait in the registers of the kernel that writes, which C++ and so
    the plan do not count on, and with those the half is enough.
    """
    design, integers = network()
    frames = integers[:4].reshape(4, *design.inputs[0].stream.shape)
    halving = Halving(design, tmp_path)
    planned = clocks(halving.simulator, frames)
    assert planned is not None
    deep = [place for place, edge in enumerate(design.edges) if edge.depth > GRANULE]
    assert deep
    for place in deep:
        edge = design.edges[place]
        half = edge.depth // 2
        found = clocks(halving.halved(place), frames)
        late = None if found is None else int((found - planned).max())
        outcome = "stops" if late is None else f"{late} clocks later"
        print(f"{edge.source}: {half} of {edge.depth} beats: {outcome}")
        if late is not None and late <= 0:
            steady, source = Steady.of(design), design[str(edge.source.node)]
            assert steady
            assert steady.shrink(place, half), "the plan is deeper than it says"
            assert not steady.shrink(place, half + source.stages)


LIMIT = """
            int chosen = -1, file;
            initial begin
                file = $fopen("halved", "r");
                if (file != 0 && $fscanf(file, "%d", chosen) == 1) $fclose(file);
            end
            wire [BITS:0] most = chosen == INDEX ? DEPTH / 2 : DEPTH;
"""


class Halving:
    """One compiled model whose file `halved` names the FIFO that says earlier that it is full.

    Compiling takes a minute for FracNet, running 4 s. Where half as many words lie in another kind of
    memory, which takes another number of clocks, the design is compiled with them.
    """

    def __init__(self, design: Design, folder: Path) -> None:
        self.design, self.folder = design, folder
        files = rtl_project(design).files
        fifo, top = "rtl/fifo_.sv", "rtl/top_.sv"
        text = files[fifo].replace("int DEPTH = 2", "int DEPTH = 2, parameter int INDEX = -2")
        text = text.replace("    // places that are taken", LIMIT + "    // places that are taken")
        text = text.replace("taken == DEPTH - 1", "taken == most - 1")
        assert "INDEX = -2" in text and "== INDEX" in text and "taken == most - 1" in text
        index = count()
        edges = re.sub(
            r"(?<=fifo_ #\().*(?=\) \w+fifo \()", lambda m: f"{m[0]}, .INDEX({next(index)})", files[top]
        )
        assert next(index) == len(design.edges)
        Project({**files, fifo: text, top: edges}).write(folder / "all")
        self.simulator = RtlSimulator.compile(design, folder / "all", folder / "model", runtime=runtime())

    def halved(self, place: int) -> RtlSimulator:
        """With half of that FIFO."""
        edge = self.design.edges[place]
        half = edge.depth // 2
        if half <= LUT_DEPTH < edge.depth:
            edges = (*self.design.edges[:place], replace(edge, depth=half), *self.design.edges[place + 1 :])
            design, folder = replace(self.design, edges=edges), self.folder / str(place)
            rtl_project(design).write(folder)
            return RtlSimulator.compile(design, folder, folder / "model", runtime=runtime())
        (self.simulator.sources / "halved").write_text(str(place))
        return self.simulator


def clocks(simulator: RtlSimulator, frames: Ints) -> Ints | None:
    """Those in which the beats leave the design, or None if it stops."""
    try:
        result = simulator.run(frames, beats=True)
    except ToolError as stopped:
        assert "nothing moved" in str(stopped)
        return None
    return result.beats[0].astype(np.int64) - result.start
