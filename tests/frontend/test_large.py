"""Large images: what `explain` executes of them is bounded, so that it answers in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from onnx import helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.infer_shapes import InferShapes
from torch import nn

from bnn2fpga.frontend import explain, load, streamline
from bnn2fpga.frontend.graph.channels_first import CHANNELS_LAST
from bnn2fpga.frontend.graph.execute import Graph
from bnn2fpga.frontend.graph.streamline import FEW_FRAMES
from tests.frontend.nets import conv, norm, sign
from tests.frontend.test_patterns import seeded

SIDE = 224


def channels_last(model: ModelWrapper) -> ModelWrapper:
    """Layers in qonnx' channels-last domain, written by hand: qonnx' own conversion takes minutes here."""
    nodes = []
    for node in list(model.graph.node):
        if node.op_type not in ("Conv", "MaxPool", "BatchNormalization"):
            nodes.append(node)
            continue
        source, result = node.input[0], node.output[0]
        nodes.append(helper.make_node("Transpose", [source], [f"{source}_last"], perm=[0, 2, 3, 1]))
        node.input[0], node.output[0], node.domain = f"{source}_last", f"{result}_raw", CHANNELS_LAST
        if node.op_type == "Conv":
            weight = node.input[1]
            nodes.append(helper.make_node("Transpose", [weight], [f"{weight}_last"], perm=[0, 2, 3, 1]))
            node.input[1] = f"{weight}_last"
        nodes.append(node)
        nodes.append(helper.make_node("Transpose", [f"{result}_raw"], [result], perm=[0, 3, 1, 2]))
    kept = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:], model.graph.value_info[:]
    model.graph.node.extend(kept)
    model.model.opset_import.append(helper.make_opsetid(CHANNELS_LAST, 1))
    return model


@pytest.mark.parametrize("last", [False, True])
def test_large_images_are_executed_a_few_times(last: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few frames, once for every transformation that changes something; shapes never of a foreign domain."""

    def net() -> nn.Module:
        return nn.Sequential(
            sign(),
            conv(3, 4, stride=2),
            norm(4),
            sign(),
            nn.MaxPool2d(2),
            conv(4, 3),
            nn.AdaptiveAvgPool2d(1),
        )

    model = load(seeded(net, 0).eval(), np.zeros((1, 3, SIDE, SIDE), np.float32))
    executed: list[int] = []
    execute, infer = Graph.execute, InferShapes.apply

    def counted(self: Graph, x: Any, tensors: Sequence[str] = (), batch: int = 256) -> Any:
        executed.append(len(x))
        return execute(self, x, tensors, batch)

    def watched(self: InferShapes, one: ModelWrapper) -> Any:
        assert all(node.domain != CHANNELS_LAST for node in one.graph.node)
        return infer(self, one)

    given = channels_last(model) if last else model
    monkeypatch.setattr(Graph, "execute", counted)
    monkeypatch.setattr(InferShapes, "apply", watched)
    streamlined, applied = streamline(load(given))
    explained = explain(streamlined, transformations=applied)
    assert explained.refusal is None
    assert set(executed) == {FEW_FRAMES} and len(executed) <= 1 + sum(one.changed for one in applied)
