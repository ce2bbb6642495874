"""The SystemVerilog of whole networks, clock by clock in Verilator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bnn2fpga import Design, compile
from bnn2fpga.errors import ToolError
from bnn2fpga.ir import Ints
from bnn2fpga.passes.fifos import GRANULE
from bnn2fpga.rtl.project import rtl_project
from bnn2fpga.steady import Steady
from bnn2fpga.timing import interval, latency
from bnn2fpga.tools.verilator import RtlSimulator
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


@pytest.mark.parametrize("network", [tfc, lfc, cnv, fast_cnv, fracnet])
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


@pytest.mark.slow
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
    planned = clocks(design, frames, tmp_path / "planned")
    assert planned is not None
    deep = [place for place, edge in enumerate(design.edges) if edge.depth > GRANULE]
    assert deep
    for place in deep:
        edge = design.edges[place]
        half = edge.depth // 2
        edges = (*design.edges[:place], replace(edge, depth=half), *design.edges[place + 1 :])
        found = clocks(replace(design, edges=edges), frames, tmp_path / str(place))
        late = None if found is None else int((found - planned).max())
        outcome = "stops" if late is None else f"{late} clocks later"
        print(f"{edge.source}: {half} of {edge.depth} beats: {outcome}")
        if late is not None and late <= 0:
            steady, source = Steady.of(design), design[str(edge.source.node)]
            assert steady
            assert steady.shrink(place, half), "the plan is deeper than it says"
            assert not steady.shrink(place, half + source.stages)


def clocks(design: Design, frames: Ints, folder: Path) -> Ints | None:
    """Those in which the beats leave the design, or None if it stops."""
    rtl_project(design).write(folder)
    simulator = RtlSimulator.compile(design, folder, folder / "model", runtime=runtime())
    try:
        result = simulator.run(frames, beats=True)
    except ToolError as stopped:
        assert "nothing moved" in str(stopped)
        return None
    return result.beats[0].astype(np.int64) - result.start
