"""Binary CMT: a convolution-attention hybrid without batch norm, softmax or multiplier."""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from bnn2fpga.errors import ConfigError
from bnn2fpga.training.attention import Bits, Irffn, Lmhsa, Lpu
from bnn2fpga.training.hybrid import Hybrid, embedding, stem
from bnn2fpga.training.observe import observe


class Block(nn.Module):  # type: ignore[misc]
    """LPU, attention, feed-forward, all residual: the trunk's variance grows by one with each of them."""

    def __init__(
        self, channels: int, side: int, heads: int, k: int, ratio: int, variance: float, bits: int
    ) -> None:
        super().__init__()
        deviations = [math.sqrt(variance + place) for place in range(3)]
        self.lpu = Lpu(channels, deviations[0], bits)
        self.attention = Lmhsa(channels, side, heads, k, deviations[1], bits)
        self.feed_forward = Irffn(channels, ratio, deviations[2], bits)

    def forward(self, x: Tensor) -> Tensor:
        return self.feed_forward(self.attention(self.lpu(x)))


class BinaryCmt(Hybrid):
    """(N, C, H, W) in [0, 1) to scores (N, classes) by a last linear layer in floating point, for the host.

    CMT (Guo et al., arXiv 2107.06263) with signs in front of every layer, attention by thresholds and a trunk
    on a grid of 2^-`fraction_bits`. A 3x3 convolution of stride 2, then a stage for each of `dims`: `depths`
    blocks whose keys and values come from a map `reductions` times smaller; in front of all but the first a
    2x2 convolution of stride 2. `ratio` widens the feed-forward layers.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: int,
        dims: Sequence[int] = (32, 64),
        depths: Sequence[int] = (1, 1),
        heads: Sequence[int] = (1, 2),
        reductions: Sequence[int] = (2, 1),
        ratio: int = 2,
        fraction_bits: int = 4,
    ) -> None:
        if not len(dims) == len(depths) == len(heads) == len(reductions):
            raise ConfigError("bcmt: dims, depths, heads and reductions need one number a stage each")
        channels, side, width = shape
        if side != width:
            raise ConfigError(f"bcmt: images of {side} x {width}; legal: square ones")
        side = (side + 1) // 2
        layers = stem(channels, dims[0], fraction_bits)
        variance = 1.0
        for stage, (dim, depth, head, k) in enumerate(zip(dims, depths, heads, reductions, strict=True)):
            if stage:
                layers += embedding(dims[stage - 1], dim, variance, fraction_bits)
                side, variance = side // 2, 1.0
            if dim % head or side % k:
                raise ConfigError(
                    f"bcmt: stage {stage}: {dim} channels in {head} heads, images of {side} pixels reduced "
                    f"{k} times; legal: numbers that divide"
                )
            for _ in range(depth):
                layers.append(Block(dim, side, head, k, ratio, variance, fraction_bits))
                variance += 3
        super().__init__(layers, dims[-1], variance, classes)


def attention_maps(net: BinaryCmt, images: Tensor) -> list[Tensor]:
    """For each block (N, heads, queries, keys) of 0 and 1: what attends to what."""
    found: list[Tensor] = []
    observe(net, images, (Bits,), lambda _, __, bits: found.append(bits))
    return found
