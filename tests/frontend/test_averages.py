"""Pools over any windows and axes: padded, over channels, behind float nodes; exact at every level."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bnn2fpga.errors import ModelError
from bnn2fpga.frontend import load, lower, streamline
from bnn2fpga.frontend.lowering.graph_host import GraphHost
from tests.frontend.nets import (
    Call,
    TernaryWeight,
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
from tests.frontend.test_patterns import check_exact, kernels, seeded
from tests.frontend.test_weight_bits import check_rtl

SHAPE = (2, 7, 8)


def after(*layers: nn.Module) -> nn.Sequential:
    """Pixels, a convolution to 4 channels of 5 x 6, 3-bit numbers, then `layers`."""
    return nn.Sequential(pixels(), conv(2, 4), affine(4), levels(3), *layers)


@settings(max_examples=10, deadline=None)
@given(
    st.sampled_from([2, 3, (3, 2)]),
    st.integers(1, 3),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.integers(0, 99),
)
def test_any_average_pool(
    kernel: object, stride: int, padded: bool, ceil: bool, counted: bool, seed: int
) -> None:
    """Borders that count and that do not, last windows that reach over the image."""
    ceil = ceil and stride < 3  # onnx counts a last window that begins behind the image, onnxruntime does not
    pool = nn.AvgPool2d(kernel, stride, int(padded), ceil, counted)
    check_exact(
        seeded(lambda: after(pool, affine(4), sign(), conv(4, 3, 1)), seed), SHAPE, seed, exact_sums=True
    )


REDUCED: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "mean of channels": lambda x: x.mean(1, keepdim=True),
    "mean of channels and rows": lambda x: x.mean((1, 2))[:, None],
    "sum of channels": lambda x: x.sum(1, keepdim=True),
    "largest channel": lambda x: x.amax(1, keepdim=True),
    "mean of all": lambda x: x.mean((1, 2, 3), keepdim=True),
    "sum of all": lambda x: x.sum((1, 2, 3), keepdim=True) / 4,
    "largest of all": lambda x: x.amax((1, 2, 3), keepdim=True),
    "sum of an image": lambda x: x.sum((2, 3)),
    "sum of columns": lambda x: x.sum(3),
    "sum of rows, kept": lambda x: x.sum(2, keepdim=True),
}


@pytest.mark.parametrize("name", [name for name in REDUCED if name != "mean of channels and rows"])
def test_reductions(name: str) -> None:
    """Of 3-bit numbers, and of sums of one scale; the result quantized, then into a layer."""
    function = Call(REDUCED[name])
    numbers = lambda: after(function, levels(8, True, step=0.5), nn.Flatten())  # noqa: E731
    count = numbers().eval()(torch.zeros(1, *SHAPE)).shape[1]
    net = lambda: nn.Sequential(numbers(), dense(count, 3))  # noqa: E731
    design = check_exact(seeded(net, 1), SHAPE, 1, cpp=name == "mean of channels", exact_sums=True)
    if "mean" in name or "largest" in name:
        assert kernels(design).count("IntegerMvu") == 2, "a pool is no product"


def test_a_mean_that_arrives_in_pieces_is_refused() -> None:
    net = seeded(lambda: after(Call(REDUCED["mean of channels and rows"]), sign()), 0)
    with pytest.raises(ModelError, match="does not arrive pixel by pixel"):
        lower(streamline(load(net.eval(), np.zeros((1, *SHAPE), np.float32)))[0])


def test_rtl(tmp_path: Path) -> None:
    """Windows of neighbours, sums with ones and a crop are existing kernels on new shapes."""
    mean = Call(lambda x: torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1))
    net = lambda: after(Call(lambda x: x[:, :, 1:, ::2]), mean, affine(2), sign(), conv(2, 3, 2))  # noqa: E731
    design = check_exact(seeded(net, 0), SHAPE, 0, exact_sums=True)
    check_rtl(design, images(1, 3, *SHAPE), tmp_path)


@settings(max_examples=8, deadline=None)
@given(
    st.sampled_from([2, 3, (5, 6)]), st.sampled_from(["norm", "affine"]), st.booleans(), st.integers(0, 99)
)
def test_pools_behind_straight_lines(kernel: object, line: str, numbers: bool, seed: int) -> None:
    """The pool takes the integers, the thresholds behind it hold the batch norm, gains of both signs."""
    make = norm if line == "norm" else affine

    def net() -> nn.Module:
        last = levels(3, True) if numbers else sign()
        return nn.Sequential(pixels(), conv(2, 4), make(4), nn.AvgPool2d(kernel), last, conv(4, 3, 1))

    design = check_exact(seeded(net, seed), SHAPE, seed, exact_sums=True)
    assert isinstance(design.host, GraphHost) and not design.host.rounded


def test_pools_behind_slopes_need_trunk_bits() -> None:
    net = seeded(
        lambda: nn.Sequential(pixels(), conv(2, 4), prelu(4), nn.AvgPool2d(2), sign(), conv(4, 3, 1)), 0
    )
    model = streamline(load(net.eval(), np.zeros((1, *SHAPE), np.float32)))[0]
    with pytest.raises(ModelError, match=r"AveragePool_0: averages float values; .*--trunk-bits"):
        lower(model)
    assert lower(model, trunk_bits=6).host.rounded == ("AveragePool_0",)


def test_an_average_at_the_end_is_the_hosts() -> None:
    """Batch norm and a global average behind the last layer: scores on the host, without asking."""
    net = lambda: nn.Sequential(  # noqa: E731
        pixels(),
        conv(2, 4),
        sign(),
        conv(4, 3, weight=TernaryWeight),
        norm(3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    design = check_exact(seeded(net, 0), SHAPE, 0, powers_of_two=False)
    assert kernels(design)[-1] == "XnorMvu" or "Mvu" in kernels(design)[-1]
    assert isinstance(design.host, GraphHost) and design.host.decoding.reason is None


def test_what_stands_in_front_of_the_quantizer_stays_the_hosts() -> None:
    """A padded average, a sum and pixels dealt to channels are no layers there, and need no leave."""
    front = Call(
        lambda x: torch.nn.functional.pixel_shuffle(nn.functional.avg_pool2d(x, 3, 1, 1), 1) + x.sum(1, True)
    )
    net = lambda: nn.Sequential(front, pixels(), conv(2, 3), sign())  # noqa: E731
    raw = load(seeded(net, 0).eval(), np.zeros((1, *SHAPE), np.float32))
    assert not any(node.op_type == "Conv" for node in lower(streamline(raw)[0]).host.prologue)
