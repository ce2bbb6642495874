"""CMT in floating point against published counts, and what its parts come to; the binary one, exact."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bnn2fpga.errors import ConfigError
from bnn2fpga.kernels.stream_product import StreamProduct
from bnn2fpga.training.attention import Lmhsa, ThresholdAttention
from bnn2fpga.training.bcmt import attention_maps
from bnn2fpga.training.cmt import LightAttention, LocalPerception
from bnn2fpga.training.models import build_model
from tests.conftest import Run
from tests.training.hybrids import check_exact

SMALL = {"dims": [8, 16], "depths": [1, 1], "heads": [1, 2], "reductions": [2, 1]}
"""For images of 12 x 12: 6 x 6 tokens, then 3 x 3."""
SHAPE = (1, 12, 12)


@pytest.mark.parametrize(
    ("size", "macs", "parameters"),
    [("ti", "0.639", "9.49"), ("xs", "1.547", "15.25"), ("s", "4.032", "26.26"), ("b", "9.317", "45.72")],
)
def test_published_sizes(size: str, macs: str, parameters: str, run: Run) -> None:
    code, printed, _ = run("count", "cmt", "--size", size)
    assert code == 0 and f" {macs} G" in printed and f" {parameters} M" in printed


def test_unknown_size(run: Run) -> None:
    code, _, error = run("count", "cmt", "--size", "xl")
    assert code == 2 and "size 'xl' of cmt is not known; legal: ti, xs, s, b" in error


def test_without_reduction_and_bias_it_is_multi_head_attention() -> None:
    torch.manual_seed(0)
    ours, theirs = LightAttention(24, 3, 4, 1), nn.MultiheadAttention(24, 3, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.q.weight, ours.k.weight, ours.v.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.q.bias, ours.k.bias, ours.v.bias]))
        theirs.out_proj.load_state_dict(ours.project.state_dict())
        x = torch.randn(2, 16, 24)
        expected, _ = theirs(x, x, x)
        torch.testing.assert_close(ours(x, torch.zeros(3, 16, 16)), expected)


def test_a_zero_kernel_makes_perception_the_identity() -> None:
    x = torch.randn(2, 6, 5, 5)
    layer = LocalPerception(6)
    nn.init.zeros_(layer.conv.weight)
    nn.init.zeros_(layer.conv.bias)
    assert torch.equal(layer(x), x)


def test_a_limit_below_every_score_gives_the_sum_of_values() -> None:
    signs = [torch.where(torch.randn(2, 8, 3, 3) > 0, 1.0, -1.0) for _ in range(3)]
    layer = ThresholdAttention(2, 4, 9, 9)
    nn.init.constant_(layer.limit, -5.0)
    for mode in (True, False):
        with torch.no_grad():
            found = layer.train(mode)(*signs)
        assert torch.equal(found, signs[2].sum((2, 3), keepdim=True).expand_as(found))


def test_training_and_evaluation_agree() -> None:
    torch.manual_seed(1)
    layer = Lmhsa(8, 4, 2, 2, 1.0, 4)
    x = torch.round(torch.randn(3, 8, 4, 4) * 16) / 16
    with torch.no_grad():
        assert torch.equal(layer.train()(x), layer.eval()(x))


def test_the_binary_network_is_exact_at_every_level() -> None:
    nodes = check_exact("bcmt", SHAPE, SMALL).nodes
    assert sum(isinstance(node.kernel, StreamProduct) for node in nodes) == 4


def test_attention_maps() -> None:
    net = build_model("bcmt", SHAPE, 5, SMALL)
    first, second = attention_maps(net, torch.rand(2, *SHAPE))
    assert first.shape == (2, 1, 36, 9) and second.shape == (2, 2, 9, 9)
    assert set(torch.cat([first.ravel(), second.ravel()]).tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"dims": [8, 16, 32]}, "need one number a stage each"),
        ({"dims": [9, 16], "heads": [2, 2]}, "stage 0: 9 channels in 2 heads"),
        ({"reductions": [4, 1]}, "images of 6 pixels reduced 4 times; legal: numbers that divide"),
    ],
)
def test_wrong_parameters(parameters: dict[str, list[int]], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_model("bcmt", SHAPE, 5, SMALL | parameters)
