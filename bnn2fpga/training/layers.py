"""Binary layers without batch norm: Scaled Weight Standardization, then one scale and shift per channel.

The formulas follow Brock et al., "Characterizing signal propagation to close the performance gap in
unnormalized ResNets" (arXiv 2101.08692), and Chen et al., "BNN - BN = ?" (arXiv 2104.08215), who binarize
the standardized weight. A layer computes, for output channel i with fan-in N,

    What_i = gamma * (W_i - mean(W_i)) / (std(W_i) * sqrt(N)),   m_i = mean|What_i|
    y_i = c_i * (sign(What_i) . x + t_i)
    c_i = +-2^k nearest to gain_i * m_i,   t_i = multiple of 1/16 nearest to shift_i / m_i

so hardware sees the bits [W_i > mean(W_i)] and, after the next sign, the threshold -t_i. Powers of two for
c_i (as in A&B BNN, arXiv 2403.03739), or sums of two of them, and a grid for t_i keep float32 exact whatever
the order of operations, and a c_i that jumps while it is learned changes how far gradients reach but no sign.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from brevitas.core.bit_width import BitWidthImplType
from brevitas.core.quant import QuantType
from brevitas.core.restrict_val import FloatToIntImplType, RestrictValueType
from brevitas.core.scaling import ScalingImplType
from brevitas.core.zero_point import ZeroZeroPoint
from brevitas.inject import ExtendedInjector
from brevitas.inject.enum import ScalingPerOutputType
from brevitas.nn import QuantConv2d, QuantIdentity, QuantLinear
from brevitas.quant.solver import ActQuantSolver, WeightQuantSolver
from torch import Tensor, nn

PIXEL_RMS = 0.35
"""Root mean square of pixels in [0, 1), about; the first layer's gamma is its inverse."""
SHIFT_GRID = 2.0**-4
"""Channel shifts are multiples of this, in units of the integer sum."""
MIN_EXPONENT, MAX_EXPONENT = -16, 16
"""Channel scales lie in +-[2^-16, 2^16]."""
MANTISSAS = (1 / 2, 9 / 16, 5 / 8, 3 / 4, 7 / 8, 15 / 16, 1.0)
"""Of the scales that are sums of at most two signed powers of two, and the next power."""
MOMENTUM = 0.3
"""Part of a batch in the running means and deviations of a layer: of 0.03, 0.1 and 0.3 the one that learns
most in twelve epochs at 1e-2, where less is late while the rate is high, though not in three at 6e-3; 1
diverges. Those of `folded_norm` have no part in that."""
LEAST_VARIANCE = 1e-2
"""Added to that of the sums, which are integers."""


class _PowerOfTwoQuant(ExtendedInjector):  # type: ignore[misc]
    bit_width_impl_type = BitWidthImplType.CONST
    scaling_impl_type = ScalingImplType.CONST
    restrict_scaling_type = RestrictValueType.POWER_OF_TWO
    scaling_per_output_type = ScalingPerOutputType.TENSOR
    float_to_int_impl_type = FloatToIntImplType.ROUND
    zero_point_impl = ZeroZeroPoint


class BinaryWeightQuant(_PowerOfTwoQuant, WeightQuantSolver):  # type: ignore[misc]
    """+-1 by sign (0 gives +1). The gradient passes unclipped: standardized weights cannot drift away."""

    quant_type = QuantType.BINARY
    bit_width = 1
    signed = True
    narrow_range = True
    scaling_const = 1.0


class BinaryActQuant(_PowerOfTwoQuant, ActQuantSolver):  # type: ignore[misc]
    """+-1 by sign (0 gives +1). The gradient passes where the input lies in [-1, 1]."""

    quant_type = QuantType.BINARY
    bit_width = 1
    signed = True
    narrow_range = True
    min_val = -1.0
    max_val = 1.0


class UnsignedActQuant(_PowerOfTwoQuant, ActQuantSolver):  # type: ignore[misc]
    """Unsigned integers of `bit_width` bits times max_val / 2^bit_width; max_val is a power of two."""

    quant_type = QuantType.INT
    bit_width = 8
    signed = False
    narrow_range = False
    min_val = 0.0
    max_val = 1.0


