"""FracBNN's parts without batch norm: thermometer, gated 2-bit convolution, RPReLU, a trunk on a grid.

FracBNN: Zhang et al., FPGA 2021, arXiv 2012.12206. Powers of two for the slopes of RPReLU: A&B BNN, Jin et
al., CVPR 2024, arXiv 2403.03739. Every quantizer rounds as the integer design does, so what is exported
compiles without a remainder.
"""

import math
from typing import Any

import torch
from brevitas.core.restrict_val import FloatToIntImplType
from brevitas.nn import QuantIdentity
from torch import Tensor, nn
from torch.nn import functional as F

from bnn2fpga.training.layers import (
    MOMENTUM,
    BinaryConv2d,
    Folded,
    Sign,
    Snap,
    UnsignedActQuant,
    at_least,
    at_most,
    on_grid,
    power_of_two,
)

THIRDS = 2 / 3
"""The outer thresholds of a 2-bit activation of unit variance; the middle one is 0."""
FRACTIONAL_GAMMA = 1.336
"""1 / std of a 2-bit activation (-1, -1/3, 1/3, 1) of a standard normal input: its variance is 0.560."""
STEEPNESS = 5.0
"""Of the sigmoid that stands in for the gate in the gradient, per standard deviation of a sum."""
TRUNK_BITS = 16
LEAST_TRUNK_DEVIATION = 0.05
"""Of a channel of the trunk, whose own may be 0."""
LEAST_TRUNK_VARIANCE = 1e-3
"""Added to that of a channel of the trunk where gradients are divided by it."""


class _FloorQuant(UnsignedActQuant):  # type: ignore[misc]
    """Signed integers times a power of two, rounded down."""

    bit_width = TRUNK_BITS
    signed = True
    float_to_int_impl_type = FloatToIntImplType.FLOOR


class OnGrid(nn.Module):  # type: ignore[misc]
    """Any shape to multiples of 2^-fraction_bits, halves rounded up, within +-2^(15 - fraction_bits)."""

    def __init__(self, fraction_bits: int) -> None:
        super().__init__()
        self.step, self.low = 2.0**-fraction_bits, -(2.0 ** (TRUNK_BITS - 1 - fraction_bits))
        self.high = -self.low - self.step
        self.quant = QuantIdentity(act_quant=_FloorQuant.let(min_val=self.low, max_val=self.high))

    def forward(self, x: Tensor) -> Any:
        if self.training:  # the same values in fewer passes
            return on_grid(x.clamp(self.low, self.high), self.step)
        return self.quant(x + self.step / 2)


