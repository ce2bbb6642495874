"""CSASML: split layers are dense ones with zeros, a quarter fewer operations; exact at every level."""

from __future__ import annotations

import pytest
import torch

from bnn2fpga.errors import ConfigError
from bnn2fpga.training.count import count_operations
from bnn2fpga.training.csasml import Branch, block_products, shuffled
from bnn2fpga.training.models import build_model
from tests.conftest import Run
from tests.training.hybrids import check_exact

SHAPE = (1, 16, 16)
SMALL = {"dims": [8, 16]}


def test_a_quarter_less(run: Run) -> None:
    code, printed, _ = run("count", "csasml")
    assert code == 0 and "-25.0 %" in " ".join(printed.split())
    plain = build_model("csasml", SHAPE, 5, SMALL | {"split": False, "attention": False})
    split = build_model("csasml", SHAPE, 5, SMALL | {"attention": False})
    whole = build_model("csasml", SHAPE, 5, SMALL)
    assert block_products(split, SHAPE) * 4 == block_products(plain, SHAPE) * 3
    less, more = count_operations(split, SHAPE), count_operations(whole, SHAPE)
    assert less.attention == 0 and more.attention == 2 * 16 * (64 * 16 + 16 * 4)
    assert more.binary > less.binary


def test_split_is_a_dense_convolution_with_zeros() -> None:
    torch.manual_seed(0)
    branch = Branch(8, 1.0, 4, split=True).eval()
    x = torch.round(torch.randn(2, 8, 5, 5) * 16) / 16
    with torch.no_grad():
        signs, weights = branch.start(x), branch.conv.folded_weight
        dense = torch.zeros(8, 8, 3, 3)
        dense[:4, :4], dense[4:, 4:] = weights[:4], weights[4:]
        sums = torch.nn.functional.conv2d(signs, dense, padding=1)
        expected = sums * branch.conv.folded_scale + branch.conv.folded_shift
        torch.testing.assert_close(branch.conv(signs), expected, rtol=0, atol=0)


def test_shuffled_takes_halves_in_turns() -> None:
    x = torch.arange(6.0).reshape(1, 6, 1, 1)
    assert shuffled(x).ravel().tolist() == [0, 3, 1, 4, 2, 5]


def test_it_is_exact_at_every_level() -> None:
    check_exact("csasml", SHAPE, SMALL)


@pytest.mark.parametrize("parameters", [{"dims": [7]}, {"dims": [8, 8, 8, 8, 8]}])
def test_wrong_parameters(parameters: dict[str, list[int]]) -> None:
    with pytest.raises(ConfigError, match="legal: square images that halve"):
        build_model("csasml", SHAPE, 5, parameters)
