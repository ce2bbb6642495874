"""FracBNN's CIFAR-10 network as trained: its parameters, and its own fixed-point rules bit for bit.

Y. Zhang, J. Pan, X. Liu, H. Chen, D. Chen, Z. Zhang, "FracBNN: Accurate and FPGA-Efficient Binary
Neural Networks with Fractional Activations", FPGA 2021, arXiv 2012.12206. The network is a ResNet-20 of
1-bit weights: thermometer-coded pixels, one convolution, then 18 stages. A stage is a 2-bit activation, a
precision-gated convolution, batch norm, RPReLU, the shortcut and another batch norm.

An activation is ap_fixed<16,9,AP_RND,AP_SAT>, here its raw integer: value * 128, -32768 to 32767. A
parameter is ap_fixed<12,4,AP_RND,AP_SAT>: value * 256, -2048 to 2047. AP_RND rounds halves up. Feature
maps have the channels last.

The .npz file holds, for the blocks named in `meta/block_order` and k = 1, 2, the arrays that `load_fracnet`
reads; `_float` is a parameter's trained value, `_q8` the parameter's raw integer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from bnn2fpga.design.integers import Ints
from bnn2fpga.errors import BuildError, ModelError
from bnn2fpga.files.arrays import read_arrays

Floats = npt.NDArray[np.floating[Any]]
_Number = TypeVar("_Number", bound=np.generic)

IMAGE = (32, 32, 3)
CHANNELS = (16,) * 6 + (32,) * 6 + (64,) * 6
"""Of the 18 stages' outputs."""
CLASSES = 10
COLOR_LEVELS = 32
"""Thermometer bits of one color."""
BATCH = 16
"""Images at once; the windows of the first convolution take 3.5 MB for one image."""

ACTIVATION_LOW, ACTIVATION_HIGH = -(1 << 15), (1 << 15) - 1
ONE = 128
"""1.0 as an activation."""
PARAMETER_BITS = 8
"""Fraction bits of a parameter."""
TWO_THIRDS, ONE_THIRD = 171, 85
"""As parameters; the weights of the two bits of an activation."""
POOL_BITS = 22
"""Fraction bits of the ap_fixed<32,10> sum of the global pool."""


@dataclass(frozen=True, eq=False)
class Fixed:
    """A parameter array: what was trained, and its ap_fixed<12,4> integers (value * 256)."""

    real: npt.NDArray[np.float64]
    raw: npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Affine:
    """weight * x + bias: a folded batch norm, per channel, or the linear layer, (classes, channels)."""

    weight: Fixed
    bias: Fixed


@dataclass(frozen=True, eq=False)
class RPReLU:
    """y + shift_y, where y = x + shift_x, times slope if negative; per channel."""

    shift_x: Fixed
    slope: Fixed
    shift_y: Fixed


@dataclass(frozen=True, eq=False)
class Stage:
    """Half a residual block: x becomes post(shortcut(x) + rprelu(norm(gated convolution(x)))).

    `weights` are -1 and +1, (out, in, 3, 3). Where `stride` is 2 the channels double, and the shortcut is
    the mean of 2x2 positions, twice. An output whose first phase is at most `threshold` skips the second.
    """

    weights: npt.NDArray[np.int8]
    stride: int
    threshold: Fixed
    norm: Affine
    rprelu: RPReLU
    post: Affine