def standardize(weight: Tensor, gamma: float = 1.0, eps: float = 1e-5) -> Tensor:
    """Scaled Weight Standardization (arXiv 2101.08692): each output channel has mean 0, norm ~gamma.

    weight: (out, ...), any float range; fan-in is everything but the first axis. Same shape comes back.
    gamma = 1 / std of the layer's input; 1 for +-1 inputs.
    """
    rows = weight.flatten(1)
    std, mean = torch.std_mean(rows, dim=1, correction=0, keepdim=True)
    return ((rows - mean) * (gamma / ((std + eps) * math.sqrt(rows.shape[1])))).view_as(weight)


def power_of_two(value: Tensor) -> Tensor:
    """Each value moved to +-2^k, nearest in the exponent; the gradient passes straight through."""
    polarity = torch.where(value < 0, -1.0, 1.0)
    exponent = value.detach().abs().clamp(2.0**MIN_EXPONENT, 2.0**MAX_EXPONENT).log2().round()
    return _StraightThrough.apply(polarity * torch.exp2(exponent), value)


def two_powers(value: Tensor) -> Tensor:
    """Each value moved to the nearest +-2^k * m, m one of 1, 9/8, 5/4, 3/2, 7/4, 15/8; the gradient passes.

    These are sums of at most two signed powers of two: two shifts and an addition in hardware.
    """
    size = value.detach().abs().clamp(2.0**MIN_EXPONENT, 2.0**MAX_EXPONENT)
    mantissa, exponent = torch.frexp(size)  # mantissas are 1/2 to 1
    legal = torch.tensor(MANTISSAS, device=value.device)
    place = torch.bucketize(mantissa, (legal[1:] + legal[:-1]) / 2)
    polarity = torch.where(value < 0, -1.0, 1.0)
    return _StraightThrough.apply(polarity * torch.ldexp(legal[place], exponent), value)


def on_grid(value: Tensor, step: float = SHIFT_GRID) -> Tensor:
    """Each value moved to the nearest multiple of step; the gradient passes straight through."""
    return _StraightThrough.apply((value.detach() / step).add_(0.5).floor_().mul_(step), value)


class _StraightThrough(torch.autograd.Function):  # type: ignore[misc]
    """The first tensor going forward; the gradient is the second one's."""

    @staticmethod
    def forward(ctx: Any, snapped: Tensor, value: Tensor) -> Tensor:
        return snapped

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor]:
        return None, grad


def _signs(value: Tensor) -> Tensor:
    """+-1 (0 gives +1); the gradient passes straight through."""
    return _StraightThrough.apply(at_least(value.detach(), 0.0).mul_(2).sub_(1), value)


def follows(layer: nn.Module) -> bool:
    """Whether running means or deviations of a layer, none of a batch norm layer, follow inputs or sums."""
    return any(getattr(layer, name, False) for name in ("centred", "tracked", "folded_norm"))


Snap = Callable[[Tensor], Tensor]
"""Moves scales to those that cost no multiplier."""


class Folded(NamedTuple):
    """What hardware needs of a layer: bits [weight >= 0], then y = scale * sum + shift per channel.

    `shift` takes the mean of a sum back, `mean` times scale: with `centred` what the running mean of the
    inputs adds to it, with `folded_norm` its own, else 0.
    """

    weight: Tensor
    scale: Tensor
    shift: Tensor
    mean: Tensor


