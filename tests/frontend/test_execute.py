"""Running a graph on many frames."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import numpy as np
from onnx import TensorProto, helper
from qonnx.core.modelwrapper import ModelWrapper

from bnn2fpga.frontend.graph.execute import Graph

NODES, FEATURES, FRAMES = 40, 4096, 512


def test_tensors_are_dropped_when_they_have_been_read() -> None:
    """x rounded 40 times, and the seventh and the last added: a few batches in memory, not 40 of each.

    The nodes run in numpy, as memory that onnxruntime asks for is not counted.
    """
    names = ["x", *(f"rounded{place}" for place in range(NODES))]
    kind = {"domain": "qonnx.custom_op.general", "signed": 1, "narrow": 0, "rounding_mode": "ROUND"}
    nodes = [helper.make_node("Quant", [a, "scale", "zero", "bits"], [b], **kind) for a, b in pairwise(names)]
    nodes.append(helper.make_node("Add", [names[7], names[-1]], ["y"]))
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, FEATURES]) for name in "xy")
    constants = [
        helper.make_tensor(name, TensorProto.FLOAT, [], [value])
        for name, value in (("scale", 1.0), ("zero", 0.0), ("bits", 16.0))
    ]
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("qonnx.custom_op.general", 1)]
    model = helper.make_model(helper.make_graph(nodes, "sums", [x], [y], constants), opset_imports=opsets)
    graph = Graph(ModelWrapper(model))
    frames = np.arange(FRAMES, dtype=np.float32)[:, None].repeat(FEATURES, 1)
    graph.execute(frames[:2])
    tracemalloc.start()
    found = graph.execute(frames, ["rounded9"], batch=64)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(found["y"], 2 * frames)
    np.testing.assert_array_equal(found["rounded9"], frames)
    print(f"{peak / frames.nbytes:.1f} times the input")
    assert peak < 6 * frames.nbytes
