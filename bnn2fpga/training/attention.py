"""Attention of signs, without a softmax: a query attends to a key where their score reaches a threshold.

Queries, keys and values are signs, so a score is a popcount. The threshold is learned, one a head
(Qiao et al., COBRA, arXiv 2504.16269), and a bias a head, query and key moves it. Here

    a_ij = [q_i . k_j / sqrt(d) + B_hij >= lambda_h],   o_i = sum_j a_ij v_j

so hardware compares each score with a constant and counts; nothing is divided. Convolutions of the trunk
have +-1 weights, so they add and subtract its numbers (LPU and IRFFN: Guo et al., CMT, arXiv 2107.06263).
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from bnn2fpga.training.fractional import OnGrid, RPReLU
from bnn2fpga.training.layers import BinaryConv2d, Sign, at_least, at_most

QUARTER = 0.67
"""Upper quartile of a standard normal score: at first a quarter of the keys is attended to."""


class Bits(nn.Module):  # type: ignore[misc]
    """Any shape to 1 where x >= 0, else 0; the gradient passes where |x| <= 1.

    Brevitas exports integers of one bit as signs, so this is a sign, plus 1, halved.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sign = Sign()

    def forward(self, x: Tensor) -> Any:
        return _BitSte.apply(x) if self.training else (self.sign(x) + 1) * 0.5


class _BitSte(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return at_least(x, 0.0)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grad * at_most(x.abs(), 1.0)


class MovedSign(nn.Module):  # type: ignore[misc]
    """The sign of (N, C, H, W) of standard deviation `deviation`, with a shift a channel."""

    def __init__(self, channels: int, deviation: float = 1.0) -> None:
        super().__init__()
        self.deviation, self.sign = deviation, Sign()
        self.shift = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Any:
        return self.sign(x / self.deviation + self.shift)


class ThresholdAttention(nn.Module):  # type: ignore[misc]
    """Queries (N, heads * d, H, W), keys and values (N, heads * d, h, w), all signs, to (N, heads * d, H, W).

    What comes out are integers of -h * w to h * w: the sum of the values that each query attends to.
    """

    def __init__(self, heads: int, dim: int, queries: int, keys: int, bias: bool = True) -> None:
        super().__init__()
        self.heads, self.dim = heads, dim
        self.limit = nn.Parameter(torch.full((1, heads, 1, 1), QUARTER))
        self.bias = nn.Parameter(torch.zeros(1, heads, queries, keys)) if bias else None
        self.bits = Bits()

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        q, k, v = (x.reshape(len(x), self.heads, self.dim, -1) for x in (query, key, value))
        moved = -self.limit if self.bias is None else self.bias - self.limit
        weights = self.bits((q.transpose(2, 3) @ k) * self.dim**-0.5 + moved)
        return (v @ weights.transpose(2, 3)).reshape(query.shape)


class TrunkConv(nn.Module):  # type: ignore[misc]
    """A depthwise convolution of the trunk, +-1 weights, back on the trunk's grid."""

    def __init__(self, channels: int, kernel: int, stride: int, deviation: float, fraction_bits: int) -> None:
        super().__init__()
        padding = kernel // 2 if stride == 1 else 0
        self.conv = BinaryConv2d(
            channels, channels, kernel, padding, 1 / deviation, stride=stride, groups=channels
        )
        self.grid = OnGrid(fraction_bits)

    def forward(self, x: Tensor) -> Any:
        return self.grid(self.conv(x))


class Lmhsa(nn.Module):  # type: ignore[misc]
    """Lightweight multi-head attention of (N, C, side, side): keys and values from a map k times smaller."""

    def __init__(
        self, channels: int, side: int, heads: int, k: int, deviation: float, fraction_bits: int
    ) -> None:
        super().__init__()
        small = side // k
        self.start = MovedSign(channels, deviation)
        self.reduce = TrunkConv(channels, k, k, deviation, fraction_bits) if k > 1 else None
        self.reduced = MovedSign(channels) if k > 1 else None
        self.q, self.k, self.v = (BinaryConv2d(channels, channels, 1) for _ in range(3))
        self.q_sign, self.k_sign, self.v_sign = Sign(), Sign(), Sign()
        self.attend = ThresholdAttention(heads, channels // heads, side * side, small * small)
        self.mixed = MovedSign(channels, math.sqrt(small * small / 4))
        self.project = BinaryConv2d(channels, channels, 1)
        self.rprelu, self.grid = RPReLU(channels, powers=True), OnGrid(fraction_bits)

    def forward(self, x: Tensor) -> Tensor:
        signs = self.start(x)
        source = signs if self.reduce is None or self.reduced is None else self.reduced(self.reduce(x))
        query, key, value = (
            self.q_sign(self.q(signs)),
            self.k_sign(self.k(source)),
            self.v_sign(self.v(source)),
        )
        mixed = self.mixed(self.attend(query, key, value))
        return x + self.grid(self.rprelu(self.project(mixed)))


class Lpu(nn.Module):  # type: ignore[misc]
    """Local perception unit: (N, C, H, W) plus a 3x3 depthwise convolution of it."""

    def __init__(self, channels: int, deviation: float, fraction_bits: int) -> None:
        super().__init__()
        self.conv = TrunkConv(channels, 3, 1, deviation, fraction_bits)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x)


class Irffn(nn.Module):  # type: ignore[misc]
    """Inverted residual feed-forward: (N, C, H, W) to `ratio` times the channels, an LPU there, and back."""

    def __init__(self, channels: int, ratio: int, deviation: float, fraction_bits: int) -> None:
        super().__init__()
        wide = ratio * channels
        self.start, self.expand = MovedSign(channels, deviation), BinaryConv2d(channels, wide, 1)
        self.bent, self.wide_grid = RPReLU(wide, powers=True), OnGrid(fraction_bits)
        self.local = Lpu(wide, 1.0, fraction_bits)
        self.middle, self.project = MovedSign(wide, math.sqrt(2)), BinaryConv2d(wide, channels, 1)
        self.rprelu, self.grid = RPReLU(channels, powers=True), OnGrid(fraction_bits)

    def forward(self, x: Tensor) -> Tensor:
        wide = self.local(self.wide_grid(self.bent(self.expand(self.start(x)))))
        return x + self.grid(self.rprelu(self.project(self.middle(wide))))
