"""Upsampling and transposed convolutions: exact at every level, or refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from brevitas import nn as qnn
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bnn2fpga.kernels.sliding_window import SlidingWindow
from tests.frontend.nets import BinaryWeight, Call, TernaryWeight, affine, conv, levels, pixels, sign
from tests.frontend.test_patterns import check_exact, seeded

SHAPE = (2, 5, 6)


def transposed(
    inputs: int, outputs: int, kernel: int = 2, weight: type = BinaryWeight, **options: object
) -> nn.Module:
    layer = qnn.QuantConvTranspose2d(
        inputs, outputs, kernel, weight_quant=weight, **{"bias": False, "stride": 2, **options}
    )
    layer.weight.data = torch.randn_like(layer.weight)
    return layer


def after(*layers: nn.Module) -> nn.Sequential:
    """Pixels, a convolution to 4 channels of 3 x 4, then `layers`."""
    return nn.Sequential(pixels(), conv(2, 4), affine(4), *layers)


NETS: dict[str, Callable[[], nn.Module]] = {
    "twice as large": lambda: after(sign(), nn.Upsample(scale_factor=2), conv(4, 3, padding=1)),
    "by factors of their own": lambda: after(levels(3), nn.Upsample(scale_factor=(1, 3)), conv(4, 3, 2)),
    "to a size": lambda: after(levels(2), nn.Upsample(size=(9, 8)), conv(4, 3, padding=1)),
    "at the end": lambda: after(sign(), conv(4, 3), nn.Upsample(scale_factor=3)),
    "at the input": lambda: nn.Sequential(pixels(), nn.Upsample(scale_factor=2), conv(2, 3)),
    "sums": lambda: after(sign(), conv(4, 3, 2), nn.Upsample(scale_factor=2), affine(3), sign(), conv(3, 2)),
    "shuffled channels": lambda: after(
        levels(2), Call(lambda x: x[:, [2, 0, 3, 1]]), nn.Upsample(scale_factor=2), conv(4, 3)
    ),
    "transposed": lambda: after(sign(), transposed(4, 3), affine(3), sign(), conv(3, 2)),
    "transposed with a bias": lambda: after(sign(), transposed(4, 3, bias=True), sign(), conv(3, 2)),
    "transposed, padded": lambda: after(levels(2), transposed(4, 3, 4, padding=1), affine(3), sign()),
    "transposed, output padding": lambda: after(sign(), transposed(4, 3, 3, padding=1, output_padding=1)),
    "transposed, dilated, stride 1": lambda: after(sign(), transposed(4, 3, 3, stride=1, dilation=2)),
    "transposed, stride 3, ternary": lambda: after(sign(), transposed(4, 3, 3, TernaryWeight, stride=3)),
    "transposed, groups": lambda: after(levels(2), transposed(4, 6, groups=2)),
    "transposed, depthwise": lambda: after(sign(), transposed(4, 4, 3, groups=4), affine(4), sign()),
    "transposed at the input": lambda: nn.Sequential(sign(), transposed(2, 3), affine(3), sign()),
}


@pytest.mark.parametrize("name", NETS)
def test_networks(name: str) -> None:
    check_exact(seeded(NETS[name], 0), SHAPE, 0, cpp=name in ("sums", "transposed"))


@settings(max_examples=12, deadline=None)
@given(
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(0, 2),
    st.integers(0, 1),
    st.booleans(),
    st.integers(0, 99),
)
def test_any_transposed_convolution_is_exact(
    kernel: int, stride: int, padding: int, added: int, bipolar: bool, seed: int
) -> None:
    added = min(added, stride - 1)
    options = {"stride": stride, "padding": padding, "output_padding": added}
    net = lambda: after(  # noqa: E731
        sign() if bipolar else levels(2), transposed(4, 3, kernel, **options), affine(3), sign()
    )
    design = check_exact(seeded(net, seed), SHAPE, seed)
    if padding >= kernel and added <= padding:
        said = [node.kernel.kernel for node in design.nodes if isinstance(node.kernel, SlidingWindow)]
        assert said[-1][0] > kernel, "taps of zero crop"


def test_lines_are_enlarged_too() -> None:
    line = qnn.QuantConv1d(3, 4, 3, bias=False, weight_quant=BinaryWeight)
    line.weight.data = torch.randn_like(line.weight)
    check_exact(seeded(lambda: nn.Sequential(sign(), nn.Upsample(scale_factor=2), line), 0), (3, 8), 0)