class Thermometer(nn.Module):  # type: ignore[misc]
    """(N, C, H, W) of multiples of 1/256 to +-1 (N, C * levels, H, W).

    Bit k of a pixel p, 0 to 255, is set where k < round(p * levels / 256), a half rounded up.
    """

    def __init__(self, channels: int, levels: int = 32) -> None:
        super().__init__()
        self.levels, self.sign = levels, Sign()
        thresholds = (torch.arange(levels) + 0.5) / levels
        self.register_buffer("thresholds", thresholds.repeat(channels).view(1, -1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Any:
        return self.sign(x.repeat_interleave(self.levels, 1) - self.thresholds)


class FractionalConv2d(BinaryConv2d):
    """A 3x3 convolution of the 2-bit activation of its input, whose low bit counts where it is worth it.

    The input (N, in, H, W), of standard deviation `beta`, becomes two signs, high and low, that stand for
    (2 * high + low) / 3. With M and L their sums with the binary weights, the output is
    scale * (2 * M + (L where M > delta, else 0)) + shift, without scale and shift where batch norm follows
    (`normed`). `beta`, learned, and a bias a channel go into thresholds; delta (out,) is in standard
    deviations of M.

    With `centred` M is without what the running mean of the high signs adds to it; in hardware this is in
    the threshold of the gate, too. To do the same to L makes learning slower. With `tracked` every channel of
    the input is divided by its own running deviation, times `beta`.
    """

    unit = 1 / 3

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        beta: float,
        stride: int = 1,
        standardized: bool = True,
        normed: bool = False,
        folded_norm: bool = False,
        centred: bool = False,
        tracked: bool = False,
        snap: Snap = power_of_two,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            3,
            padding=1,
            gamma=FRACTIONAL_GAMMA,
            stride=stride,
            standardized=standardized,
            output_scale=1.0 if normed else None,
            folded_norm=folded_norm,
            centred=centred,
            snap=snap,
        )
        self.high, self.low = Sign(), Sign()
        self.beta = nn.Parameter(torch.tensor(float(beta)))
        self.bias_in = nn.Parameter(torch.zeros(1, in_channels, 1, 1))
        self.delta = nn.Parameter(torch.zeros(1, out_channels, 1, 1))
        self.deviation = math.sqrt(9 * in_channels)
        self.tracked = tracked
        if tracked:
            self.register_buffer("input_deviation", torch.ones(1, in_channels, 1, 1))
            self.register_buffer("folded_beta", self._input_scale().detach(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        folded = self._current()
        return self.scaled(self.gated_sums(x, folded), folded)

    def train(self, mode: bool = True) -> "FractionalConv2d":
        super().train(mode)
        if not mode and self.tracked:
            self.folded_beta = self._input_scale().detach()
        return self

    def _input_scale(self) -> Tensor:
        """What the input is divided by: one number, or one a channel."""
        # a copy, as this step goes on to move it
        return self.beta * self.input_deviation.clone() if self.tracked else self.beta

    def follow_deviation(self, x: Tensor) -> None:
        """While training the running deviations follow those of the input."""
        if self.tracked and self.training:
            deviation = (
                x.detach().std((0, 2, 3), correction=0, keepdim=True).clamp_min_(LEAST_TRUNK_DEVIATION)
            )
            self.input_deviation.lerp_(deviation, self.momentum)

    def gated_sums(self, x: Tensor, folded: Folded) -> Tensor:
        """2 * M + (L where M > delta, else 0); only the gate sees M `centred`, `scaled` does the rest."""
        beta = self.folded_beta if self.tracked and not self.training else self._input_scale()
        u = x / beta + self.bias_in
        self.follow_deviation(x)
        limit = self.delta * self._sum_deviation()
        if self.centred:
            limit = limit + folded.mean / 2
        if self.training:  # the same numbers, in fewer passes
            signs = _TwoSigns.apply(u)
            self.follow_mean(signs[: len(x)])
            sums = self.sums(signs, folded)
            return _Gate.apply(sums, limit, STEEPNESS / self._sum_deviation())
        outer = torch.where(u >= 0, u - THIRDS, u + THIRDS)
        high_sums, low_sums = self.sums(self.high(u), folded), self.sums(self.low(outer), folded)
        return 2 * high_sums + (high_sums > limit).to(x.dtype) * low_sums

    def sums_mean(self, weight: Tensor) -> Tensor:
        return 2 * super().sums_mean(weight)

    def _sum_deviation(self) -> float:
        """Standard deviation of M: the square root of its terms, or 1 with standardized weights."""
        return 1.0 if self.float_weights else self.deviation


class _TwoSigns(torch.autograd.Function):  # type: ignore[misc]
    """(N, ...) to the high signs, then the low ones, (2 * N, ...); gradients pass as those of `Sign`."""

    @staticmethod
    def forward(ctx: Any, u: Tensor) -> Tensor:
        both = u.new_empty(2 * len(u), *u.shape[1:])
        high, low = both.chunk(2)
        torch.ge(u, 0.0, out=high).mul_(2).sub_(1)
        outer = torch.add(u, high, alpha=-THIRDS)
        torch.ge(outer, 0.0, out=low).mul_(2).sub_(1)
        ctx.save_for_backward(u, outer)
        return both

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        u, outer = ctx.saved_tensors
        high, low = grad.chunk(2)
        return at_most(u.abs(), 1.0).mul_(high).addcmul_(at_most(outer.abs(), 1.0), low)


class _Gate(torch.autograd.Function):  # type: ignore[misc]
    """Sums of high signs, then of low ones, (2 * N, ...), to 2 * high + (low where high > limit, else 0).

    For the gradient a sigmoid stands in for the gate.
    """

    @staticmethod
    def forward(ctx: Any, sums: Tensor, limit: Tensor, steepness: float) -> Tensor:
        high, low = sums.chunk(2)
        opened = torch.gt(high, limit, out=torch.empty_like(high))
        ctx.save_for_backward(sums, limit, opened)
        ctx.steepness = steepness
        return torch.add(opened * low, high, alpha=2)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        sums, limit, opened = ctx.saved_tensors
        high, low = sums.chunk(2)
        soft = torch.sigmoid_((high - limit).mul_(ctx.steepness))
        # the sigmoid's derivative is soft * (1 - soft)
        by_gate = torch.addcmul(soft, soft, soft, value=-1).mul_(low).mul_(grad).mul_(ctx.steepness)
        by_limit = -by_gate.sum((0, 2, 3)).view_as(limit)
        return torch.cat([by_gate.add_(grad, alpha=2), grad * opened]), by_limit, None


class _Bend(torch.autograd.Function):  # type: ignore[misc]
    """x where it is positive, slope (C,) times x elsewhere; PyTorch's own gradient is slow on a CPU."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(x, slope)
        return F.prelu(x, slope)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        x, slope = ctx.saved_tensors
        by_slope = (grad * x.clamp_max(0)).sum((0, 2, 3))
        slope = slope.view(1, -1, 1, 1)
        return grad * at_least(x, 0.0).mul_(1 - slope).add_(slope), by_slope


class RPReLU(nn.Module):  # type: ignore[misc]
    """PReLU between two shifts, a slope and two shifts a channel (ReActNet, arXiv 2003.03488).

    With `powers` the slopes are +-2^k and the shifts multiples of 1/64, otherwise real numbers. With
    `tracked` the shift behind takes the running mean of the output out of it, so that a slope is free to
    change: what it adds to the mean of its channel is not in its gradient.
    """

    momentum = MOMENTUM
    """Part of a batch in the running means."""

    def __init__(self, channels: int, powers: bool, slope: float = 0.25, tracked: bool = False) -> None:
        super().__init__()
        self.powers, self.tracked = powers, tracked
        self.before = nn.Parameter(torch.zeros(channels))
        self.slope = nn.Parameter(torch.full((channels,), slope))
        self.behind = nn.Parameter(torch.zeros(channels))
        if tracked:
            self.register_buffer("above_mean", torch.zeros(channels))
            self.register_buffer("below_mean", torch.zeros(channels))
        for name, value in zip(("before", "slope", "behind"), self._folded(), strict=True):
            self.register_buffer(f"folded_{name}", value.detach().clone(), persistent=False)

    def _folded(self) -> tuple[Tensor, Tensor, Tensor]:
        slope, behind = power_of_two(self.slope) if self.powers else self.slope, self.behind
        if self.tracked:  # copies, as this step goes on to move them
            behind = behind - self.above_mean.clone() - slope * self.below_mean.clone()
        if not self.powers:
            return self.before, slope, behind
        return on_grid(self.before, 2.0**-6), slope, on_grid(behind, 2.0**-6)

    def follow_mean(self, moved: Tensor) -> None:
        """While training the running means follow those of what is above 0, and of what is below."""
        if self.tracked and self.training:
            moved = moved.detach()
            above = moved.clamp_min(0).mean((0, 2, 3))
            self.above_mean.lerp_(above, self.momentum)
            self.below_mean.lerp_(moved.mean((0, 2, 3)) - above, self.momentum)

    def train(self, mode: bool = True) -> "RPReLU":
        """Entering evaluation freezes the constants, so that an exported graph holds no formulas for them."""
        super().train(mode)
        if not mode:
            with torch.no_grad():
                folded = (value.clone() for value in self._folded())
                self.folded_before, self.folded_slope, self.folded_behind = folded
        return self

    def forward(self, x: Tensor) -> Tensor:
        before, slope, behind = (
            self._folded() if self.training else (self.folded_before, self.folded_slope, self.folded_behind)
        )
        moved = x + before.view(1, -1, 1, 1)
        self.follow_mean(moved)
        bent = _Bend.apply(moved, slope) if self.training else F.prelu(moved, slope)
        return bent + behind.view(1, -1, 1, 1)


class AsNormed(torch.autograd.Function):  # type: ignore[misc]
    """(N, C, H, W) as it is; its gradient as it would leave a batch norm of every channel, but for its scale.

    That is without its mean, and without what it shares with the values: a step neither moves nor stretches
    a channel for the sake of the layers behind, which have shifts and scales of their own for that.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        axes = (0, 2, 3)
        variance, mean = torch.var_mean(x, axes, correction=0, keepdim=True)
        unit = (x - mean).mul_((variance + LEAST_TRUNK_VARIANCE).rsqrt())
        return grad - grad.mean(axes, keepdim=True) - unit * (grad * unit).mean(axes, keepdim=True)
