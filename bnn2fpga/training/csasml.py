"""CSASML: cross-scale attention and split-and-mixed layers.

Our reconstruction: of the paper only the abstract is public, so what that does not say is ours. The channels
of a split layer's halves are mixed in front of the whole convolution that follows, behind the residual
sum, so that the trunk keeps its order. In hardware the order goes into that convolution's weights.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bnn2fpga.errors import ConfigError
from bnn2fpga.training.attention import MovedSign, ThresholdAttention, TrunkConv
from bnn2fpga.training.fractional import OnGrid, RPReLU
from bnn2fpga.training.hybrid import Hybrid, embedding, stem
from bnn2fpga.training.layers import BinaryConv2d, Sign
from bnn2fpga.training.observe import observe

HALVES = 2
DIM = 16
"""Of the one head of a cross-scale attention."""


def shuffled(x: Tensor) -> Tensor:
    """(N, C, H, W) with the channels of both halves in turns."""
    halves = x.reshape(len(x), HALVES, -1, *x.shape[2:])
    return halves.transpose(1, 2).reshape(x.shape)


class Branch(nn.Module):  # type: ignore[misc]
    """(N, C, H, W) plus a 3x3 convolution of its signs: with `split` one of each half, else of all, mixed."""

    def __init__(self, channels: int, deviation: float, bits: int, split: bool) -> None:
        super().__init__()
        self.split, self.start = split, MovedSign(channels, deviation)
        self.conv = BinaryConv2d(channels, channels, 3, padding=1, groups=HALVES if split else 1)
        self.rprelu, self.grid = RPReLU(channels, powers=True), OnGrid(bits)

    def forward(self, x: Tensor) -> Tensor:
        signs = self.start(x)
        return x + self.grid(self.rprelu(self.conv(signs if self.split else shuffled(signs))))


class SplitBlock(nn.Module):  # type: ignore[misc]
    """A whole 3x3 convolution, then a split-and-mixed one: a quarter fewer operations than two whole ones."""

    def __init__(self, channels: int, deviation: float, bits: int, split: bool) -> None:
        super().__init__()
        self.whole = Branch(channels, deviation, bits, split=False)
        self.mixed = Branch(channels, math.sqrt(deviation**2 + 1), bits, split)

    def forward(self, x: Tensor) -> Tensor:
        return self.mixed(self.whole(x))


class CrossScaleAttention(nn.Module):  # type: ignore[misc]
    """(N, C, side, side) plus what its queries find in keys and values of a map half as wide and high."""

    def __init__(self, channels: int, side: int, deviation: float, bits: int) -> None:
        super().__init__()
        small = side // 2
        self.start, self.coarse = MovedSign(channels, deviation), TrunkConv(channels, 2, 2, deviation, bits)
        self.coarse_sign = MovedSign(channels)
        self.q, self.k, self.v = (BinaryConv2d(channels, DIM, 1) for _ in range(3))
        self.q_sign, self.k_sign, self.v_sign = Sign(), Sign(), Sign()
        self.attend = ThresholdAttention(1, DIM, side * side, small * small)
        self.mixed, self.project = (
            MovedSign(DIM, math.sqrt(small * small / 4)),
            BinaryConv2d(DIM, channels, 1),
        )
        self.grid = OnGrid(bits)

    def forward(self, x: Tensor) -> Tensor:
        coarse = self.coarse_sign(self.coarse(x))
        query, key, value = self.q(self.start(x)), self.k(coarse), self.v(coarse)
        found = self.attend(self.q_sign(query), self.k_sign(key), self.v_sign(value))
        return x + self.grid(self.project(self.mixed(found)))


class Csasml(Hybrid):
    """(N, C, H, W) in [0, 1) to scores (N, classes) by a last linear layer in floating point, for the host.

    A 3x3 convolution of stride 2, then a stage for each of `dims`: `depth` blocks and a cross-scale
    attention; in front of all but the first a 2x2 convolution of stride 2. Without `split` both convolutions
    of a block are whole, without `attention` there is none: what the two are worth is measured so.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: int,
        dims: Sequence[int] = (32, 64),
        depth: int = 1,
        split: bool = True,
        attention: bool = True,
        fraction_bits: int = 4,
    ) -> None:
        channels, side, width = shape
        side = (side + 1) // 2
        if shape[1] != width or side % 2 ** (len(dims) - 1) or any(dim % HALVES for dim in dims):
            raise ConfigError(
                f"csasml: images of {shape[1]} x {width}, channels {list(dims)}; legal: square images that "
                f"halve {len(dims)} times, even numbers of channels"
            )
        layers = stem(channels, dims[0], fraction_bits)
        variance = 1.0
        for stage, dim in enumerate(dims):
            if stage:
                layers += embedding(dims[stage - 1], dim, variance, fraction_bits)
                side, variance = side // 2, 1.0
            for _ in range(depth):
                layers.append(SplitBlock(dim, math.sqrt(variance), fraction_bits, split))
                variance += 2
            if attention:
                layers.append(CrossScaleAttention(dim, side, math.sqrt(variance), fraction_bits))
                variance += 1
        super().__init__(layers, dims[-1], variance, classes)


def block_products(net: Csasml, shape: tuple[int, int, int]) -> int:
    """Products of single bits in the convolutions of all blocks, for one image of `shape`."""
    found: list[int] = []

    def hook(branch: Branch, inputs: tuple[Any, ...], output: Tensor) -> None:
        found.append(output[0].numel() * branch.conv.weight[0].numel())

    observe(net, torch.zeros(1, *shape), (Branch,), hook)
    return sum(found)
