"""Networks of 2, 3 and 8 bit weights at every level: random weights, published shapes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.examples import EXAMPLES
from bnn2fpga import compile
from bnn2fpga.backends.rtl import rtl_project
from bnn2fpga.frontend.graph.streamline import random_input
from bnn2fpga.frontend.graph_reference import compute_graph
from bnn2fpga.planning.usage import resources
from bnn2fpga.simulation.rtl import RtlSimulator
from tests.networks.shared import run_cpp
from tests.rtl.runtime import runtime

FRAMES = 1000


@pytest.mark.parametrize(
    ("name", "fps", "clocked"),
    [
        ("KWS W3A3", 2_000, 2),
        ("cybersecurity W2A2", 20_000, 20),
        ("VGG W1A1, 8-bit ends", 2_000, 2),
        pytest.param("ResNet W2A2, 8-bit ends", 2_000, 2, marks=pytest.mark.long),
    ],
)
def test_network(name: str, fps: float, clocked: int, tmp_path: Path) -> None:
    """QONNX, numpy and C++ agree on the integers of all frames, the SystemVerilog on the first ones."""
    model = EXAMPLES[name].export()
    frames = random_input(model, FRAMES)
    design = compile(model, fps=fps, exact_sums=True)
    needed = resources(design)
    print(f"{name}: {needed}")
    assert needed.dsps == 0
    computed = compute_graph(model, design.host, frames, exact=True)
    integers = design.host.encode(frames)
    found = design.simulate(integers)
    if computed.integers is not None:
        np.testing.assert_array_equal(found.reshape(FRAMES, -1), computed.integers.reshape(FRAMES, -1))
    scores = design.run(frames)
    (expected,) = computed.outputs
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_array_equal(scores.argmax(1), expected.argmax(1))
    np.testing.assert_array_equal(run_cpp(design, integers[:100], tmp_path / "cpp"), found[:100])
    rtl_project(design).write(tmp_path)
    simulator = RtlSimulator.compile(design, tmp_path, tmp_path / "model", runtime=runtime())
    first = integers[:clocked].reshape(clocked, *design.inputs[0].stream.shape)
    np.testing.assert_array_equal(simulator.run(first).outputs[0], found[:clocked])
