"""Attention: two activations multiplied, bias by position, heads and windows; and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from bnn2fpga.build.compiler import Options, Pipeline
from bnn2fpga.build.verify import climb
from bnn2fpga.errors import ModelError
from bnn2fpga.frontend import load
from bnn2fpga.kernels.stream_product import StreamProduct
from tests.frontend.nets import Affine, conv, dense, images, levels, pixels, sign
from tests.some_slow import some_slow

BIT = (1, False)
"""A weight of attention: 0 or 1."""


class Bit(nn.Module):
    """0 or 1, as Brevitas can export it."""

    def __init__(self) -> None:
        super().__init__()
        self.sign = sign()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.sign(x) + 1) * 0.5


class Attention(nn.Module):
    """(N, C, H, W) signs: scores of queries and keys, thresholds or levels of them, weights times values.

    Keys and values come from every `k`-th pixel; `bias` is one a head, a query and a key.
    """

    def __init__(
        self,
        channels: int = 6,
        heads: int = 2,
        dim: int = 8,
        side: int = 4,
        k: int = 1,
        bias: bool = True,
        weights: tuple[int, bool] = BIT,
        query: Callable[[], nn.Module] = sign,
        value: Callable[[], nn.Module] = sign,
        moved: Callable[[torch.Tensor], torch.Tensor] = lambda scores: scores,
        windows: int = 1,
        below: str = "",
    ) -> None:
        super().__init__()
        self.heads, self.dim, self.windows, self.below = heads, dim, windows, below
        inner = heads * dim
        self.moved = moved
        self.start = nn.Sequential(pixels(), conv(3, channels, padding=1), sign())
        self.q = nn.Sequential(conv(channels, inner, 1), Affine(inner, 1, 1), query())
        self.k = nn.Sequential(conv(channels, inner, k, stride=k), Affine(inner, 1, 1), sign())
        self.v = nn.Sequential(conv(channels, inner, k, stride=k), Affine(inner, 1, 1), value())
        queries, keys = side * side // windows, (side // k) ** 2 // windows
        wide = (windows,) if windows > 1 else ()
        self.bias = nn.Parameter(torch.randn(1, *wide, heads, queries, keys) * dim**0.5 * bias)
        bits, signed = weights
        self.weigh = levels(bits, signed, step=2.0) if bits > 1 else Bit()
        self.out = nn.Sequential(Affine(inner, 1, 1), sign(), conv(inner, 5, 1), Affine(5, 1, 1), sign())
        self.end = dense(5 * side * side, 4)

    def apart(self, x: torch.Tensor) -> torch.Tensor:
        """(1, heads * d, H, W) to (1, [windows,] heads, d, tokens); windows are bands of whole rows."""
        if self.windows > 1:
            x = x.reshape(1, self.heads, self.dim, self.windows, -1)
            return x.permute(0, 3, 1, 2, 4)
        return x.reshape(1, self.heads, self.dim, -1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.start(x)
        q, k, v = (self.apart(layer(x)) for layer in (self.q, self.k, self.v))
        scores = self.moved(q.transpose(-1, -2) @ k)
        if (
            self.below
        ):  # p > 0.9 max, p > 0.7 max: BHViT's upper levels, as thresholds of a softmax's numerator
            below = (scores - scores.amax(-1, keepdim=True)) * self.dim**-0.5
            weights = self.weigh(torch.exp(below) * 4 - 1.5 if self.below == "exp" else below + 3)
        else:
            weights = self.weigh(scores + self.bias)
        mixed = (weights @ v.transpose(-1, -2)).transpose(-1, -2)
        if self.windows > 1:
            mixed = mixed.permute(0, 2, 3, 1, 4)
        mixed = mixed.reshape(1, self.heads * self.dim, *x.shape[2:])
        return self.end(self.out(mixed).flatten(1))


FORMS = {
    "reduced keys": {"k": 2},
    "two-bit weights": {"weights": (2, False)},
    "windows": {"windows": 2},
    "below the row's largest": {"below": "exp", "weights": (2, False), "dim": 16},
    "one head": {"heads": 1, "dim": 16},
    "below the row's largest, on the steps": {"below": "line", "weights": (2, False), "dim": 16},
    "two heads": {},
    "d = 32": {"heads": 1, "dim": 32, "k": 2},
    "d = 64": {"heads": 1, "dim": 64, "k": 2, "bias": False},
    "no bias": {"bias": False},
    "signed weights": {"weights": (3, True)},
    "two-bit queries": {"query": lambda: levels(2), "k": 2},
    "two-bit values": {"value": lambda: levels(2, True), "k": 2},
    "below the row's largest, d = 32": {"below": "exp", "dim": 32, "k": 2, "heads": 1},
}


def pipeline(frames: int = 1, **form: object) -> tuple[Pipeline, np.ndarray]:
    torch.manual_seed(7)
    net = Attention(**form).eval()
    side = int(np.sqrt(net.end.in_features / 5))
    x = images(3, frames, 3, side, side)
    with torch.no_grad():
        return Pipeline(load(net, x[:1]), Options(fps=2000)), x


@some_slow("name", list(FORMS), 4)
def test_forms(name: str) -> None:
    """All levels down to C++ and RTL, on the folded design."""
    made, x = pipeline(12, **FORMS[name])
    kinds = [type(node.kernel) for node in made.folded.nodes]
    assert kinds.count(StreamProduct) == 2
    levels_ = list(climb(made, x, None, 4, 2))
    assert [level.name for level in levels_ if not level.ok] == []
    assert len(levels_) >= 5
    scores = made.lowered.run(x)
    assert len(np.unique(scores, axis=0)) > 3


def largest_taken_off(scores: torch.Tensor) -> torch.Tensor:
    return scores - scores.amax(-1, keepdim=True)


def biased(scores: torch.Tensor) -> torch.Tensor:
    moved = scores + torch.arange(scores[0].numel()).reshape(scores.shape[1:])
    return largest_taken_off(moved)


REFUSED = {
    "softmax": ({"moved": lambda s: torch.softmax(s, -1)}, "a Softmax within the network divides floats"),
    "wide queries": ({"query": lambda: levels(5)}, "one of uint5; legal: 1 to 4 bits each"),
    "float queries": ({"query": lambda: nn.PReLU(16)}, "one is not quantized with a single scale"),
    "bias and largest": ({"moved": biased}, "as with a bias by position; leave the bias out"),
    "negative scale": (
        {"moved": lambda s: largest_taken_off(s * -0.25)},
        "no integers of one positive scale",
    ),
    "scores mixed up": (
        {"moved": lambda s: largest_taken_off(s.transpose(-1, -2))},
        "a row of its scores does not lie side by side",
    ),
    "another largest": (
        {"moved": lambda s: s * s.amax(-1, keepdim=True)},
        "does not arrive pixel by pixel",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    form, message = REFUSED[name]
    with pytest.raises(ModelError, match=message) as caught:
        _ = pipeline(**form)[0].lowered
    assert "\n" not in str(caught.value)


def test_other_heads() -> None:
    torch.manual_seed(0)

    class Net(nn.Module):
        """Queries' channels are taken apart head by head, keys' the other way round."""

        def __init__(self) -> None:
            super().__init__()
            self.start = nn.Sequential(pixels(), conv(3, 8, padding=1), sign())

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            signs = self.start(x)
            q = signs.reshape(1, 2, 4, 16).transpose(-1, -2)
            k = signs.reshape(1, 4, 2, 16).transpose(1, 2)
            return q @ k

    with pytest.raises(ModelError, match="arrive in an order that no kernel takes; legal: token after token"):
        _ = Pipeline(load(Net().eval(), images(0, 1, 3, 4, 4)), Options()).lowered


def test_the_largest_of_other_axes_is_not_the_row_s() -> None:
    """It is refused, not taken for the last axis'."""
    with pytest.raises(ModelError, match=r"ReduceMax|joins two streams|pixel by pixel"):
        _ = pipeline(moved=lambda s: s - s.amax((1, 3), keepdim=True))[0].lowered
