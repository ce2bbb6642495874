"""Transformations are taken from qonnx and FINN and trusted with nothing."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import onnx
import pytest
import torch
from finn.transformation.qonnx.convert_qonnx_to_finn import ConvertQONNXtoFINN
from finn.transformation.streamline import Streamline
from finn.transformation.streamline.absorb import AbsorbTransposeIntoMultiThreshold
from onnx import helper
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.base import Transformation
from qonnx.transformation.bipolar_to_xnor import ConvertBipolarMatMulToXnorPopcount
from qonnx.transformation.infer_datatypes import InferDataTypes
from qonnx.transformation.infer_shapes import InferShapes
from qonnx.transformation.insert_topk import InsertTopK
from qonnx.transformation.lower_convs_to_matmul import LowerConvsToMatMul
from qonnx.transformation.remove import RemoveIdentityOps
from torch import nn

from bnn2fpga.errors import TransformError
from bnn2fpga.frontend import DEFAULT_TRANSFORMATIONS, load, streamline
from bnn2fpga.frontend.graph.execute import Graph
from bnn2fpga.frontend.graph.split_gemm import SplitGemm
from bnn2fpga.frontend.graph.streamline import random_input
from tests.frontend.nets import Affine, Call, affine, conv, dense, images, norm, sign
from tests.frontend.test_patterns import SHAPE, biased, body, classes, seeded

FINN: tuple[Transformation, ...] = (
    Streamline(),
    InferDataTypes(),
    LowerConvsToMatMul(),
    AbsorbTransposeIntoMultiThreshold(),
    ConvertBipolarMatMulToXnorPopcount(),
    Streamline(),
)
"""What FINN's step_streamline does to a binary convolutional network."""


class FinnStep(Transformation):
    """All of `FINN` at once, as FINN's own builder applies it: nothing is executed in between."""

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        for transformation in FINN:
            model = model.transform(transformation)
        return model, False


class NegateConstant(Transformation):
    """Turns the sign of the network's last bias."""

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        bias = model.get_nodes_by_op_type("Add")[-1].input[1]
        model.set_initializer(bias, -model.get_initializer(bias))
        return model, False


class Raise(Transformation):
    """Fails, with two lines to say."""

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        raise RuntimeError("first line\nthe reason")


class RaiseNothing(Transformation):
    """Fails without a word."""

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        raise AssertionError


class BreakGraph(Transformation):
    """Leaves a graph that cannot be executed."""

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        model.graph.node[-1].input[0] = "nowhere"
        return model, False


class ScaleOutput(Transformation):
    """Scales the last bias by a number near 1."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        bias = model.get_nodes_by_op_type("Add")[-1].input[1]
        model.set_initializer(bias, model.get_initializer(bias) * np.float32(self.factor))
        return model, False


def tfc() -> nn.Module:
    """Dense, binary, batch norms, as FINN's TFC; Gemm nodes from the biases."""
    hidden = [layer for _ in range(2) for layer in (dense(24, 24), norm(24, nn.BatchNorm1d), sign())]
    return nn.Sequential(
        nn.Flatten(), sign(), dense(112, 24), sign(), *hidden, biased(dense(24, 5, bias=True))
    )


def binary_net(padding: int) -> nn.Module:
    """Nothing but +-1 and affine maps, so that FINN makes XNOR-popcounts of it."""
    first = [sign(), conv(2, 4, padding=padding), affine(4, False), sign()]
    return classes(nn.Sequential(*first, conv(4, 4, padding=padding), affine(4, False), sign()))


def conv_net() -> nn.Module:
    last = [sign(), biased(conv(4, 5, bias=True, padding=1)), sign()]
    return classes(body(affine(4), nn.MaxPool2d(2), *last), Affine)


def exported(make: object) -> ModelWrapper:
    return load(seeded(make, 0), np.zeros((1, *SHAPE)))  # type: ignore[arg-type]


