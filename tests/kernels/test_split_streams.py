"""The channels to two readers: contract and meaning."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn2fpga.design.integers import BIPOLAR, IntType
from bnn2fpga.design.layers import Concat, Split
from bnn2fpga.design.stream import Stream
from bnn2fpga.kernels import implement
from tests.contract import KernelContract, int_types, random_values


def splits(counts: tuple[int, ...]) -> st.SearchStrategy[Split]:
    return st.builds(
        lambda kind, left, right: Split(Stream((3, left + right), kind), left),
        int_types(),
        st.sampled_from(counts),
        st.sampled_from(counts),
    )


class TestContract(KernelContract):
    layers = splits((4, 6, 12))
    always = (
        Split(Stream((2, 2, 24), BIPOLAR), 8),
        Split(Stream((24,), IntType(5, True)), 12),
    )


@settings(max_examples=50, deadline=None)
@given(splits((1, 3, 4)), st.integers(0, 999))
def test_concatenation_undoes_it(layer: Split, seed: int) -> None:
    x = random_values(layer.source.type, (2, *layer.source.shape), seed)
    split = implement(layer)
    left, right = split.compute(x)
    assert left.shape[-1] == layer.at
    (joined,) = implement(Concat(*split.outputs)).compute(left, right)
    np.testing.assert_array_equal(joined, x)
