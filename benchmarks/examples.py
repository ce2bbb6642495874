"""Example networks of FINN and Brevitas, exported here with random weights at their published shapes.

Trained weights are not part of Brevitas. Batch norms and learned scales have seen random frames, so that
activations take all their values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from brevitas import nn as qnn
from brevitas.quant import Int8WeightPerChannelFloat, Int8WeightPerTensorFloat
from brevitas_examples.bnn_pynq.models import model_with_cfg
from brevitas_examples.bnn_pynq.models.CNV import CNV
from brevitas_examples.bnn_pynq.models.common import CommonActQuant, CommonWeightQuant
from brevitas_examples.bnn_pynq.models.resnet import QuantBasicBlock
from brevitas_examples.bnn_pynq.models.tensor_norm import TensorNorm
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from torch import nn

from bnn2fpga.frontend import load

LEARNED_FROM = 64
"""Frames."""


@dataclass(frozen=True)
class Example:
    """A network that takes frames of `shape`, made by `make`.

    `bipolar` frames hold -1 and 1, others numbers from 0 to 1; the former are annotated in the graph.
    """

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    bipolar: bool = False

    def module(self) -> nn.Module:
        """The network in evaluation mode, with what it has learned from random frames."""
        torch.manual_seed(0)
        net = self.make()
        for layer in net.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.momentum = None  # statistics of all frames instead of mostly the initial ones
        frames = torch.rand(LEARNED_FROM, *self.shape)
        with torch.no_grad():
            net.train()((frames * 2 - 1).sign() if self.bipolar else frames)
        return net.eval()

    def export(self) -> ModelWrapper:
        """As QONNX."""
        model = load(self.module(), torch.zeros(1, *self.shape))
        if self.bipolar:
            model.set_tensor_datatype(model.graph.input[0].name, DataType["BIPOLAR"])
        return model


def from_bnn_pynq(name: str) -> nn.Module:
    """A network of Brevitas' bnn_pynq examples."""
    return model_with_cfg(name, pretrained=False)[0]


def dense(bits: int, *sizes: int) -> list[nn.Module]:
    """Dense layers with weights and activations of `bits`; scores at the end."""
    weight = Int8WeightPerTensorFloat.let(bit_width=bits)
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes[:-1]):
        linear = qnn.QuantLinear(inputs, outputs, bias=True, weight_quant=weight)
        layers += [linear, nn.BatchNorm1d(outputs), qnn.QuantReLU(bit_width=bits)]
    return [*layers, qnn.QuantLinear(sizes[-2], sizes[-1], bias=True, weight_quant=weight)]


def kws() -> nn.Module:
    """FINN's keyword spotting: 10 x 49 coefficients, 12 words."""
    return nn.Sequential(qnn.QuantIdentity(bit_width=8), *dense(3, 490, 256, 256, 256, 12))


class FromBipolar(nn.Module):
    """-1 and 1 as 0 and 1."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x + torch.tensor([1.0])) / 2.0


def cybersecurity() -> nn.Module:
    """FINN's network intrusion detector: 600 bits, one sign."""
    sign = qnn.QuantIdentity(act_quant=CommonActQuant, bit_width=1)
    return nn.Sequential(FromBipolar(), *dense(2, 600, 64, 64, 64, 1), sign)


def traffic_signs() -> nn.Module:
    """CNV with the 43 classes of GTSRB."""
    return CNV(num_classes=43, weight_bit_width=1, act_bit_width=1, in_bit_width=8, in_ch=3)


def _binary(layer: Any, inputs: int, outputs: int, **shape: int) -> list[nn.Module]:
    """A layer of W1A1 as bnn_pynq's networks have them."""
    norm = nn.BatchNorm1d if layer is qnn.QuantLinear else nn.BatchNorm2d
    made = layer(inputs, outputs, **shape, bias=False, weight_quant=CommonWeightQuant, weight_bit_width=1)
    return [made, norm(outputs), qnn.QuantIdentity(act_quant=CommonActQuant, bit_width=1)]


def masks() -> nn.Module:
    """Like BinaryCoP's n-CNV: how a mask is worn on a picture of 72 x 72, four classes."""
    layers: list[nn.Module] = [qnn.QuantIdentity(bit_width=8)]
    channels = 3
    for outputs, pooled in ((16, False), (16, True), (32, False), (32, True), (64, False), (64, True)):
        layers += _binary(qnn.QuantConv2d, channels, outputs, kernel_size=3)
        layers += [nn.MaxPool2d(2)] if pooled else []
        channels = outputs
    layers += [nn.Flatten(), *_binary(qnn.QuantLinear, 1600, 128), *_binary(qnn.QuantLinear, 128, 128)]
    last = qnn.QuantLinear(128, 4, bias=False, weight_quant=CommonWeightQuant, weight_bit_width=1)
    return nn.Sequential(*layers, last, TensorNorm())