class _StandardizedLayer(nn.Module):  # type: ignore[misc]
    """Mixed in before a Brevitas layer whose weights are BinaryWeightQuant and that has no bias.

    The parameters are the latent `weight`, `gain` (out,) and `shift` (out,). With output_scale the layer ends
    the network, or batch norm follows: y = output_scale * sum, no gain, no shift, integers on one grid.
    Exporting reads the frozen results of `fold`, so that the graph holds constants instead of their formulas.

    With `folded_norm` batch norm is trained on the sums, and what it comes to is folded as above:

        y_i = c_i * (sum_i + t_i),  c_i = +-2^k nearest to gain_i / std(sum_i),
        t_i = multiple of 1/16 nearest to shift_i * std(sum_i) - mean(sum_i)

    with the batch's mean and deviation while training, running ones afterwards. Rounding is the same in both.

    With `centred` the running mean of the inputs, a channel each, is taken out of the sums: a standardized
    weight lets no mean pass that all inputs share, this one none of theirs. In hardware that is part of t_i.

    With `float_weights` the standardized weights are not binarized, in the first phase of a training; without
    `standardized` the latent ones are taken as they are, to measure what standardization brings.
    """

    unit = 1.0
    """What one step of the integer inputs stands for."""
    momentum = MOMENTUM
    """Part of a batch in the running means and deviations."""

    def _init_channels(
        self,
        gamma: float,
        output_scale: float | None,
        standardized: bool,
        folded_norm: bool = False,
        centred: bool = False,
        snap: Snap = power_of_two,
    ) -> None:
        self.gamma, self.output_scale, self.standardized = gamma, output_scale, standardized
        self.snap = snap
        self.float_weights, self.folded_norm, self.centred = False, folded_norm, centred
        out, inputs = self.weight.shape[:2]
        if centred:
            self.register_buffer("input_mean", torch.zeros(inputs))
        if output_scale is None:
            self.gain = nn.Parameter(torch.ones(out))
            self.shift = nn.Parameter(torch.zeros(out))
        if folded_norm:
            self.register_buffer("running_mean", torch.zeros(out))
            self.register_buffer("running_deviation", torch.ones(out))
        for name, value in self.fold()._asdict().items():
            self.register_buffer(f"folded_{name}", value.detach().clone(), persistent=False)

    def fold(self) -> Folded:
        """Weight of the latent shape, scale and shift (out, 1, ...) over the output; all differentiable."""
        weight = self._standardized()
        if self.output_scale is not None:
            return Folded(weight, torch.tensor(self.output_scale), torch.tensor(0.0), torch.tensor(0.0))
        if self.folded_norm:
            return self._normed(weight, self.running_mean, self.running_deviation)
        magnitude = self.magnitude(weight)
        return self._snapped(weight, self.gain * magnitude, self.shift / magnitude, self.sums_mean(weight))

    def sums_mean(self, weight: Tensor) -> Tensor:
        """What the running mean of the inputs adds to the sums of this standardized weight, (out,)."""
        if not self.centred:
            return torch.zeros(len(weight), device=weight.device)
        taps = weight if self.float_weights else _signs(weight)
        return taps.flatten(2).sum(2) @ self.input_mean.clone()  # which this step goes on to move

    def follow_mean(self, inputs: Tensor) -> None:
        """While training the running mean of the inputs (N, in, ...) follows them."""
        if self.centred and self.training:
            self.input_mean.lerp_(inputs.detach().mean((0, *range(2, inputs.dim()))), self.momentum)

    def _normed(self, weight: Tensor, mean: Tensor, deviation: Tensor) -> Folded:
        """Batch norm of sums of this mean and deviation (out,)."""
        return self._snapped(weight, self.gain / deviation, self.shift * deviation, mean)

    def _snapped(self, weight: Tensor, scale: Tensor, shift: Tensor, mean: Tensor) -> Folded:
        """With scales snapped and shifts, in units of the sum, moved to their grid."""
        tail = (1,) * (weight.dim() - 2)
        snapped = self.snap(scale)
        shift = snapped * on_grid(shift - mean)
        return Folded(weight, snapped.view(-1, *tail), shift.view(-1, *tail), mean.view(-1, *tail))

    def magnitude(self, weight: Tensor) -> Tensor:
        """m of each output channel (out,), times what one step of the inputs stands for."""
        return self.unit * weight.detach().abs().flatten(1).mean(1).clamp_min(2.0**MIN_EXPONENT)

    def train(self, mode: bool = True) -> "_StandardizedLayer":
        """Entering evaluation, which every Brevitas export does first, freezes the folded constants."""
        super().train(mode)
        if not mode:
            with torch.no_grad():
                weight, self.folded_scale, self.folded_shift, self.folded_mean = self.fold()
                # signs only: an exported file of them packs thirty times smaller
                self.folded_weight = torch.where(weight >= 0, 1.0, -1.0)
        return self

    def quant_weight(self, quant_input: Any = None, subtensor_slice_list: Any = None) -> Any:
        """+-1 with the sign of the standardized weight; Brevitas itself would take the latent one."""
        return self.weight_quant(self._current().weight)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, ...) to (N, out, ...), as the base layer."""
        folded = self._current()
        self.follow_mean(x)
        return self.scaled(self.sums(x, folded), folded)

    def sums(self, x: Tensor, folded: Folded) -> Tensor:
        """The products of the binary weights, or of the standardized ones, summed up.

        While training one pass over the weights does what Brevitas does in several.
        """
        if self.float_weights:
            return self.inner_forward_impl(x, folded.weight, None)
        if self.training:
            return self.inner_forward_impl(x, _signs(folded.weight), None)
        return super().forward(x)

    def scaled(self, sums: Tensor, folded: Folded) -> Tensor:
        """The sums with the gain and the shift of their channel."""
        if self.folded_norm and self.training:
            folded = self._normed(folded.weight, *self._observed(sums))
        elif self.float_weights:
            return self._float_scaled(sums - folded.mean)
        y = sums * folded.scale
        return y if self.output_scale is not None else y + folded.shift

    def _observed(self, sums: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation of the batch's sums, a channel each (out,); the running ones follow."""
        variance, mean = torch.var_mean(sums, (0, *range(2, sums.dim())), correction=0)
        deviation = (variance + LEAST_VARIANCE).sqrt()
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_deviation.lerp_(deviation, self.momentum)
        return mean, deviation

    def _standardized(self) -> Tensor:
        return standardize(self.weight, self.gamma) if self.standardized else self.weight

    def _float_scaled(self, sums: Tensor) -> Tensor:
        """What the powers of two stand in for: with real weights their magnitude is in the sums."""
        if self.output_scale is not None:
            magnitude = self._standardized().detach().abs().mean().clamp_min(2.0**MIN_EXPONENT)
            return sums * (self.output_scale / magnitude)
        tail = (1,) * (self.weight.dim() - 2)
        return sums * self.unit * self.gain.view(-1, *tail) + self.shift.view(-1, *tail)

    def _current(self) -> Folded:
        if self.weight_quant.export_mode:
            return Folded(self.folded_weight, self.folded_scale, self.folded_shift, self.folded_mean)
        return self.fold()


