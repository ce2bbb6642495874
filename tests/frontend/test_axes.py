"""Networks whose axes lie or move otherwise than (batch, channels, height, width): exact at every level."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from brevitas import nn as qnn
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from bnn2fpga.frontend import load
from tests.frontend.nets import (
    BinaryWeight,
    Call,
    affine,
    conv,
    dense,
    images,
    levels,
    norm,
    pixels,
    prelu,
    sign,
)
from tests.frontend.test_patterns import FRAMES, check_exact, check_graph, kernels, seeded

SHAPE = (3, 6, 7)


def after(*layers: nn.Module) -> nn.Sequential:
    """Pixels, a convolution to 8 channels of 4 x 5, then `layers`."""
    return nn.Sequential(pixels(), conv(3, 8), affine(8), *layers)


def shuffled(groups: int) -> nn.Module:
    """Channels dealt out to as many piles, one after another."""
    return Call(lambda x: x.reshape(x.shape[0], groups, -1, *x.shape[2:]).transpose(1, 2).reshape(x.shape))


def parts(*forward: Callable[[Tensor], Tensor]) -> nn.Module:
    """What several functions make of one tensor, behind one another."""
    return Call(lambda x: torch.cat([one(x) for one in forward], 1))


NETS: dict[str, Callable[[], nn.Module]] = {
    "shuffled, convolution": lambda: after(sign(), shuffled(2), conv(8, 5, padding=1)),
    "shuffled numbers, depthwise": lambda: after(levels(3), shuffled(4), conv(8, 8, groups=8)),
    "depthwise with scales, then shuffled": lambda: after(
        sign(), shuffled(2), conv(8, 8, groups=8), affine(8), sign(), shuffled(4), conv(8, 3, 1)
    ),
    "shuffled, groups": lambda: after(sign(), shuffled(2), conv(8, 4, padding=1, groups=2)),
    "shuffled, max pool": lambda: after(levels(2), shuffled(2), nn.MaxPool2d(2), conv(8, 4, 1)),
    "shuffled, batch norm, max pool, sign": lambda: after(
        levels(2), shuffled(2), norm(8), nn.MaxPool2d(2), sign(), conv(8, 4, 1)
    ),
    "shuffled, average pool": lambda: after(levels(2), shuffled(4), nn.AvgPool2d(2), norm(8), sign()),
    "shuffled at the end": lambda: after(sign(), conv(8, 6, 1), shuffled(3)),
    "chunks": lambda: after(
        sign(), parts(lambda x: x.chunk(2, 1)[1], lambda x: x.chunk(2, 1)[0]), conv(8, 3, 1)
    ),
    "three unequal pieces": lambda: after(
        levels(2),
        parts(lambda x: x[:, 5:], lambda x: x[:, :1], lambda x: x[:, 1:5]),
        affine(8),
        sign(),
        conv(8, 3, 1),
    ),
    "overlapping pieces": lambda: after(
        sign(), parts(lambda x: x[:, :6], lambda x: x[:, 2:]), conv(12, 3, 1)
    ),
    "a piece, the rest read by nothing": lambda: after(sign(), Call(lambda x: x[:, 2:5]), conv(3, 4, 1)),
    "every second channel": lambda: after(levels(2), Call(lambda x: x[:, ::2]), conv(4, 4, 1)),
    "channels by number": lambda: after(levels(2), Call(lambda x: x[:, [5, 0, 3]]), conv(3, 4, 1)),
    "some sums": lambda: after(
        sign(), conv(8, 6, 1), Call(lambda x: x[:, 1:4]), norm(3), sign(), conv(3, 2, 1)
    ),
    "mean over height and width": lambda: after(levels(3), Call(lambda x: x.mean((2, 3))), dense(8, 5)),
    "mean, kept axes": lambda: after(
        sign(), Call(lambda x: x.mean((2, 3), keepdim=True)), affine(8), sign(), conv(8, 3, 1)
    ),
    "mean over the width": lambda: after(levels(2), Call(lambda x: x.mean(3)), nn.Flatten(), dense(32, 5)),
    "mean, channels last": lambda: after(
        levels(2), Call(lambda x: x.permute(0, 2, 3, 1).mean((1, 2))), dense(8, 5)
    ),
    "largest over height and width": lambda: after(levels(3), Call(lambda x: x.amax((2, 3))), dense(8, 5)),
    "largest of batch norm": lambda: after(
        sign(), conv(8, 6, 1), norm(6), nn.AdaptiveMaxPool2d(1), nn.Flatten(), sign(), dense(6, 5)
    ),
}

BATCHES: dict[str, Callable[[], nn.Module]] = {
    "lost and found": lambda: after(
        sign(),
        conv(8, 6, (4, 5)),
        Call(lambda x: x.squeeze()),
        sign(),
        Call(lambda x: x.unsqueeze(0)),
        dense(6, 5),
    ),
    "lost": lambda: after(sign(), conv(8, 6, (4, 5)), Call(lambda x: x.squeeze())),
    "all in one row": lambda: after(
        sign(), Call(lambda x: x.reshape(-1)), Call(lambda x: x.reshape(1, 160)), dense(160, 5)
    ),
    "channels in a row each": lambda: after(
        levels(2), Call(lambda x: x.reshape(8, 20).transpose(0, 1).reshape(1, 160)), dense(160, 5)
    ),
}

LINES: dict[str, Callable[[], nn.Module]] = {
    "convolutions": lambda: nn.Sequential(
        pixels(), line(3, 4, padding=1, stride=2), norm(4, nn.BatchNorm1d), sign(), line(4, 5, dilation=2)
    ),
    "pools": lambda: nn.Sequential(
        pixels(), line(3, 4), prelu(4), nn.MaxPool1d(2), levels(2), nn.AvgPool1d(3, 2),
        norm(4, nn.BatchNorm1d), sign(), nn.Flatten(), dense(16, 5),
    ),
    "global pools": lambda: nn.Sequential(
        pixels(), line(3, 4), norm(4, nn.BatchNorm1d), levels(2), nn.AdaptiveAvgPool1d(1), nn.Flatten(),
        dense(4, 5),
    ),
    "depthwise and groups": lambda: nn.Sequential(
        pixels(), line(3, 4), norm(4, nn.BatchNorm1d), sign(), line(4, 4, groups=4), norm(4, nn.BatchNorm1d),
        sign(), line(4, 6, groups=2),
    ),
}  # fmt: skip


def line(inputs: int, outputs: int, kernel: int = 3, **options: object) -> nn.Module:
    layer = qnn.QuantConv1d(inputs, outputs, kernel, bias=False, weight_quant=BinaryWeight, **options)
    layer.weight.data = torch.randn_like(layer.weight)
    return layer


COMPILED = ("three unequal pieces", "every second channel", "shuffled, groups")


@pytest.mark.parametrize("name", NETS)
def test_images(name: str) -> None:
    check_exact(seeded(NETS[name], 0), SHAPE, 0, name in COMPILED, powers_of_two="mean" not in name)


@pytest.mark.parametrize("name", LINES)
def test_lines(name: str) -> None:
    check_exact(seeded(LINES[name], 0), (3, 22), 0, name == "pools", powers_of_two="pools" not in name)


@pytest.mark.parametrize("name", BATCHES)
def test_the_batch_may_be_lost_on_the_way(name: str) -> None:
    net = seeded(BATCHES[name], 0).eval()
    check_graph(load(net, np.zeros((1, *SHAPE), np.float32)), images(0, FRAMES, *SHAPE), 0)


def test_a_shuffle_costs_nothing() -> None:
    design = check_exact(seeded(NETS["shuffled, convolution"], 0), SHAPE, 0)
    plain = check_exact(seeded(lambda: after(sign(), conv(8, 5, padding=1)), 0), SHAPE, 0)
    assert kernels(design) == kernels(plain)


@settings(max_examples=15, deadline=None)
@given(st.permutations(range(6)), st.integers(1, 3), st.integers(0, 99))
def test_any_permutation_goes_into_the_weights(order: list[int], groups: int, seed: int) -> None:
    """Of channels between two layers; of all elements in front of a dense one."""
    net = lambda: nn.Sequential(  # noqa: E731
        pixels(), conv(2, 6), affine(6), levels(2), Call(lambda x: x[:, order]), conv(6, 6, 2, groups=groups),
        affine(6), sign(), Call(lambda x: x.permute(0, 3, 1, 2).flatten(1)), dense(24, 3),
    )  # fmt: skip
    check_exact(seeded(net, seed), (2, 5, 5), seed)


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from([(0, 2, 3, 1), (0, 3, 1, 2), (0, 1, 3, 2), (0, 3, 2, 1)]),
    st.integers(1, 3),
    st.integers(0, 99),
)
def test_the_input_may_have_its_axes_in_any_order(axes: tuple[int, ...], channels: int, seed: int) -> None:
    net = lambda: nn.Sequential(  # noqa: E731
        pixels(), Call(lambda x: x.permute(axes)), conv(channels, 4, 2), affine(4), sign(), conv(4, 3, 2)
    )
    sizes = [1, channels, 5, 6]
    shape = tuple(sizes[axes.index(place)] for place in range(1, 4))
    check_exact(seeded(net, seed), shape, seed)
