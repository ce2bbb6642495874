"""Products of two streams: contract, meaning, and what is refused."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn2fpga.design.integers import BIPOLAR, TERNARY, Ints, IntType
from bnn2fpga.design.layers import Product
from bnn2fpga.design.stream import Stream
from bnn2fpga.errors import FoldingError
from bnn2fpga.kernels import implement
from bnn2fpga.kernels.stream_product import StreamProduct
from tests.contract import KernelContract, int_types, random_values

BIT = IntType(1)


def scores(
    kinds: tuple[IntType, IntType], windows: int, rows: int, heads: int, inner: int, keys: int
) -> Product:
    """Queries times keys."""
    source, kept = kinds
    queries = Stream((windows, rows, heads * inner), source)
    return Product(queries, Stream((windows, keys, heads * inner), kept), heads, True)


def mixed(
    kinds: tuple[IntType, IntType], windows: int, rows: int, heads: int, keys: int, inner: int
) -> Product:
    """Weights times values."""
    source, kept = kinds
    weights = Stream((windows, rows, heads * keys), source)
    return Product(weights, Stream((windows, keys, heads * inner), kept), heads, False)


KINDS = st.one_of(
    st.sampled_from([(BIPOLAR, BIPOLAR), (BIT, BIPOLAR), (IntType(2), BIPOLAR)]),
    st.tuples(int_types(4), int_types(4)),
)
COUNTS = st.integers(1, 3)


def products(inner: tuple[int, ...], columns: tuple[int, ...]) -> st.SearchStrategy[Product]:
    each = st.sampled_from(inner), st.sampled_from(columns)
    return st.one_of(st.builds(make, KINDS, COUNTS, COUNTS, COUNTS, *each) for make in (scores, mixed))


def slow(layer: Product, source: Ints, kept: Ints) -> Ints:
    """One frame, sum by sum."""
    kernel = implement(layer)
    assert isinstance(kernel, StreamProduct)
    found = np.zeros((kernel.windows, kernel.rows, kernel.heads, kernel.columns), np.int64)
    rows = source.reshape(kernel.windows, kernel.rows, kernel.heads, kernel.inner)
    for window, row, head, column in np.ndindex(*found.shape):
        for place in range(kernel.inner):
            if layer.transposed:
                other = kept[window, column, head * kernel.inner + place]
            else:
                other = kept[window, place, head * kernel.columns + column]
            found[window, row, head, column] += int(rows[window, row, head, place]) * int(other)
    scale, offset = kernel.affine
    return (found.reshape(kernel.outputs[0].shape) - offset) // scale


class TestContract(KernelContract):
    layers = products((6, 12), (4, 6))
    always = (
        scores((BIPOLAR, BIPOLAR), 1, 5, 2, 12, 6),
        mixed((BIT, BIPOLAR), 2, 3, 2, 6, 8),
        mixed((IntType(2), BIPOLAR), 1, 3, 1, 9, 4),
        scores((IntType(3, True), BIPOLAR), 1, 3, 2, 6, 4),
        scores((BIPOLAR, IntType(2)), 1, 3, 1, 6, 4),
        mixed((TERNARY, IntType(4, True)), 2, 2, 1, 4, 6),
        mixed((IntType(4), IntType(4)), 1, 3, 3, 4, 2),
        scores((BIPOLAR, BIPOLAR), 1, 2, 4, 64, 66),
    )


@settings(max_examples=60, deadline=None)
@given(products((1, 3, 5), (1, 4)), st.integers(0, 999))
def test_every_sum(layer: Product, seed: int) -> None:
    source = random_values(layer.source.type, (1, *layer.source.shape), seed)
    kept = random_values(layer.other.type, (1, *layer.other.shape), seed + 1)
    (found,) = implement(layer).compute(source, kept)
    np.testing.assert_array_equal(found[0], slow(layer, source[0], kept[0]))


@pytest.mark.parametrize("transposed", [True, False])
def test_shapes_that_do_not_match(transposed: bool) -> None:
    layer = Product(Stream((1, 4, 6), BIPOLAR), Stream((1, 4, 5), BIPOLAR), 1, transposed)
    with pytest.raises(FoldingError, match=re.escape("(1, 4, 6) times (1, 4, 5) in 1 heads: the inner")):
        implement(layer)


def test_wide_numbers_are_refused() -> None:
    with pytest.raises(FoldingError, match=r"a product of streams of .*5.*; legal: 1 to 4 bits each"):
        implement(scores((IntType(5), BIPOLAR), 1, 2, 1, 4, 4))
