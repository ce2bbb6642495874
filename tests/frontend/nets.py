"""Small Brevitas networks with random parameters, for tests of the whole path."""

from __future__ import annotations

from collections.abc import Callable

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


class TernaryWeight(_Const, WeightQuantSolver):
    """-1, 0, 1 times 1/2."""

    quant_type = QuantType.INT
    bit_width = 2
    narrow_range = True
    scaling_const = 0.5


class TwoBitWeight(TernaryWeight):
    """-2, -1, 0, 1 times 1/2."""

    narrow_range = False
    scaling_const = 1.0


def integers(bits: int, signed: bool = True, narrow: bool = False, step: float | None = None) -> type:
    """Weights of so many bits times `step`, by default one that random weights reach both ends with."""
    top = (1 << bits - signed) - (1 if narrow or not signed else 0)
    step = 2.0 ** (2 - bits) if step is None else step
    return TernaryWeight.let(bit_width=bits, signed=signed, narrow_range=narrow, scaling_const=top * step)


class Sign(_Const, ActQuantSolver):
    """±1."""

    quant_type = QuantType.BINARY
    bit_width = 1
    min_val = -1.0
    max_val = 1.0


class _Level(_Const, ActQuantSolver):
    """Multiples of a step; see `levels`."""

    quant_type = QuantType.INT


def levels(bits: int, signed: bool = False, narrow: bool = False, step: float = 0.5) -> qnn.QuantIdentity:
    """Quantizes to multiples of `step`: 0 to 2^bits - 1, or as many around 0."""
    top = 2 ** (bits - signed) - 1 - (narrow and not signed)
    low = -(2 ** (bits - 1)) + narrow if signed else 0
    act = _Level.let(
        bit_width=bits, signed=signed, narrow_range=narrow, min_val=low * step, max_val=top * step
    )
    return qnn.QuantIdentity(act_quant=act)


def sign() -> qnn.QuantIdentity:
    """A binary activation."""
    return qnn.QuantIdentity(act_quant=Sign)


def pixels() -> qnn.QuantIdentity:
    """The input's quantizer: 0 to 31 times 1/16."""
    return levels(5, step=1 / 16)


class Affine(nn.Module):
    """Gain (of either sign) and bias, one each a channel; `shape` is the channels' and positions'."""

    def __init__(self, *shape: int, negative: bool = True) -> None:
        super().__init__()
        gain = torch.rand(1, *shape) + 0.5
        if negative:
            gain *= torch.where(torch.rand(1, *shape) < 0.4, -1.0, 1.0)
        self.gain = nn.Parameter(gain)
        self.bias = nn.Parameter(torch.randn(1, *shape))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.gain + self.bias


class Call(nn.Module):
    """Any function of one tensor."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


def affine(channels: int, negative: bool = True) -> Affine:
    """Per-channel gain and bias of an image."""
    return Affine(channels, 1, 1, negative=negative)


def norm(channels: int, kind: type = nn.BatchNorm2d) -> nn.Module:
    """Batch norm with random statistics and gains of both signs."""
    layer = kind(channels)
    layer.running_mean.data = torch.randn(channels) * 2
    layer.running_var.data = torch.rand(channels) * 4 + 0.5
    layer.weight.data = torch.randn(channels)
    layer.bias.data = torch.randn(channels)
    return layer


def prelu(channels: int) -> nn.PReLU:
    """Slopes of both signs."""
    layer = nn.PReLU(channels)
    layer.weight.data = torch.randn(channels) * 0.5
    return layer


def conv(
    inputs: int,
    outputs: int,
    kernel: int | tuple[int, int] = 3,
    weight: type = BinaryWeight,
    **options: object,
) -> qnn.QuantConv2d:
    """A convolution with random weights, binary and without bias unless asked for."""
    layer = qnn.QuantConv2d(inputs, outputs, kernel, weight_quant=weight, **{"bias": False, **options})
    layer.weight.data = torch.randn_like(layer.weight)
    return layer


def dense(inputs: int, outputs: int, weight: type = BinaryWeight, bias: bool = False) -> qnn.QuantLinear:
    """A dense layer with random weights, binary unless asked for."""
    layer = qnn.QuantLinear(inputs, outputs, bias=bias, weight_quant=weight)
    layer.weight.data = torch.randn_like(layer.weight)
    return layer


def images(seed: int, frames: int, *shape: int) -> np.ndarray:
    """Random frames around the quantizers' thresholds."""
    return np.random.default_rng(seed).normal(0.3, 1.0, (frames, *shape)).astype(np.float32)
