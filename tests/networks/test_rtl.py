"""The SystemVerilog of whole networks, clock by clock in Verilator."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bnn2fpga import Design, compile
from bnn2fpga.ir import Ints
from bnn2fpga.rtl.project import rtl_project
from bnn2fpga.timing import interval, latency
from bnn2fpga.tools.verilator import RtlSimulator
from tests.networks.shared import shared_arrays, shared_file


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


def fracnet() -> tuple[Design, Ints]:
    """5 photographs."""
    design = compile(shared_file("models/fracnet_cifar10.npz"), fps=2000)
    return design, design.host.encode(shared_arrays("data/cifar10_lossless.npz")["test_image"][:5])


@pytest.mark.parametrize("network", [tfc, lfc, cnv, fracnet])
def test_network(
    network: Callable[[], tuple[Design, Ints]], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Every output integer is numpy's; interval and latency are as planned, to the clock."""
    design, integers = network()
    frames = integers.reshape(len(integers), *design.inputs[0].stream.shape)
    rtl_project(design).write(tmp_path)
    result = RtlSimulator.compile(design, tmp_path, tmp_path / "model").run(frames, beats=True)
    np.testing.assert_array_equal(result.outputs[0], design.simulate(integers))
    ends = result.beats[0].reshape(len(frames), -1)[:, -1].astype(np.int64)
    intervals, first = np.diff(ends), int(ends[0]) - result.start + 1
    record_property("interval", int(intervals[-1]))
    record_property("latency", first)
    print(f"{design.name}: interval {intervals[-1]}, latency {first}; {result.cycles} clocks")
    assert intervals[-1] == interval(design)
    assert first == latency(design)