def run(model: ModelWrapper) -> np.ndarray:
    return Graph(model).execute(images(3, 50, *SHAPE))[Graph(model).output]


@pytest.mark.parametrize("make", [tfc, conv_net, lambda: binary_net(1)])
def test_default_list_leaves_the_network_as_it_is(make: object) -> None:
    model = exported(make)
    untouched = model.model.SerializeToString()
    changed, applied = streamline(model)
    assert model.model.SerializeToString() == untouched
    np.testing.assert_allclose(run(changed), run(model), atol=1e-6)
    assert [a.name for a in applied] == [type(t).__name__ for t in DEFAULT_TRANSFORMATIONS]
    assert applied[0].nodes_before == len(model.graph.node)
    assert applied[-1].nodes_after == len(changed.graph.node)
    assert all(a.nodes_after == b.nodes_before for a, b in pairwise(applied))
    assert all(0 <= a.deviation < 1e-6 for a in applied)
    assert not {node.op_type for node in changed.graph.node} & {"Gemm", "Sub"}
    assert all(len(node.input) == 2 for node in changed.get_nodes_by_op_type("Conv"))


@pytest.mark.parametrize("steps", [FINN, (FinnStep(),)])
def test_finns_transformations_plug_in(steps: Sequence[Transformation]) -> None:
    """No false alarm: without padding FINN is exact, and its own nodes are executed as they want."""
    model = exported(lambda: binary_net(0))
    changed, applied = streamline(model, (ConvertQONNXtoFINN(), *steps))
    assert "XnorPopcountMatMul" in {node.op_type for node in changed.graph.node}
    assert all(a.deviation < 1e-6 for a in applied)


def test_finns_silent_error_on_zero_padding_is_caught() -> None:
    """The 0 of the border becomes -1 in FINN's XNOR-popcount; FINN's builder does not notice."""
    with pytest.raises(
        TransformError,
        match=r"^FinnStep changes what the graph computes \(16 of 16 random frames differ, by up to "
        r"[\d.]+ of the output's range\); leave it out of the list$",
    ):
        streamline(exported(lambda: binary_net(1)), (ConvertQONNXtoFINN(), FinnStep()))


def test_finns_zero_padding_step_by_step() -> None:
    """Executed in between, it already fails where bipolar windows are padded with 0."""
    with pytest.raises(
        TransformError, match=r"^LowerConvsToMatMul fails .* dtype must allow pad_val; .*; leave"
    ):
        streamline(exported(lambda: binary_net(1)), (ConvertQONNXtoFINN(), *FINN))


@pytest.mark.parametrize(
    ("transformation", "text"),
    [
        (NegateConstant(), "NegateConstant changes what the graph computes (16 of 16 random frames differ,"),
        (InsertTopK(k=1), "InsertTopK changes what the graph computes (16 of 16 random frames differ, by up"),
        (ScaleOutput(1.01), "ScaleOutput changes what the graph computes"),
        (Raise(), "Raise fails on this graph: the reason; leave it out of the list"),
        (RaiseNothing(), "RaiseNothing fails on this graph: AssertionError; leave it out of the list"),
        (BreakGraph(), "BreakGraph fails on this graph: "),
    ],
)
def test_caught(transformation: Transformation, text: str) -> None:
    model = exported(conv_net)
    with pytest.raises(TransformError) as caught:
        streamline(model, (*DEFAULT_TRANSFORMATIONS, transformation))
    assert str(caught.value).startswith(text) and "\n" not in str(caught.value)
    assert run(streamline(model)[0]).shape == (50, 6)


def test_new_nodes_get_names_and_changes_are_told() -> None:
    """ExtractBiasFromConv adds nodes without a name; refusals could not say where they are."""
    net = body(affine(4), sign(), conv(4, 3, bias=True)).eval()
    model, applied = streamline(load(net, np.zeros((1, *SHAPE), np.float32)))
    names = [node.name for node in model.graph.node]
    assert all(names) and len(set(names)) == len(names)
    assert [one.name for one in applied if one.changed] == ["ExtractBiasFromConv"]