def radio() -> nn.Module:
    """VGG10 on RadioML 2018: 1,024 samples of two channels, 24 modulations, W4A4."""
    weight = Int8WeightPerTensorFloat.let(bit_width=4)
    layers: list[nn.Module] = [qnn.QuantIdentity(bit_width=8)]
    for inputs in (2, *[64] * 6):
        conv = qnn.QuantConv1d(inputs, 64, 3, padding=1, bias=False, weight_quant=weight)
        layers += [conv, nn.BatchNorm1d(64), qnn.QuantReLU(bit_width=4), nn.MaxPool1d(2)]
    return nn.Sequential(*layers, nn.Flatten(), *dense(4, 512, 128, 128, 24))


def _convolution(inputs: int, outputs: int, bits: int, act: int, **shape: int) -> list[nn.Module]:
    """A convolution with weights of `bits`, one scale a channel, batch norm and `act` bits."""
    weight = Int8WeightPerChannelFloat.let(bit_width=bits)
    conv = qnn.QuantConv2d(inputs, outputs, **shape, bias=False, weight_quant=weight)
    return [conv, nn.BatchNorm2d(outputs), qnn.QuantReLU(bit_width=act)]


def mobilenet() -> nn.Module:
    """Like MobileNet v1 at 32 x 32: depthwise separable W4A4, first and last layer of 8-bit weights."""
    layers: list[nn.Module] = [qnn.QuantIdentity(bit_width=8)]
    layers += _convolution(3, 16, 8, 4, kernel_size=3, padding=1)
    channels = 16
    for outputs, stride in ((32, 1), (64, 2), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1)):
        own = {"kernel_size": 3, "padding": 1, "stride": stride, "groups": channels}
        layers += _convolution(channels, channels, 4, 4, **own)
        layers += _convolution(channels, outputs, 4, 4, kernel_size=1)
        channels = outputs
    last = qnn.QuantLinear(channels, 10, bias=True, weight_quant=Int8WeightPerTensorFloat)
    return nn.Sequential(*layers, nn.AvgPool2d(4), nn.Flatten(), last)


def resnet_8_bit_ends() -> nn.Module:
    """A small ResNet of W2A2 whose first and last layer have 8-bit weights: the usual recipe."""
    layers: list[nn.Module] = [qnn.QuantIdentity(bit_width=8)]
    layers += _convolution(3, 16, 8, 2, kernel_size=3, padding=1)[:2]
    shared, channels = qnn.QuantReLU(bit_width=2, return_quant_tensor=True), 16
    layers.append(shared)
    for outputs, stride in ((16, 1), (32, 2), (64, 2)):
        block = QuantBasicBlock(
            channels, outputs, stride, shared_quant_act=shared, act_bit_width=2, weight_bit_width=2
        )
        layers.append(block)
        shared, channels = block.relu_out, outputs
    last = qnn.QuantLinear(channels, 10, bias=True, weight_quant=Int8WeightPerTensorFloat)
    return nn.Sequential(*layers, nn.AvgPool2d(8), nn.Flatten(), last)


def vgg_8_bit_ends() -> nn.Module:
    """Convolutions and a dense layer, binary but for the ends, whose weights have 8 bits."""
    layers: list[nn.Module] = [qnn.QuantIdentity(bit_width=8)]
    first = qnn.QuantConv2d(3, 32, 3, bias=False, weight_quant=Int8WeightPerChannelFloat)
    layers += [first, nn.BatchNorm2d(32), qnn.QuantIdentity(act_quant=CommonActQuant, bit_width=1)]
    for inputs, outputs in ((32, 32), (32, 64)):
        binary = _binary(qnn.QuantConv2d, inputs, outputs, kernel_size=3, padding=1)
        layers += [binary[0], nn.MaxPool2d(2), *binary[1:]]
    last = qnn.QuantLinear(3136, 10, bias=True, weight_quant=Int8WeightPerTensorFloat)
    return nn.Sequential(*layers, nn.Flatten(), last)


DIGIT, PHOTOGRAPH = (1, 28, 28), (3, 32, 32)
BNN_PYNQ = {
    f"{kind.upper()} W{weights}A{activations}": Example(
        partial(from_bnn_pynq, f"{kind}_{weights}w{activations}a"),
        PHOTOGRAPH if kind == "cnv" else DIGIT,
    )
    for kind in ("tfc", "sfc", "lfc", "cnv")
    for weights, activations in ((1, 1), (1, 2), (2, 2))
    if (kind, weights) != ("lfc", 2)
}
"""Those that Brevitas has."""
EXAMPLES = BNN_PYNQ | {
    "KWS W3A3": Example(kws, (490,)),
    "cybersecurity W2A2": Example(cybersecurity, (600,), bipolar=True),
    "CNV GTSRB W1A1": Example(traffic_signs, PHOTOGRAPH),
    "mask CNV W1A1": Example(masks, (3, 72, 72)),
    "RadioML VGG10 W4A4": Example(radio, (2, 1024)),
    "MobileNet W4A4": Example(mobilenet, PHOTOGRAPH),
    "ResNet W2A2, 8-bit ends": Example(resnet_8_bit_ends, PHOTOGRAPH),
    "VGG W1A1, 8-bit ends": Example(vgg_8_bit_ends, PHOTOGRAPH),
    "ResNet-18 W4A4": Example(partial(from_bnn_pynq, "resnet18_4w4a"), PHOTOGRAPH),
}
