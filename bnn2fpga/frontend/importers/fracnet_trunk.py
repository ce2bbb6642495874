"""FracBNN's network with all batch norms of the residual trunk folded away: integers, no multiplier.

Every channel of the trunk (the sum that runs through the network, x in `fracnet`) is affine in an integer:
x = gain * R + offset with gain > 0. The first convolution gives R itself. A stage adds its branch divided
by the gain, R += f(z) with f = (slope+ z + C+, or slope- z + C- below a breakpoint) of the integer
z = 2 M + L, and its outer batch norm only changes gain and offset for the next stage. The 2-bit activation
compares R with three integers, and the linear layer absorbs the last gain and offset.

FracBNN: Zhang et al., FPGA 2021, arXiv 2012.12206. Units: the trunk integer n stands for
R = n * 2**-grid_bits, and R is in units of the first convolution's sums.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bnn2fpga.design.integers import Ints, IntType
from bnn2fpga.design.two_slopes import TwoSlopes
from bnn2fpga.errors import ConfigError, ModelError
from bnn2fpga.frontend.importers.fracnet import (
    CHANNELS,
    Affine,
    Floats,
    FracNet,
    Stage,
    binary_conv,
    in_batches,
    phase_sums,
    thermometer,
)
from bnn2fpga.frontend.lowering.power_sums import mean_beside, sums_of_powers

Int64s = npt.NDArray[np.int64]

TERMS = 2
"""Signed powers of two in a slope; one costs a point of accuracy, three gain nothing."""
GRID_BITS = 2
"""Fraction bits of the trunk."""
SLOPE_BITS = 4
"""Fraction bits of a slope, on top of the trunk's; more do not bring the logits nearer to the float ones."""
SPREAD = 8.0
"""Standard deviation of z over the root of the input channels; on training images it is 6.4 to 10.7."""
POSITIONS = 64
"""That the global pool sums."""
FIRST_SUMS = 9 * 96
"""Largest magnitude of the first convolution's sums."""


@dataclass(frozen=True, eq=False)
class Gauge:
    """What a trunk stands for: x = gain * R + offset, per channel, gain > 0."""

    gain: Floats
    offset: Floats

    @classmethod
    def of(cls, norm: Affine, name: str) -> Gauge:
        """The gauge of integers that `norm` is applied to; a ModelError if a weight is not positive."""
        return cls(_positive(norm.weight.real, name), norm.bias.real)

    def activation(self, grid_bits: int) -> Int64s:
        """The smallest trunk integers whose x reaches -2/3, 0 and 2/3; (channels, 3)."""
        levels = np.array([-2 / 3, 0, 2 / 3])
        reached = (levels - self.offset[:, None]) / self.gain[:, None]
        return np.ceil(reached * 2.0**grid_bits).astype(np.int64)

    def doubled(self, stride: int) -> Gauge:
        """The gauge behind the shortcut of a stage."""
        return Gauge(np.tile(self.gain, stride), np.tile(self.offset, stride))

    def behind(self, stage: Stage, name: str) -> Gauge:
        """The gauge after RPReLU's last shift and the outer batch norm of `stage`; self is `doubled`."""
        weight = _positive(stage.post.weight.real, name)
        offset = weight * (self.offset + stage.rprelu.shift_y.real) + stage.post.bias.real
        return Gauge(weight * self.gain, offset)


@dataclass(frozen=True, eq=False)
class FoldedStage:
    """Trunk integers n to trunk integers: n becomes shortcut(n) + branch(2 M + L where M >= gate).

    `activation` are three trunk integers a channel, (in, 3): the 2-bit code is how many of them n reaches.
    `weights` are -1 and +1, (out, in, 3, 3). `gauge` tells what the entering trunk stands for.
    """

    weights: npt.NDArray[np.int8]
    stride: int
    activation: Int64s
    gate: Int64s
    branch: TwoSlopes
    gauge: Gauge

    @property
    def reach(self) -> int:
        """The largest magnitude of a gated sum."""
        return 27 * self.weights.shape[1]

    @property
    def branch_type(self) -> IntType:
        """Holds what the branch adds."""
        low, high = self.branch.bounds(-self.reach, self.reach)
        return IntType.holding(int(low.min()), int(high.max()))

    def codes(self, trunk: Ints) -> Ints:
        """The 2-bit activation, 0 to 3."""
        low, middle, high = self.activation.T
        return (trunk >= low).astype(np.int32) + (trunk >= middle) + (trunk >= high)

    def gated_sums(self, trunk: Ints) -> Ints:
        """z = 2 M + L, three times the gated convolution; -27 * channels to 27 * channels."""
        high, low = phase_sums(self.codes(trunk), self.weights, self.stride)
        return 2 * high + np.where(high >= self.gate, low, 0)

    def __call__(self, trunk: Ints) -> Ints:
        """The trunk behind this stage."""
        branch = self.branch(self.gated_sums(trunk))
        return (trunk if self.stride == 1 else shrunk(trunk)) + branch