def test_float_rounding_is_no_change() -> None:
    _, applied = streamline(exported(conv_net), (*DEFAULT_TRANSFORMATIONS, ScaleOutput(1 + 1e-6)))
    assert 0 < applied[-1].deviation < 1e-5


def test_a_bias_that_decides_the_sign_of_zero_is_missed() -> None:
    net = seeded(lambda: body(affine(4), sign(), conv(4, 3)), 0)
    net[2].gain.data, net[2].bias.data = torch.ones(1, 4, 1, 1), torch.full((1, 4, 1, 1), -1e-6)
    with pytest.raises(TransformError, match="RemoveIdentityOps changes what the graph computes"):
        streamline(load(net, np.zeros((1, *SHAPE))), (RemoveIdentityOps(),))


def test_random_input_is_of_the_annotated_type() -> None:
    model = exported(lambda: nn.Sequential(sign(), conv(2, 4)))
    floats = random_input(model, 40)
    assert floats.shape == (40, *SHAPE) and floats.dtype == np.float32
    assert floats[::2].min() >= 0 and floats[::2].max() <= 1 and floats[1::2].min() < -1
    np.testing.assert_array_equal(random_input(model, 40), floats)
    for kind, values in {"BIPOLAR": {-1, 1}, "TERNARY": {-1, 0, 1}, "UINT2": {0, 1, 2, 3}}.items():
        model.set_tensor_datatype(model.graph.input[0].name, DataType[kind])
        assert set(np.unique(random_input(model, 40))) == values


@pytest.mark.parametrize("transposed", [(0, 0), (0, 1), (1, 0), (1, 1)])
@pytest.mark.parametrize(("alpha", "beta", "bias"), [(1.0, 1.0, True), (0.5, 2.0, True), (2.0, 1.0, False)])
def test_gemm_is_split(transposed: tuple[int, int], alpha: float, beta: float, bias: bool) -> None:
    random = np.random.default_rng(0)
    shapes = [(4, 5)[:: 1 - 2 * transposed[0]], (5, 3)[:: 1 - 2 * transposed[1]], (3,)]
    arrays = [random.normal(size=shape).astype(np.float32) for shape in shapes]
    names = ["a", "b", "c"][: 2 + bias]
    options = {"transA": transposed[0], "transB": transposed[1], "alpha": alpha, "beta": beta}
    node = helper.make_node("Gemm", names, ["y"], name="Gemm_0", **options)
    graph = helper.make_graph(
        [node],
        "gemm",
        [helper.make_tensor_value_info("a", onnx.TensorProto.FLOAT, shapes[0])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, (4, 3))],
        [
            onnx.numpy_helper.from_array(array, name)
            for name, array in zip(names[1:], arrays[1:], strict=False)
        ],
    )
    model = ModelWrapper(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]))
    split = model.transform(SplitGemm()).transform(InferShapes())
    assert "Gemm" not in {one.op_type for one in split.graph.node}
    expected, found = (execute_onnx(one, {"a": arrays[0]})["y"] for one in (model, split))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_allowzero_without_a_zero_changes_nothing() -> None:
    """Torch's newer exporter sets it on every Reshape; batches are run all the same."""
    net = seeded(lambda: nn.Sequential(sign(), Call(lambda x: x.reshape(-1, 112)), dense(112, 4)), 0)
    plain = load(net, torch.zeros(1, *SHAPE))
    zero = ModelWrapper(plain.model, make_deepcopy=True)
    (reshape,) = zero.get_nodes_by_op_type("Reshape")
    zero.set_initializer(reshape.input[1], np.array([1, 112]))
    reshape.attribute.append(helper.make_attribute("allowzero", 1))
    frames = images(0, 7, *SHAPE)
    found = [Graph(one).execute(frames)[Graph(one).output] for one in (plain, load(zero))]
    assert np.array_equal(*found)
