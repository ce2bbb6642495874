"""Small Brevitas networks with random parameters, for tests of the whole path."""

from __future__ import annotations

import numpy as np
import torch
from brevitas import nn as qnn
from brevitas.core.bit_width import BitWidthImplType
from brevitas.core.quant import QuantType
from brevitas.core.restrict_val import FloatToIntImplType, RestrictValueType
from brevitas.core.scaling import ScalingImplType
from brevitas.core.zero_point import ZeroZeroPoint
from brevitas.inject import ExtendedInjector
from brevitas.inject.enum import ScalingPerOutputType
from brevitas.quant.solver import ActQuantSolver, WeightQuantSolver
from torch import nn


class _Const(ExtendedInjector):
    bit_width_impl_type = BitWidthImplType.CONST
    scaling_impl_type = ScalingImplType.CONST
    restrict_scaling_type = RestrictValueType.FP
    scaling_per_output_type = ScalingPerOutputType.TENSOR
    float_to_int_impl_type = FloatToIntImplType.ROUND
    zero_point_impl = ZeroZeroPoint
    narrow_range = False
    signed = True


class BinaryWeight(_Const, WeightQuantSolver):
    """±1."""

    quant_type = QuantType.BINARY
    bit_width = 1
    scaling_const = 1.0


class SmallBinaryWeight(BinaryWeight):
    """±0.1: a scale that float32 cannot add up exactly."""

    scaling_const = 0.1


class TwoBitWeight(_Const, WeightQuantSolver):
    """-1, 0, 1 times 1/2."""

    quant_type = QuantType.INT
    bit_width = 2
    narrow_range = True
    scaling_const = 0.5


class Sign(_Const, ActQuantSolver):
    """±1."""

    quant_type = QuantType.BINARY
    bit_width = 1
    min_val = -1.0
    max_val = 1.0


class FiveBitPixel(_Const, ActQuantSolver):
    """0..31 times 1/16."""

    quant_type = QuantType.INT
    bit_width = 5
    signed = False
    min_val = 0.0
    max_val = 31 / 16


class TwoBit(FiveBitPixel):
    """0..3 times 1/2."""

    bit_width = 2
    max_val = 1.5


class FourBit(_Const, ActQuantSolver):
    """-8..7 times 1/4."""

    quant_type = QuantType.INT
    bit_width = 4
    min_val = -2.0
    max_val = 1.75


class EightBit(FourBit):
    """-128..127 times 1/64."""

    bit_width = 8
    max_val = 127 / 64


class Affine(nn.Module):
    """Per-channel gain (of either sign) and bias."""

    def __init__(self, channels: int, negative: bool = True) -> None:
        super().__init__()
        gain = torch.rand(1, channels, 1, 1) + 0.5
        if negative:
            gain *= torch.where(torch.rand(1, channels, 1, 1) < 0.4, -1.0, 1.0)
        self.gain = nn.Parameter(gain)
        self.bias = nn.Parameter(torch.randn(1, channels, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.gain + self.bias


def prelu(channels: int) -> nn.PReLU:
    """Slopes of both signs."""
    layer = nn.PReLU(channels)
    layer.weight.data = torch.randn(channels) * 0.5
    return layer


def conv(
    inputs: int, outputs: int, kernel: int = 3, weight: type = BinaryWeight, **options: object
) -> qnn.QuantConv2d:
    """A convolution with random binary weights and no bias unless asked for."""
    layer = qnn.QuantConv2d(inputs, outputs, kernel, weight_quant=weight, **{"bias": False, **options})
    layer.weight.data = torch.randn_like(layer.weight)
    return layer


def dense(inputs: int, outputs: int, weight: type = BinaryWeight) -> qnn.QuantLinear:
    """A dense layer with random binary weights, no bias."""
    layer = qnn.QuantLinear(inputs, outputs, bias=False, weight_quant=weight)
    layer.weight.data = torch.randn_like(layer.weight)
    return layer


def sign() -> qnn.QuantIdentity:
    """A binary activation."""
    return qnn.QuantIdentity(act_quant=Sign)


def seeded(seed: int) -> None:
    """Fixes torch' random numbers for one network."""
    torch.manual_seed(seed)


def images(seed: int, frames: int, *shape: int) -> np.ndarray:
    """Random frames around the quantizers' thresholds."""
    return np.random.default_rng(seed).normal(0.3, 1.0, (frames, *shape)).astype(np.float32)