@dataclass(frozen=True, eq=False)
class FracNet:
    """The network's parameters, and what it computes in its own fixed point and in floating point.

    `counts` is the number of thermometer bits, 0 to 32, that each pixel value 0 to 255 sets.
    """

    counts: npt.NDArray[np.int32]
    first_weights: npt.NDArray[np.int8]
    first_norm: Affine
    stages: tuple[Stage, ...]
    linear: Affine

    def reference_logits(self, images: npt.ArrayLike) -> Ints:
        """The FPGA design's logits, value * 128, for pixels (N, 32, 32, 3) or (N, 3, 32, 32); (N, 10)."""
        return in_batches(self._fixed_point, images)

    def float_logits(self, images: npt.ArrayLike) -> Floats:
        """The trained network's logits in float64, without any rounding of parameters; (N, 10)."""
        return in_batches(self._floating_point, images)

    def first_sums(self, images: npt.NDArray[np.uint8]) -> Ints:
        """The first convolution's integers, -864 to 864; (N, 32, 32, 16)."""
        return binary_conv(thermometer(images, self.counts), self.first_weights, 1)

    def _fixed_point(self, images: npt.NDArray[np.uint8]) -> Ints:
        norm = self.first_norm
        x = rounded(self.first_sums(images) * norm.weight.raw + norm.bias.raw, 1)
        for stage in self.stages:
            x = fixed_point_stage(x, stage)
        return fixed_point_linear(global_mean(x), self.linear)

    def _floating_point(self, images: npt.NDArray[np.uint8]) -> Floats:
        x = affine(self.first_sums(images), self.first_norm)
        for stage in self.stages:
            x = floating_point_stage(x, stage)
        return x.mean(axis=(1, 2)) @ self.linear.weight.real.T + self.linear.bias.real


def load_fracnet(path: str | Path) -> FracNet:
    """The network in an .npz file; a ModelError that names the missing or wrong array if it holds none."""
    return _Reader(str(path), read_arrays(Path(path), ModelError)).network()


