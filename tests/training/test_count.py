"""Operations counted on the networks themselves, against figures worked out by hand and published ones."""

from __future__ import annotations

import pytest

from bnn2fpga.training.count import CONVENTIONS, Counts, Hardware, count_operations
from bnn2fpga.training.models import build_model
from tests.conftest import Run

IMAGE = (3, 32, 32)


def counts(model: str, classes: int = 100) -> Counts:
    return count_operations(build_model(model, IMAGE, classes, {}), IMAGE)


def test_fracbnn() -> None:
    """Products by layer: 96 to 16 at 32x32; then 6 halves each of 16, 32 and 64 channels."""
    found = counts("fracbnn")
    assert found.binary == 32 * 32 * 16 * 9 * 96
    assert found.high == found.low == 17 * 2_359_296 + 2 * 1_179_648 - 2_359_296
    assert found.norm_elements == 16_384 + 2 * 172_032 and found.rprelu_elements == 172_032
    assert (found.linear, found.weight_bits) == (6400, 281_088)


def test_batch_norm_is_all_that_differs() -> None:
    with_norm, without = counts("fracbnn"), counts("wsfracbnn")
    assert without.norm_elements == 0
    for name in ("binary", "high", "low", "rprelu_elements", "linear", "weight_bits"):
        assert getattr(with_norm, name) == getattr(without, name)


@pytest.mark.parametrize(
    ("model", "parameters", "terms"),
    [("fracbnn", {}, 2), ("wsfracbnn", {}, 2), ("wsfracbnn", {"scale_terms": 1}, 1)],
)
def test_a_branch_is_shifted_once_a_power_of_two(model: str, parameters: dict[str, int], terms: int) -> None:
    found = Hardware.of(count_operations(build_model(model, IMAGE, 10, parameters), IMAGE))
    assert found.shifts == terms * 172_032 and found.multiplications == 0
    assert found.additions == found.xnors + found.shifts + 172_032


@pytest.mark.parametrize(
    ("place", "before", "after", "share"),
    [
        (0, 1.3540, 0.6331, 46.8),
        (1, 1.3476, 0.6267, 46.5),
        (2, 2.7016, 1.2598, 46.6),
        (3, 1.8283, 1.1075, 60.6),
    ],
)
def test_published_shares(place: int, before: float, after: float, share: float) -> None:
    """The ratios that the thesis' 46 % is read from, in millions for 100 classes."""
    way = CONVENTIONS[place]
    full, less = (way.operations(counts(model)) / 1e6 for model in ("fracbnn", "wsfracbnn"))
    assert (round(full, 4), round(less, 4)) == (before, after)
    assert round(100 * less / full, 1) == share


def test_a_dense_network() -> None:
    found = count_operations(build_model("mlp", (1, 28, 28), 10, {"hidden": [64, 32]}), (1, 28, 28))
    assert found == Counts(
        binary=784 * 64 + 64 * 32 + 320, weight_bits=784 * 64 + 64 * 32 + 320, float_parameters=192
    )
    assert Hardware.of(found) == Hardware(found.binary, found.binary, 0, 0)


def test_the_command_line(run: Run) -> None:
    code, out, _ = run("count", "wsfracbnn", "--classes", "100")
    assert code == 0 and "46.8 %" in out and "46.5 %" in out and "46.6 %" in out
    assert "emitted hardware: multiplications" in out
    code, _, err = run("count", "lenet")
    assert (
        code == 2
        and "model 'lenet' is not known; legal: bcmt, convnet, csasml, fracbnn, mlp, wsfracbnn" in err
    )
