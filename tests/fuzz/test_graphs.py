"""Random networks: numpy gives what QONNX gives, or one line says why there is no integer design."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from qonnx.core.modelwrapper import ModelWrapper

from bnn2fpga.build.compiler import Options, Pipeline
from bnn2fpga.build.ladder import compare_outputs
from bnn2fpga.build.verify import random_frames
from bnn2fpga.errors import BuildError
from bnn2fpga.frontend.graph.execute import Graph
from tests.fuzz.graphs import ByNumber, graphs, random_graph


def check(model: onnx.ModelProto) -> str:
    """`refused`, `equal`, or `constant` where the outputs are the same for all frames."""
    pipeline = Pipeline(ModelWrapper(model), Options(name="random"))
    try:
        design = pipeline.lowered
    except BuildError as error:
        assert "\n" not in str(error)
        return "refused"
    frames = random_frames(pipeline, 16)
    graph = Graph(pipeline.loaded)
    expected = graph.execute(frames)[graph.output]
    assert compare_outputs("numpy", "QONNX", expected, design.run(frames)).ok
    return "equal" if np.ptp(expected, axis=0).any() else "constant"


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(graphs())
def test_a_random_network_is_exact_or_refused(model: onnx.ModelProto) -> None:
    check(model)


@pytest.mark.slow
def test_most_random_networks_are_built() -> None:
    found = [check(random_graph(ByNumber(number))) for number in range(150)]
    counts = {ending: found.count(ending) for ending in ("equal", "constant", "refused")}
    print(counts)
    assert counts["equal"] > counts["constant"] and counts["equal"] > len(found) / 3