@dataclass(frozen=True, eq=False)
class _Reader:
    path: str
    arrays: Mapping[str, npt.NDArray[np.generic]]

    def network(self) -> FracNet:
        counts = self.integers("encoder/thermometer_count_lut", (256,), 0, COLOR_LEVELS)
        blocks = [str(name) for name in self.array("meta/block_order", (len(CHANNELS) // 2,), "U")]
        inputs = (CHANNELS[0], *CHANNELS)
        return FracNet(
            counts,
            self.weights("conv1", IMAGE[2] * COLOR_LEVELS, CHANNELS[0]),
            self.affine("bn1", (CHANNELS[0],), CHANNELS[0]),
            tuple(
                self.stage(blocks[index // 2], index % 2 + 1, inputs[index], CHANNELS[index])
                for index in range(len(CHANNELS))
            ),
            self.affine("linear", (CLASSES, CHANNELS[-1]), CLASSES),
        )

    def stage(self, block: str, half: int, inputs: int, outputs: int) -> Stage:
        conv = f"{block}/conv{half}"
        stride = outputs // inputs
        self.integers(f"{conv}/stride", (), stride, stride)
        rprelu = f"{block}/rprelu{half}"
        return Stage(
            self.weights(conv, inputs, outputs),
            stride,
            self.fixed(f"{conv}/pg_threshold", (outputs,)),
            self.affine(f"{block}/bn_conv{half}", (outputs,), outputs),
            RPReLU(*(self.fixed(f"{rprelu}/{part}", (outputs,)) for part in ("shift_x", "slope", "shift_y"))),
            self.affine(f"{block}/bn_post{half}", (outputs,), outputs),
        )

    def weights(self, name: str, inputs: int, outputs: int) -> npt.NDArray[np.int8]:
        bits = self.integers(f"{name}/weight_bits", (outputs, inputs, 3, 3), 0, 1)
        return (2 * bits - 1).astype(np.int8)

    def affine(self, name: str, weight: tuple[int, ...], outputs: int) -> Affine:
        return Affine(self.fixed(f"{name}/weight", weight), self.fixed(f"{name}/bias", (outputs,)))

    def fixed(self, name: str, shape: tuple[int, ...]) -> Fixed:
        real = self.array(f"{name}_float", shape, "f").astype(np.float64)
        if not np.isfinite(real).all():
            raise ModelError(f"{self.path}: array {name}_float holds a value that is not finite")
        return Fixed(real, self.integers(f"{name}_q8", shape, -2048, 2047))

    def integers(self, name: str, shape: tuple[int, ...], low: int, high: int) -> npt.NDArray[np.int32]:
        array = self.array(name, shape, "iu")
        if np.any((array < low) | (array > high)):
            raise ModelError(f"{self.path}: array {name} holds a value outside {low} to {high}")
        return array.astype(np.int32)

    def array(self, name: str, shape: tuple[int, ...], kinds: str) -> npt.NDArray[Any]:
        if name not in self.arrays:
            raise ModelError(f"{self.path}: array {name} is missing")
        array = self.arrays[name]
        if array.shape != shape:
            raise ModelError(f"{self.path}: array {name} has shape {array.shape}, not {shape}")
        if array.dtype.kind not in kinds:
            raise ModelError(f"{self.path}: array {name} has type {array.dtype}; legal kinds: {kinds}")
        return array


def in_batches(
    compute: Callable[[npt.NDArray[np.uint8]], npt.NDArray[_Number]], images: npt.ArrayLike
) -> npt.NDArray[_Number]:
    """compute(images) for few images at a time, which get their colors last; a BuildError if not images."""
    pixels = channels_last(np.asarray(images))
    starts = range(0, max(1, len(pixels)), BATCH)
    return np.concatenate([compute(pixels[start : start + BATCH]) for start in starts])


def channels_last(images: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """Images (N, 32, 32, 3), from the same or from (N, 3, 32, 32); a BuildError for anything else."""
    if images.shape[1:] == IMAGE[2:] + IMAGE[:2]:
        images = images.transpose(0, 2, 3, 1)
    if images.shape[1:] != IMAGE:
        raise BuildError(f"images of shape {images.shape} do not fit; legal: (N, 32, 32, 3), (N, 3, 32, 32)")
    if images.dtype != np.uint8:
        raise BuildError(f"images of type {images.dtype} do not fit; legal: uint8")
    return images.astype(np.uint8, copy=False)


def thermometer(images: npt.NDArray[np.uint8], counts: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
    """Pixels as 96 channels of -1 and +1: channel 32 * color + bit is +1 where bit < counts[pixel]."""
    signs = np.where(np.arange(COLOR_LEVELS) < counts[:, None], np.float32(1), np.float32(-1))
    return signs[images].reshape(*images.shape[:-1], images.shape[-1] * COLOR_LEVELS)


def binary_conv(planes: npt.NDArray[np.float32], weights: npt.NDArray[np.int8], stride: int) -> Ints:
    """Sums of products of -1 and +1 under a 3x3 kernel; positions outside the image count 0.

    float32 holds every sum exactly: there are at most 864 products in one.
    """
    _, height, width, _ = planes.shape
    padded = np.pad(planes, ((0, 0), (1, 1), (1, 1), (0, 0)))
    taps = [
        padded[:, row : row + height : stride, column : column + width : stride]
        for row in range(3)
        for column in range(3)
    ]
    windows = np.concatenate(taps, axis=-1)
    matrix = weights.transpose(2, 3, 1, 0).reshape(-1, len(weights)).astype(np.float32)
    sums = windows.reshape(-1, len(matrix)) @ matrix
    return sums.astype(np.int32).reshape(*windows.shape[:-1], len(weights))


def phase_sums(codes: Ints, weights: npt.NDArray[np.int8], stride: int) -> tuple[Ints, Ints]:
    """The convolutions M and L of the high and the low bits of the 2-bit `codes` 0 to 3.

    A bit counts -1 or +1: M and L are -9 * channels to 9 * channels, the activation is (2 M + L) / 3.
    """
    planes = np.concatenate([codes >> 1, codes & 1]).astype(np.float32)
    high, low = np.split(binary_conv(2 * planes - 1, weights, stride), 2)
    return high, low


def saturated(values: Ints) -> Ints:
    """`values` limited to the range of an activation."""
    return np.clip(values, ACTIVATION_LOW, ACTIVATION_HIGH)


def rounded(values: Ints, bits: int) -> Ints:
    """`values` / 2**bits, halves rounded up, saturated: an assignment to an activation."""
    return saturated((values + (1 << bits - 1)) >> bits)


def truncated(values: Ints, bits: int) -> Ints:
    """`values` / 2**bits, rounded towards 0 as ap_fixed's division does."""
    return (values + np.where(values < 0, (1 << bits) - 1, 0)) >> bits


def two_bit_codes(x: Ints) -> Ints:
    """0 to 3, the nearest of -1, -1/3, 1/3, 1."""
    return np.clip((3 * (x + ONE) + ONE) >> 8, 0, 3)


def gated_conv(x: Ints, stage: Stage) -> Ints:
    """The precision-gated convolution of the 2-bit activation, as an activation.

    The low bits' sums count only where 2/3 of the high bits' sum exceeds the channel's threshold. Both
    sums saturate at 256.0, which only 64 channels reach.
    """
    high, low = phase_sums(two_bit_codes(x), stage.weights, stage.stride)
    low = np.where(TWO_THIRDS * high > stage.threshold.raw, low, 0)
    high_part = rounded(TWO_THIRDS * saturated(ONE * high), PARAMETER_BITS)
    return rounded((high_part << PARAMETER_BITS) + ONE_THIRD * saturated(ONE * low), PARAMETER_BITS)


def batch_norm(x: Ints, norm: Affine) -> Ints:
    """weight * x + bias, rounded once."""
    return rounded(norm.weight.raw * x + ONE * norm.bias.raw, PARAMETER_BITS)


def rprelu(x: Ints, unit: RPReLU) -> Ints:
    """The shifted PReLU, rounded after each shift and after the slope."""
    x = rounded(2 * x + unit.shift_x.raw, 1)
    x = np.where(x < 0, rounded(unit.slope.raw * x, PARAMETER_BITS), x)
    return rounded(2 * x + unit.shift_y.raw, 1)


def shortcut(x: Ints, stage: Stage) -> Ints:
    """x, or where the channels double the mean of 2x2 positions, twice; the sum saturates at each step."""
    if stage.stride == 1:
        return x
    sums = x[:, 0::2, 0::2]
    for row, column in ((0, 1), (1, 0), (1, 1)):
        sums = saturated(sums + x[:, row::2, column::2])
    mean = truncated(sums, 2)
    return np.concatenate([mean, mean], axis=-1)


def fixed_point_stage(x: Ints, stage: Stage) -> Ints:
    """One stage, from activations to activations."""
    branch = rprelu(batch_norm(gated_conv(x, stage), stage.norm), stage.rprelu)
    return batch_norm(saturated(shortcut(x, stage) + branch), stage.post)


def global_mean(x: Ints) -> Ints:
    """The mean of 64 positions, (N, channels), summed in ap_fixed<32,10> that saturates at each step."""
    shift = POOL_BITS - 7
    positions = x.reshape(len(x), x.shape[1] * x.shape[2], x.shape[3]).astype(np.int64) << shift
    total = np.zeros_like(positions[:, 0])
    for position in range(positions.shape[1]):
        total = np.clip(total + positions[:, position], -(1 << 31), (1 << 31) - 1)
    return rounded(truncated(total, 6), shift)


def fixed_point_linear(x: Ints, linear: Affine) -> Ints:
    """Logits, value * 128: weights rounded again to 7 fraction bits, the sum rounded after each product."""
    weight, bias = (linear.weight.raw + 1) >> 1, (linear.bias.raw + 1) >> 1
    logits: Ints = np.tile(bias, (len(x), 1))
    for channel in range(x.shape[1]):
        logits = rounded(logits * ONE + x[:, channel, None] * weight[:, channel], 7)
    return logits


def affine(x: Floats | Ints, norm: Affine) -> Floats:
    """weight * x + bias per channel, in floating point."""
    return norm.weight.real * x + norm.bias.real


def floating_point_stage(x: Floats, stage: Stage) -> Floats:
    """One stage with the trained parameters, from real values to real values."""
    codes = (x >= -2 / 3).astype(np.int32) + (x >= 0) + (x >= 2 / 3)
    high, low = phase_sums(codes, stage.weights, stage.stride)
    sums = 2 * high + np.where(2 / 3 * high > stage.threshold.real, low, 0)
    branch = affine(sums / 3, stage.norm) + stage.rprelu.shift_x.real
    branch = np.where(branch < 0, stage.rprelu.slope.real * branch, branch) + stage.rprelu.shift_y.real
    if stage.stride == 2:
        count, height, width, channels = x.shape
        mean = x.reshape(count, height // 2, 2, width // 2, 2, channels).mean(axis=(2, 4))
        x = np.concatenate([mean, mean], axis=-1)
    return affine(x + branch, stage.post)
