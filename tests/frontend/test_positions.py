"""Slices of rows and columns, borders in front of quantizers, channels moved to pixels: exact."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from brevitas import nn as qnn
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import pad

from bnn2fpga.errors import ModelError
from bnn2fpga.frontend import load, lower, streamline
from tests.frontend.nets import BinaryWeight, Call, affine, conv, levels, norm, pixels, sign
from tests.frontend.test_patterns import check_exact, kernels, seeded

SHAPE = (2, 7, 8)


def after(*layers: nn.Module) -> nn.Sequential:
    """Pixels, a convolution to 4 channels of 5 x 6, then `layers`."""
    return nn.Sequential(pixels(), conv(2, 4), affine(4), *layers)


@settings(max_examples=8, deadline=None)
@given(
    st.tuples(st.integers(0, 2), st.integers(3, 5), st.integers(1, 3)),
    st.tuples(st.integers(0, 3), st.integers(4, 6), st.integers(1, 2)),
    st.booleans(),
    st.integers(0, 99),
)
def test_any_crop(
    rows: tuple[int, int, int], columns: tuple[int, int, int], bipolar: bool, seed: int
) -> None:
    crop = Call(lambda x: x[:, :, slice(*rows), slice(*columns)])
    net = lambda: after(sign() if bipolar else levels(2), crop, conv(4, 3, 1), norm(3), sign())  # noqa: E731
    check_exact(seeded(net, seed), SHAPE, seed)


class OptionA(nn.Module):
    """The shortcut of CIFAR's residual networks without weights: pixels left out, channels of zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.last, self.head = conv(4, 8, padding=1, stride=2), sign(), conv(8, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        short = pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 3, 1))
        return self.head(self.last(self.body(x) + short))


@pytest.mark.parametrize("bits", [1, 2])
def test_shortcuts_without_weights(bits: int) -> None:
    net = lambda: after(sign() if bits == 1 else levels(2, True, step=1.0), OptionA())  # noqa: E731
    used = kernels(check_exact(seeded(net, 0), SHAPE, 0, cpp=bits == 1))
    assert "DepthwiseUnit" not in used, "what is every other pixel is no product"


def test_uneven_positions_are_refused() -> None:
    net = seeded(lambda: after(sign(), Call(lambda x: x[:, :, [0, 1, 3]]), conv(4, 3, 1)), 0)
    with pytest.raises(ModelError, match="takes some positions of an image and not others; legal: rows"):
        lower(streamline(load(net.eval(), np.zeros((1, *SHAPE), np.float32)))[0])


@settings(max_examples=6, deadline=None)
@given(st.tuples(*[st.integers(0, 2)] * 4), st.floats(-1.5, 1.5), st.booleans(), st.integers(0, 99))
def test_borders_in_front_of_quantizers(
    pads: tuple[int, ...], value: float, bipolar: bool, seed: int
) -> None:
    """The border of floats is quantized as the image is."""
    border, last = Call(lambda x: pad(x, pads, value=value)), sign() if bipolar else levels(3, True)
    check_exact(seeded(lambda: after(border, last, conv(4, 3), affine(3), sign()), seed), SHAPE, seed)


@pytest.mark.parametrize("quantized_first", [False, True])
def test_borders_of_lines(quantized_first: bool) -> None:
    """A causal convolution: pixels in front of a line only."""

    def net() -> nn.Module:
        border, last = (
            Call(lambda x: pad(x, (2, 0))),
            qnn.QuantConv1d(4, 3, 3, bias=False, weight_quant=BinaryWeight),
        )
        first = qnn.QuantConv1d(2, 4, 3, bias=False, weight_quant=BinaryWeight)
        for layer in (first, last):
            layer.weight.data = torch.randn_like(layer.weight)
        between = (sign(), border) if quantized_first else (border, sign())
        return nn.Sequential(pixels(), first, *between, last)

    check_exact(seeded(net, 0), (2, 9), 0)


@pytest.mark.parametrize("bipolar", [False, True])
def test_channels_to_pixels(bipolar: bool) -> None:
    layers = lambda: (sign() if bipolar else levels(2), nn.PixelShuffle(2), conv(1, 3))  # noqa: E731
    check_exact(seeded(lambda: after(*layers()), 0), SHAPE, 0, cpp=bipolar)