class BinaryConv2d(_StandardizedLayer, QuantConv2d):  # type: ignore[misc]
    """Convolution with +-1 weights; zero padding contributes 0. x: (N, in, H, W)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        padding: int = 0,
        gamma: float = 1.0,
        stride: int = 1,
        standardized: bool = True,
        output_scale: float | None = None,
        folded_norm: bool = False,
        centred: bool = False,
        snap: Snap = power_of_two,
        groups: int = 1,
    ) -> None:
        QuantConv2d.__init__(
            self,
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=padding,
            groups=groups,
            bias=False,
            weight_quant=BinaryWeightQuant,
        )
        self._init_channels(gamma, output_scale, standardized, folded_norm, centred, snap)


class BinaryLinear(_StandardizedLayer, QuantLinear):  # type: ignore[misc]
    """Fully-connected layer with +-1 weights. x: (N, in)."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        gamma: float = 1.0,
        output_scale: float | None = None,
        standardized: bool = True,
    ) -> None:
        QuantLinear.__init__(self, in_features, out_features, bias=False, weight_quant=BinaryWeightQuant)
        self._init_channels(gamma, output_scale, standardized)


def pixels() -> Any:
    """Keeps multiples of 1/256 in [0, 1) as they are: pixels divided by 256."""
    return QuantIdentity(act_quant=UnsignedActQuant, bit_width=8, max_val=1.0)


class Sign(QuantIdentity):  # type: ignore[misc]
    """The binary activation: any shape to +-1 (0 gives +1).

    While training one pass over the values does what Brevitas does in several; what is exported is
    Brevitas' own quantizer.
    """

    def __init__(self) -> None:
        super().__init__(act_quant=BinaryActQuant)

    def forward(self, x: Tensor) -> Any:
        return _SignSte.apply(x) if self.training else super().forward(x)


class _SignSte(torch.autograd.Function):  # type: ignore[misc]
    """The sign, 0 giving +1; its gradient passes where |x| <= 1, as Brevitas' does."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return at_least(x, 0.0).mul_(2).sub_(1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grad * at_most(x.abs(), 1.0)


def at_least(x: Tensor, limit: Tensor | float) -> Tensor:
    """1 where x >= limit, else 0, of x's type; on a CPU faster than to compare and to convert."""
    return torch.ge(x, limit, out=torch.empty_like(x))


def at_most(x: Tensor, limit: Tensor | float) -> Tensor:
    """1 where x <= limit, else 0, of x's type."""
    return torch.le(x, limit, out=torch.empty_like(x))


class SignPool(nn.Module):  # type: ignore[misc]
    """Sign, then max pool: (N, C, H, W) to +-1 (N, C, H/size, W/size), an OR of bits in hardware.

    While training the pool goes first. Values stay the same, as sign is monotone, but the gradient reaches
    the largest input instead of the first that happens to be +1.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.sign, self.pool = Sign(), nn.MaxPool2d(size)

    def forward(self, x: Tensor) -> Tensor:
        return self.sign(self.pool(x)) if self.training else self.pool(self.sign(x))
