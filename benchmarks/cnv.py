"""BNN-PYNQ's CNV in Brevitas with random weights: 6 convolutions and 3 dense layers, W1A1, 8-bit input."""

from __future__ import annotations

import torch
from brevitas.nn import QuantConv2d, QuantIdentity, QuantLinear
from torch import nn

from bnn2fpga.training.layers import BinaryWeightQuant, Sign, UnsignedActQuant


def cnv_module(seed: int = 0) -> nn.Module:
    """(N, 3, 32, 32) in [0, 1) to scores (N, 10), in evaluation mode, batch norms with random statistics."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = [QuantIdentity(act_quant=UnsignedActQuant, bit_width=8)]
    channels = 3
    for outputs, pool in ((64, False), (64, True), (128, False), (128, True), (256, False), (256, False)):
        layers += [
            QuantConv2d(channels, outputs, 3, bias=False, weight_quant=BinaryWeightQuant),
            _norm(nn.BatchNorm2d(outputs)),
            Sign(),
        ]
        layers += [nn.MaxPool2d(2)] if pool else []
        channels = outputs
    layers.append(nn.Flatten())
    for outputs in (512, 512):
        layers += [
            QuantLinear(channels, outputs, bias=False, weight_quant=BinaryWeightQuant),
            _norm(nn.BatchNorm1d(outputs)),
            Sign(),
        ]
        channels = outputs
    layers.append(QuantLinear(channels, 10, bias=False, weight_quant=BinaryWeightQuant))
    return nn.Sequential(*layers).eval()


def _norm(layer: nn.BatchNorm1d | nn.BatchNorm2d) -> nn.Module:
    """Statistics of the size that binary sums have, so that the signs behind it are balanced."""
    layer.running_mean = torch.randn(layer.num_features) * 5
    layer.running_var = torch.rand(layer.num_features) * 100 + 50
    layer.weight.data = torch.randn(layer.num_features)
    layer.bias.data = torch.randn(layer.num_features)
    return layer
