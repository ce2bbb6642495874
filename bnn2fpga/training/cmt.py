"""CMT in floating point (Guo et al., arXiv 2107.06263): to count, to compare with and to distil from.

As the public code has it, keys and values share one depthwise reduction with a norm, and the position bias is
one absolute table a stage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bnn2fpga.errors import ConfigError
from bnn2fpga.training.observe import observe


@dataclass(frozen=True)
class Size:
    """A published size: image side, channels and blocks of each stage, the stem's channels, and `ratio`."""

    side: int
    dims: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]
    stem: int
    ratio: float


SIZES = {
    "ti": Size(160, (46, 92, 184, 368), (2, 2, 10, 2), 16, 3.6),
    "xs": Size(192, (52, 104, 208, 416), (3, 3, 12, 3), 16, 3.77),
    "s": Size(224, (64, 128, 256, 512), (3, 3, 16, 3), 32, 4),
    "b": Size(256, (76, 152, 304, 608), (4, 4, 20, 4), 38, 4),
}
HEADS, REDUCTIONS = (1, 2, 4, 8), (8, 4, 2, 1)
"""Of the four stages."""
FEATURES = 1280


class LocalPerception(nn.Module):  # type: ignore[misc]
    """(N, C, H, W) plus a 3x3 depthwise convolution of it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x)


class LightAttention(nn.Module):  # type: ignore[misc]
    """Tokens (N, n, C) of an image of `side`; keys and values from one that is `k` times smaller."""

    def __init__(self, channels: int, heads: int, side: int, k: int) -> None:
        super().__init__()
        self.heads, self.side = heads, side
        self.q, self.k, self.v = (nn.Linear(channels, channels) for _ in range(3))
        self.reduce = (
            nn.Sequential(
                nn.Conv2d(channels, channels, k, stride=k, groups=channels), nn.BatchNorm2d(channels)
            )
            if k > 1
            else None
        )
        self.project = nn.Linear(channels, channels)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        small = x
        if self.reduce is not None:
            image = x.transpose(1, 2).reshape(len(x), -1, self.side, self.side)
            small = self.reduce(image).flatten(2).transpose(1, 2)
        q, k, v = (
            part.reshape(len(x), -1, self.heads, part.shape[2] // self.heads).transpose(1, 2)
            for part in (self.q(x), self.k(small), self.v(small))
        )
        scores = q @ k.transpose(2, 3) * q.shape[-1] ** -0.5 + bias
        return self.project((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


class FeedForward(nn.Module):  # type: ignore[misc]
    """Inverted residual: a 1x1 convolution to `wide` channels, a depthwise one beside it, and back."""

    def __init__(self, channels: int, wide: int) -> None:
        super().__init__()
        self.expand = nn.Sequential(nn.Conv2d(channels, wide, 1), nn.GELU(), nn.BatchNorm2d(wide))
        self.depthwise = nn.Conv2d(wide, wide, 3, padding=1, groups=wide)
        self.norm = nn.BatchNorm2d(wide)
        self.project = nn.Sequential(nn.Conv2d(wide, channels, 1), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        wide = self.expand(x)
        return self.project(self.norm(F.gelu(self.depthwise(wide)) + wide))


class CmtBlock(nn.Module):  # type: ignore[misc]
    """Perception, attention, feed-forward, each residual."""

    def __init__(self, channels: int, heads: int, side: int, k: int, ratio: float) -> None:
        super().__init__()
        self.local = LocalPerception(channels)
        self.before, self.behind = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.attention = LightAttention(channels, heads, side, k)
        self.feed_forward = FeedForward(channels, int(channels * ratio))

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        x = self.local(x)
        shape = x.shape
        tokens = x.flatten(2).transpose(1, 2)
        tokens = tokens + self.attention(self.before(tokens), bias)
        image = self.behind(tokens).transpose(1, 2).reshape(shape)
        return tokens.transpose(1, 2).reshape(shape) + self.feed_forward(image)


class Cmt(nn.Module):  # type: ignore[misc]
    """(N, 3, side, side) to scores (N, classes), in one of the published SIZES."""

    def __init__(self, size: Size, classes: int = 1000) -> None:
        super().__init__()
        stem: list[nn.Module] = []
        for place in range(3):
            stem += [
                nn.Conv2d(size.stem if place else 3, size.stem, 3, 1 if place else 2, 1),
                nn.GELU(),
                nn.BatchNorm2d(size.stem),
            ]
        self.stem = nn.Sequential(*stem)
        self.embed, self.norms = nn.ModuleList(), nn.ModuleList()
        self.stages, self.biases = nn.ModuleList(), nn.ParameterList()
        channels, side = size.stem, size.side // 2
        for dim, depth, heads, k in zip(size.dims, size.depths, HEADS, REDUCTIONS, strict=True):
            side //= 2
            self.embed.append(nn.Conv2d(channels, dim, 2, 2))
            self.norms.append(nn.LayerNorm(dim))
            blocks = [CmtBlock(dim, heads, side, k, size.ratio) for _ in range(depth)]
            self.stages.append(nn.ModuleList(blocks))
            self.biases.append(nn.Parameter(torch.zeros(heads, side**2, side**2 // k**2)))
            channels = dim
        self.features = nn.Sequential(nn.Conv2d(channels, FEATURES, 1), nn.BatchNorm2d(FEATURES), nn.GELU())
        self.head = nn.Linear(FEATURES, classes)

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        for embed, norm, blocks, bias in zip(self.embed, self.norms, self.stages, self.biases, strict=True):
            x = norm(embed(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
            for block in blocks:
                x = block(x, bias)
        return self.head(self.features(x).mean((2, 3)))


@dataclass(frozen=True)
class FloatCounts:
    """Of one image: multiply-accumulates by kind, and parameters."""

    convolutions: int
    depthwise: int
    linear: int
    attention: int
    parameters: int

    @property
    def macs(self) -> int:
        """All of them."""
        return self.convolutions + self.depthwise + self.linear + self.attention


def count_size(name: str) -> FloatCounts:
    """Of one of the SIZES; a ConfigError for another name."""
    if name not in SIZES:
        raise ConfigError(f"size {name!r} of cmt is not known; legal: {', '.join(SIZES)}")
    with torch.device("meta"):
        return count_macs(Cmt(SIZES[name]), SIZES[name].side)


def count_macs(net: Cmt, side: int) -> FloatCounts:
    """Counted on the modules as one image passes; on PyTorch's device `meta` nothing is computed."""
    found = {"convolutions": 0, "depthwise": 0, "linear": 0, "attention": 0}

    def hook(layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        if isinstance(layer, LightAttention):
            tokens, channels = inputs[0].shape[1:]
            keys = inputs[1].shape[-1]
            found["attention"] += 2 * tokens * keys * channels
        elif isinstance(layer, nn.Linear):
            found["linear"] += output.numel() * layer.in_features
        else:
            kind = "depthwise" if layer.groups > 1 else "convolutions"
            found[kind] += output.numel() * layer.weight[0].numel()

    images = torch.zeros(1, 3, side, side, device=next(net.parameters()).device)
    observe(net, images, (nn.Conv2d, nn.Linear, LightAttention), hook)
    return FloatCounts(**found, parameters=sum(p.numel() for p in net.parameters()))
