"""ResNet-20 of fractional binary convolutions: FracBNN with batch norm, WSFracBNN without."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bnn2fpga.errors import ConfigError
from bnn2fpga.training.fractional import AsNormed, FractionalConv2d, OnGrid, RPReLU, Thermometer
from bnn2fpga.training.layers import BinaryConv2d, Snap, pixels, power_of_two, two_powers

STAGES = 3
"""The first half block of all but the first stage halves the image and doubles the channels."""
FEATURE_GAIN = 4.0
"""Of averages over the last images where the trunk's variance is 1: their deviation is small, and the last
layer learns faster so."""
POOLED_DEVIATION = 0.7
"""What 2x2 averaging leaves of the trunk's standard deviation, about."""

SNAPS: dict[int, Snap] = {1: power_of_two, 2: two_powers}
"""By the powers of two that a scale is the sum of."""


@dataclass(frozen=True)
class _Style:
    """What all half blocks of a network have in common, as `FracResNet` describes it."""

    norm: bool
    alpha: float
    fraction_bits: int
    standardized: bool
    folded_norm: bool
    centred: bool
    tracked: bool
    slope: float
    snap: Snap


class _Half(nn.Module):  # type: ignore[misc]
    """Half a residual block: shortcut plus branch.

    With `norm`, FracBNN: post(shortcut(x) + RPReLU(norm(conv(x)))). Without, the branch is scaled by
    `alpha` and rounded to the trunk's grid.
    """

    def __init__(self, inputs: int, outputs: int, beta: float, style: _Style) -> None:
        super().__init__()
        norm, stride = style.norm, outputs // inputs
        self.halved, self.alpha = stride == 2, style.alpha
        self.conv = FractionalConv2d(
            inputs,
            outputs,
            beta,
            stride,
            style.standardized,
            norm,
            style.folded_norm,
            style.centred,
            style.tracked,
            style.snap,
        )
        self.rprelu = RPReLU(outputs, not norm, style.slope, style.tracked)
        self.norm = nn.BatchNorm2d(outputs) if norm else None
        self.post = nn.BatchNorm2d(outputs) if norm else OnGrid(style.fraction_bits)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x
        if self.halved:
            pooled = F.avg_pool2d(x, 2)
            shortcut = torch.cat([pooled, pooled], 1)
        if self.norm is not None:
            return self.post(shortcut + self.rprelu(self.norm(self.conv(x))))
        trunk = shortcut + self.post(self.alpha * self.rprelu(self.conv(x)))
        return AsNormed.apply(trunk) if self.rprelu.tracked and self.training else trunk


class FracResNet(nn.Module):  # type: ignore[misc]
    """(N, C, H, W) in [0, 1) to scores (N, classes) by a last linear layer in floating point, for the host.

    A thermometer, a binary convolution, then three stages of `halves` fractional ones, of `width`, 2 and 4
    times `width` channels; 6 half blocks make it a ResNet-20.
    The trunk's variance grows by alpha^2 with every half block (Brock et al., arXiv 2101.08692), which beta,
    its expected standard deviation, takes back in front of the next activation; both are folded into
    thresholds. Weights are `standardized` by default where there is no batch norm; FracBNN's are not. With
    `folded_norm` batch norm trains the sums of each convolution, of which a scale and a shift on a grid are
    left. `centred` convolutions take what the mean of their inputs adds to their sums back out of them; by
    default they are where nothing else centres the sums. `tracked`, the default without batch norm, divides
    the inputs of activations by their running deviations, takes running means out of the outputs of RPReLU,
    and passes gradients on along the trunk as batch norm does; all of it ends in thresholds and shifts.
    `slope` is where those of RPReLU begin, 1/4 with batch norm and 1/32 without.
    Without batch norm the scales of the sums have `scale_terms` powers of two: one takes less logic, two are
    more accurate. alpha = 1/4 (a shift, as in A&B BNN, arXiv 2403.03739) is for deeper networks or longer
    trainings: in ours, of up to eight epochs, 1 was always better.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: int,
        norm: bool,
        width: int = 16,
        halves: int = 6,
        levels: int = 32,
        alpha: float = 1.0,
        fraction_bits: int = 6,
        standardized: bool | None = None,
        folded_norm: bool = False,
        centred: bool | None = None,
        tracked: bool | None = None,
        slope: float | None = None,
        scale_terms: int = 2,
    ) -> None:
        super().__init__()
        style = _style(
            norm, alpha, fraction_bits, standardized, folded_norm, centred, tracked, slope, scale_terms
        )
        channels = shape[0]
        self.pixels, self.thermometer = pixels(), Thermometer(channels, levels)
        scale = 1.0 if norm else None
        self.first = BinaryConv2d(
            channels * levels,
            width,
            3,
            padding=1,
            standardized=style.standardized,
            output_scale=scale,
            folded_norm=folded_norm,
            centred=style.centred,
            snap=style.snap,
        )
        self.start = nn.BatchNorm2d(width) if norm else OnGrid(fraction_bits)
        blocks: list[nn.Module] = []
        inputs, variance = width, 1.0
        for stage in range(STAGES):
            for _ in range(halves):
                outputs = width << stage
                beta = 1.0 if norm else math.sqrt(variance)
                blocks.append(_Half(inputs, outputs, beta, style))
                if outputs != inputs:
                    variance *= POOLED_DEVIATION**2
                variance += alpha**2
                inputs = outputs
        self.halves = nn.Sequential(*blocks)
        deviation = 1.0 if norm else math.sqrt(variance)
        self.feature_gain = 2.0 ** round(math.log2(FEATURE_GAIN / deviation))
        self.linear = nn.Linear(inputs, classes)

    def forward(self, images: Tensor) -> Tensor:
        x = self.start(self.first(self.thermometer(self.pixels(images))))
        return self.linear(self.feature_gain * F.adaptive_avg_pool2d(self.halves(x), 1).flatten(1))


def _style(
    norm: bool,
    alpha: float,
    fraction_bits: int,
    standardized: bool | None,
    folded_norm: bool,
    centred: bool | None,
    tracked: bool | None,
    slope: float | None,
    scale_terms: int,
) -> _Style:
    """With the defaults that follow from other settings; a ConfigError where two exclude one another."""
    if scale_terms not in SNAPS:
        raise ConfigError(f"scale_terms={scale_terms}: the powers of two of a scale; legal: 1, 2")
    if norm and (folded_norm or centred):
        what = "folded_norm" if folded_norm else "centred"
        raise ConfigError(f"{what} is for networks without batch norms of their own: wsfracbnn")
    if folded_norm and centred:
        raise ConfigError("folded_norm centres the sums already; leave centred out")
    if norm and tracked:
        raise ConfigError("tracked is for networks without batch norms of their own: wsfracbnn")
    if standardized is None:
        standardized = not norm
    if centred is None:
        centred = not (norm or folded_norm)
    if tracked is None:
        tracked = not norm
    if slope is None:
        slope = 1 / 4 if norm else 1 / 32
    return _Style(
        norm, alpha, fraction_bits, standardized, folded_norm, centred, tracked, slope, SNAPS[scale_terms]
    )
