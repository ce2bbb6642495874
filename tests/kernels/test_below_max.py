"""Values less the largest of their row: contract and meaning."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn2fpga.design.integers import BIPOLAR, TERNARY, IntType
from bnn2fpga.design.layers import BelowMax
from bnn2fpga.design.stream import Stream
from bnn2fpga.kernels import implement
from tests.contract import KernelContract, int_types, random_values


def rows(kind: IntType, shape: tuple[int, ...], columns: int) -> BelowMax:
    return BelowMax(Stream((*shape, columns), kind))


def layers(columns: tuple[int, ...]) -> st.SearchStrategy[BelowMax]:
    shapes = st.sampled_from([(1,), (4,), (2, 3)])
    return st.builds(rows, int_types(), shapes, st.sampled_from(columns))


class TestContract(KernelContract):
    layers = layers((6, 12))
    always = (
        rows(IntType(7), (5,), 16),
        rows(IntType(9, True), (3,), 12),
        rows(BIPOLAR, (2,), 6),
        rows(TERNARY, (2,), 4),
        rows(IntType(6), (2,), 1),
    )


@settings(max_examples=60, deadline=None)
@given(layers((1, 3, 5)), st.integers(0, 999))
def test_below_the_largest(layer: BelowMax, seed: int) -> None:
    x = random_values(layer.source.type, (2, *layer.source.shape), seed)
    (found,) = implement(layer).compute(x.reshape(2, layer.source.pixels, layer.source.channels))
    flat = x.reshape(-1, layer.source.channels).tolist()
    assert np.array_equal(found.reshape(-1, layer.source.channels), [[v - max(r) for v in r] for r in flat])


@pytest.mark.parametrize("dim", [16, 32, 64])
def test_a_ladder_below_the_largest_is_a_softmax_s(dim: int) -> None:
    """BHViT's upper levels, p > 0.9 max and p > 0.7 max of a softmax in float64, on 350,000 rows.

    In popcounts: within half of floor(-sqrt(d) ln t), rounded down to even (arXiv 2503.02394).
    """
    counts = np.random.default_rng(dim).binomial(dim, 0.5, (350_000, 16))
    kernel = implement(rows(IntType.holding(0, dim), (1,), 16))
    (below,) = kernel.compute(counts[None])
    scores = (2.0 * counts - dim) / np.sqrt(dim)
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares = exponentials / exponentials.sum(axis=1, keepdims=True)
    for level in (0.9, 0.7):
        within = int(-np.sqrt(dim) * np.log(level) / 2)
        expected = shares > level * shares.max(axis=1, keepdims=True)
        np.testing.assert_array_equal(below[0] >= -within, expected)
