"""Graphs of several inputs: those that nothing needs are left out, others refused with ways out that work."""

from __future__ import annotations

import io
import warnings

import numpy as np
import onnx
import pytest
import torch
from brevitas.export import export_qonnx
from onnx import TensorProto, helper
from qonnx.core.modelwrapper import ModelWrapper
from torch import nn

from bnn2fpga.errors import ModelError
from bnn2fpga.frontend import load
from tests.frontend.nets import affine, conv, dense, images, pixels, sign
from tests.frontend.test_patterns import FRAMES, check_exact, check_graph, seeded


def with_another_input(model: ModelWrapper) -> ModelWrapper:
    """A second input, and a node that reads it but leads nowhere."""
    model.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1, 3]))
    model.graph.node.insert(0, helper.make_node("Abs", ["mask"], ["nowhere"], "Idle"))
    return model


def net() -> nn.Module:
    return nn.Sequential(pixels(), conv(2, 4), affine(4), sign(), nn.Flatten(), dense(80, 3))


def test_an_unused_input_is_left_out() -> None:
    raw = load(with_another_input(load(seeded(net, 0), np.zeros((1, 2, 6, 7), np.float32))))
    assert len(raw.graph.input) == 1 and all(node.op_type != "Abs" for node in raw.graph.node)
    check_graph(raw, images(0, FRAMES, 2, 6, 7), 0)


def test_an_input_with_an_initializer_is_a_constant() -> None:
    model = load(seeded(net, 0), np.zeros((1, 2, 6, 7), np.float32))
    weight = model.graph.initializer[0]
    model.graph.input.append(helper.make_tensor_value_info(weight.name, weight.data_type, list(weight.dims)))
    check_graph(load(model), images(0, FRAMES, 2, 6, 7), 0)


class TwoImages(nn.Module):
    """The refused form: two images, and a vector."""

    def __init__(self) -> None:
        super().__init__()
        self.input, self.left, self.right, self.vector = pixels(), conv(2, 4), conv(3, 4), dense(5, 4)
        self.last, self.head = sign(), conv(4, 3, 1)

    def forward(self, x: torch.Tensor, y: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        return self.behind(self.input(x), self.input(y), self.input(z))

    def behind(self, x: torch.Tensor, y: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        return self.head(self.last(self.left(x) + self.right(y))).amax((2, 3)) + 0 * self.vector(z).sum()


class Joined(TwoImages):
    """The way out: one tensor of all channels; the vector as planes."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        x = self.input(x)
        summed = self.head(self.last(self.left(x[:, :2]) + self.right(x[:, 2:5]))).amax((2, 3))
        return torch.cat([summed, self.vector(x[:, 5:].amax((2, 3)))], 1)


def test_several_inputs_are_named_and_the_way_out_works() -> None:
    two = seeded(TwoImages, 0).eval()
    file = io.BytesIO()
    example = (torch.zeros(1, 2, 6, 7), torch.zeros(1, 3, 6, 7), torch.zeros(1, 5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        export_qonnx(two, args=example, export_path=file, input_names=["x", "y", "z"], dynamo=False)
    model = ModelWrapper(onnx.load_from_string(file.getvalue()))
    with pytest.raises(ModelError) as error:
        load(model)
    assert "3 inputs, x (1, 2, 6, 7) and y (1, 3, 6, 7) and z (1, 5)" in str(error.value)
    check_exact(seeded(Joined, 0), (10, 6, 7), 0)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_recurrent_layers_are_named(kind: str) -> None:
    value = helper.make_tensor_value_info
    node = helper.make_node(kind, ["x", "w", "r"], ["y"], "Memory", hidden_size=2)
    graph = helper.make_graph(
        [node], "g", [value("x", TensorProto.FLOAT, [1, 5, 3])], [value("y", TensorProto.FLOAT, None)]
    )
    model = ModelWrapper(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]))
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[kind]
    model.set_initializer("w", np.ones((1, gates * 2, 3), np.float32))
    model.set_initializer("r", np.ones((1, gates * 2, 2), np.float32))
    with pytest.raises(ModelError, match=f"Memory: {kind} is recurrent, .*; unroll it into dense layers"):
        load(model)
