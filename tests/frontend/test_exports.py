"""What exporters other than Brevitas' QONNX one write: QuantizeLinear pairs, and channels last."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable

import numpy as np
import onnx
import pytest
import torch
from brevitas import nn as qnn
from brevitas.export import export_onnx_qcdq
from brevitas.quant import Int8WeightPerChannelFloat, Int8WeightPerTensorFloat, Int32Bias
from hypothesis import given, settings
from hypothesis import strategies as st
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.channels_last import ConvertToChannelsLastAndClean
from torch import nn

from bnn2fpga.errors import ModelError
from bnn2fpga.frontend import load, lower, streamline
from bnn2fpga.frontend.graph.execute import Graph
from tests.frontend.nets import affine, conv, dense, images, levels, norm, pixels, sign
from tests.frontend.test_patterns import FRAMES, assert_close, check_graph, seeded

SHAPE = (3, 6, 7)


def qcdq(net: nn.Module, opset: int = 13) -> ModelWrapper:
    """A Brevitas network as pairs of QuantizeLinear and DequantizeLinear."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        export_onnx_qcdq(net.eval(), torch.zeros(1, *SHAPE), file, opset_version=opset, dynamo=False)
    return ModelWrapper(onnx.load_from_string(file.getvalue()))


def quantized_conv(inputs: int, outputs: int, per_channel: bool, bias: bool) -> nn.Module:
    weight = Int8WeightPerChannelFloat if per_channel else Int8WeightPerTensorFloat
    return qnn.QuantConv2d(inputs, outputs, 3, bias=bias, weight_quant=weight, weight_bit_width=2)


def activation(bits: int) -> nn.Module:
    return qnn.QuantReLU(bit_width=bits)


@settings(max_examples=6, deadline=None)
@given(st.integers(1, 4), st.booleans(), st.booleans(), st.sampled_from([13, 16]), st.integers(0, 99))
def test_pairs_of_any_bits(bits: int, per_channel: bool, bias: bool, opset: int, seed: int) -> None:
    """Ternary weights with one scale or one a channel, activations of some bits, a float bias."""
    net = seeded(
        lambda: nn.Sequential(
            levels(6, signed=True), quantized_conv(3, 4, per_channel, bias), norm(4), activation(1 + bits),
            nn.MaxPool2d(2), nn.Flatten(), qnn.QuantLinear(16, 5, bias=False, weight_bit_width=2),
        ),
        seed,
    )  # fmt: skip
    frames = images(seed, FRAMES, *SHAPE)
    raw = load(qcdq(net, opset))
    assert any(node.op_type == "QuantizeLinear" for node in raw.graph.node)
    with torch.no_grad():
        assert_close(
            Graph(raw).execute(frames)[raw.graph.output[0].name], net(torch.from_numpy(frames)).numpy()
        )
    model = streamline(raw)[0]
    assert not any(
        "QuantizeLinear" in node.op_type or "DequantizeLinear" in node.op_type for node in model.graph.node
    )
    check_graph(raw, frames, seed, exact_sums=True, powers_of_two=False)


def test_a_bias_on_the_scale_of_its_products() -> None:
    """Brevitas knows its width only while the network runs."""
    torch.manual_seed(0)
    biased = qnn.QuantConv2d(3, 4, 3, bias=True, bias_quant=Int32Bias, weight_quant=Int8WeightPerTensorFloat)
    quantizer = qnn.QuantIdentity(bit_width=4, return_quant_tensor=True)
    model = load(nn.Sequential(quantizer, biased, sign()).eval(), torch.zeros(1, *SHAPE))
    check_graph(model, images(0, FRAMES, *SHAPE), 0, exact_sums=True, powers_of_two=False)


def test_a_quantizer_without_its_other_half_is_named() -> None:
    model = qcdq(seeded(lambda: nn.Sequential(levels(6), quantized_conv(3, 4, False, False)), 0))
    node = next(node for node in model.graph.node if node.op_type == "DequantizeLinear")
    model.set_initializer("other", np.float32(0.3))
    node.input[1] = "other"
    with pytest.raises(ModelError) as error:
        streamline(load(model))
    assert "DequantizeLinear has no QuantizeLinear of the same constant scale in front of it" in str(
        error.value
    )
    assert "\n" not in str(error.value)


CHANNELS_LAST: dict[str, Callable[[], nn.Module]] = {
    "convolutions": lambda: nn.Sequential(
        sign(), conv(3, 4, padding=1), norm(4), sign(), conv(4, 5, 2, stride=2), norm(5), sign()
    ),
    "a pool, a dense layer": lambda: nn.Sequential(
        pixels(), conv(3, 4), norm(4), levels(2), nn.MaxPool2d(2), nn.Flatten(), dense(16, 5)
    ),
    "a residual": lambda: Residual(),
    "depthwise": lambda: nn.Sequential(sign(), conv(3, 3, groups=3), norm(3), sign(), conv(3, 4, 1)),
}


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.body, self.head = conv(3, 4), conv(4, 4, padding=1), conv(4, 3)
        self.input, self.first, self.second, self.norm = pixels(), sign(), sign(), affine(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(self.input(x))
        return self.head(self.second(self.norm(x + self.body(self.first(x)))))


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("name", CHANNELS_LAST)
def test_channels_last(name: str, first: bool) -> None:
    """qonnx' own conversion, with the input as it was or channels last as well."""
    plain = load(seeded(CHANNELS_LAST[name], 0).eval(), np.zeros((1, *SHAPE), np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        last = plain.transform(ConvertToChannelsLastAndClean(make_input_channels_last=first))
    assert any(node.domain == "qonnx.custom_op.channels_last" for node in last.graph.node)
    frames = images(0, FRAMES, *SHAPE)
    wanted = Graph(plain).execute(frames)[plain.graph.output[0].name]
    design = lower(streamline(load(last))[0])
    found = design.run(frames.transpose(0, 2, 3, 1) if first else frames)
    assert_close(found.reshape(wanted.shape), wanted)
    kinds = [type(node.kernel).__name__ for node in design.nodes]
    assert kinds == [type(node.kernel).__name__ for node in lower(streamline(plain)[0]).nodes]