@dataclass(frozen=True, eq=False)
class FoldedTrunk:
    """The whole network on integers, up to a linear layer in floating point for the host.

    `gauge` is the last trunk's. `linear_weight` (10, 64) and `linear_bias` (10,) take the sums of that
    trunk over its 64 positions.
    """

    counts: npt.NDArray[np.int32]
    first_weights: npt.NDArray[np.int8]
    stages: tuple[FoldedStage, ...]
    gauge: Gauge
    linear_weight: npt.NDArray[np.float64]
    linear_bias: npt.NDArray[np.float64]
    grid_bits: int

    def trunks(self, images: npt.NDArray[np.uint8]) -> Iterator[Ints]:
        """The trunk behind the first convolution and behind each stage, for images (N, 32, 32, 3)."""
        sums = binary_conv(thermometer(images, self.counts), self.first_weights, 1)
        trunk: Ints = sums.astype(np.int64) << self.grid_bits
        yield trunk
        for stage in self.stages:
            trunk = stage(trunk)
            yield trunk

    def pooled(self, images: npt.ArrayLike) -> Ints:
        """What the FPGA returns: the last trunk summed over its positions, (N, 64)."""
        return in_batches(self._pooled, images)

    def logits(self, images: npt.ArrayLike) -> Floats:
        """The logits for pixels (N, 32, 32, 3) or (N, 3, 32, 32); (N, 10)."""
        return self.pooled(images) @ self.linear_weight.T + self.linear_bias

    def _pooled(self, images: npt.NDArray[np.uint8]) -> Ints:
        *_, last = self.trunks(images)
        return last.sum(axis=(1, 2))

    @property
    def trunk_types(self) -> tuple[IntType, ...]:
        """Types that hold each trunk for every image, by interval arithmetic; nothing ever saturates."""
        high = np.full(CHANNELS[0], FIRST_SUMS << self.grid_bits)
        low = -high
        types = [IntType.holding(int(low.min()), int(high.max()))]
        for stage in self.stages:
            below, above = stage.branch.bounds(-stage.reach, stage.reach)
            low, high = np.tile(low, stage.stride) + below, np.tile(high, stage.stride) + above
            types.append(IntType.holding(int(low.min()), int(high.max())))
        return tuple(types)


def shrunk(trunk: Ints) -> Ints:
    """The mean of 2x2 positions, halves rounded up, twice along the channels."""
    sums = trunk[:, 0::2, 0::2] + trunk[:, 0::2, 1::2] + trunk[:, 1::2, 0::2] + trunk[:, 1::2, 1::2]
    mean = (sums + 2) >> 2
    return np.concatenate([mean, mean], axis=-1)


def fold_trunk(
    net: FracNet, grid_bits: int = GRID_BITS, terms: int = TERMS, slope_bits: int = SLOPE_BITS
) -> FoldedTrunk:
    """The integer network of the trained real parameters.

    A slope becomes a sum of at most `terms` signed powers of two, none below 2**-slope_bits trunk integers.
    Raises ModelError for a batch norm with a weight that is not positive.
    """
    if not (0 <= grid_bits <= 16 and 1 <= terms <= 32 and 0 <= slope_bits <= 16):
        raise ConfigError(
            f"fold_trunk: grid_bits={grid_bits}, terms={terms}, slope_bits={slope_bits}; "
            "legal: 0 to 16, 1 to 32, 0 to 16"
        )
    gauge = Gauge.of(net.first_norm, "bn1")
    stages = []
    for index, stage in enumerate(net.stages):
        behind = gauge.doubled(stage.stride)
        _positive(stage.norm.weight.real, f"stage {index}: bn_conv")
        branch = branch_lines(stage, behind.gain, grid_bits, terms, slope_bits)
        activation = gauge.activation(grid_bits)
        stages.append(
            FoldedStage(stage.weights, stage.stride, activation, gate_thresholds(stage), branch, gauge)
        )
        gauge = behind.behind(stage, f"stage {index}: bn_post")
    linear = net.linear.weight.real
    return FoldedTrunk(
        net.counts,
        net.first_weights,
        tuple(stages),
        gauge,
        linear * gauge.gain / (POSITIONS << grid_bits),
        linear @ gauge.offset + net.linear.bias.real,
        grid_bits,
    )


def _positive(weight: Floats, name: str) -> Floats:
    if not np.all(weight > 0):
        raise ModelError(f"{name}: weight {weight.min()} is not positive; the trunk cannot be folded")
    return weight


def gate_thresholds(stage: Stage) -> Int64s:
    """The smallest M with 2/3 M > threshold."""
    return np.floor(1.5 * stage.threshold.real).astype(np.int64) + 1


def branch_lines(stage: Stage, gain: Floats, grid_bits: int, terms: int, slope_bits: int) -> TwoSlopes:
    """The branch behind the convolution, divided by the trunk's `gain`, on the trunk's grid.

    A line with a rounded slope equals the real one at the mean z it is expected to serve. RPReLU's last
    shift is not in the branch: it is part of the next offset.
    """
    weight = stage.norm.weight.real / 3
    knee = -(stage.norm.bias.real + stage.rprelu.shift_x.real) / weight
    upper = weight / gain * 2.0 ** (grid_bits + slope_bits)
    lines = np.stack([stage.rprelu.slope.real * upper, upper])
    slopes = sums_of_powers(lines, terms)
    mean = mean_beside(knee, SPREAD * stage.weights.shape[1] ** 0.5)
    shortfall = lines * (mean - knee) - slopes * mean
    constants = np.floor(shortfall + 0.5).astype(np.int64) + ((1 << slope_bits) >> 1)
    return TwoSlopes(np.ceil(knee).astype(np.int64), slopes, constants, slope_bits)
