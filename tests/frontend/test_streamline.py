"""Transformations are checked by execution; FINN's silent errors are caught by name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from brevitas.nn import QuantConv2d, QuantIdentity
from finn.transformation.qonnx.convert_qonnx_to_finn import ConvertQONNXtoFINN
from finn.transformation.streamline import Streamline
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.base import Transformation
from qonnx.transformation.bipolar_to_xnor import ConvertBipolarMatMulToXnorPopcount
from qonnx.transformation.composed import ComposedTransformation
from qonnx.transformation.infer_datatypes import InferDataTypes
from qonnx.transformation.lower_convs_to_matmul import LowerConvsToMatMul
from torch import nn

from bnn2fpga.errors import TransformError
from bnn2fpga.frontend import load, streamline
from bnn2fpga.frontend.streamline import random_input
from bnn2fpga.training.layers import BinaryWeightQuant, UnsignedActQuant, sign
from tests.models import SHAPE, small_net

FINN = (
    ConvertQONNXtoFINN(),
    Streamline(),
    LowerConvsToMatMul(),
    Streamline(),
    InferDataTypes(),
    ConvertBipolarMatMulToXnorPopcount(),
)


def binary_convs(padding: int) -> ModelWrapper:
    """Two binary convolutions behind one another, (1, 1, 6, 6) in."""
    torch.manual_seed(0)
    net = nn.Sequential(
        QuantIdentity(act_quant=UnsignedActQuant, bit_width=4, max_val=1.0),
        QuantConv2d(1, 8, 3, bias=False, weight_quant=BinaryWeightQuant),
        sign(),
        QuantConv2d(8, 8, 3, padding=padding, bias=False, weight_quant=BinaryWeightQuant),
    )
    return load(net, torch.zeros(1, *SHAPE))


class Negate(Transformation):  # type: ignore[misc]
    """Turns the first weights round."""

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        tensor = next(t for t in model.graph.initializer if len(t.dims) == 4)
        model.set_initializer(tensor.name, -model.get_initializer(tensor.name))
        return model, False


class Broken(Transformation):  # type: ignore[misc]
    """Fails."""

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        raise AssertionError("cannot do this\nat all")


def test_default_list_keeps_the_network_and_says_what_it_did() -> None:
    model = load(small_net(), torch.zeros(1, *SHAPE))
    nodes = len(model.graph.node)
    streamlined, applied = streamline(model)
    assert [one.name for one in applied][:2] == ["ExtractBiasFromConv", "GemmToMatMul"]
    assert all(one.deviation == 0 for one in applied)
    assert applied[0].nodes_before == nodes and applied[-1].nodes_after == len(streamlined.graph.node)


def test_finns_way_works_without_padding() -> None:
    streamlined, applied = streamline(binary_convs(padding=0), FINN)
    assert "XnorPopcountMatMul" in {node.op_type for node in streamlined.graph.node}
    assert len(applied) == len(FINN)


def test_finns_silent_error_with_zero_padding_is_caught() -> None:
    """0 in a bipolar image becomes the bit 0, which is -1: FINN's step goes on without a word."""
    step = ComposedTransformation([*FINN[2:]])
    with pytest.raises(TransformError) as error:
        streamline(binary_convs(padding=1), (*FINN[:2], step))
    assert str(error.value).startswith(
        "ComposedTransformation changes what the graph computes (16 of 16 random"
    )
    assert str(error.value).endswith("of the output's range); leave it out of the list")


def test_step_by_step_the_graph_that_cannot_be_executed_is_named() -> None:
    with pytest.raises(
        TransformError, match=r"^LowerConvsToMatMul fails on this graph: .* must allow pad_val"
    ):
        streamline(binary_convs(padding=1), FINN)


def test_made_up_error_is_caught() -> None:
    with pytest.raises(
        TransformError, match=r"Negate changes what the graph computes \(\d+ of 16 random frames"
    ):
        streamline(binary_convs(padding=0), (Negate(),))


def test_failing_transformation_is_named() -> None:
    with pytest.raises(TransformError) as error:
        streamline(binary_convs(padding=0), (Broken(),))
    assert str(error.value) == "Broken fails on this graph: at all; leave it out of the list"


def test_random_input_is_of_the_graphs_shape_and_repeats() -> None:
    model = binary_convs(padding=0)
    frames = random_input(model, 6)
    assert frames.shape == (6, *SHAPE) and frames.dtype == np.float32
    np.testing.assert_array_equal(frames, random_input(model, 6))
    assert frames[::2].min() >= 0 and frames[::2].max() <= 1 < frames[1::2].max()
