"""One stream to several readers: contract and meaning."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn2fpga.design.integers import BIPOLAR, IntType
from bnn2fpga.design.layers import Copies
from bnn2fpga.design.stream import Stream
from bnn2fpga.kernels import implement
from tests.contract import KernelContract, int_types, random_values


def copies(channels: tuple[int, ...]) -> st.SearchStrategy[Copies]:
    return st.builds(
        lambda kind, count, n: Copies(Stream((3, n), kind), count),
        int_types(),
        st.integers(1, 3),
        st.sampled_from(channels),
    )


class TestContract(KernelContract):
    layers = copies((1, 6, 12))
    always = (
        Copies(Stream((2, 2, 12), BIPOLAR), 2),
        Copies(Stream((24,), IntType(8)), 3),
    )


@settings(max_examples=50, deadline=None)
@given(copies((1, 4)), st.integers(0, 999))
def test_every_output_is_the_input(layer: Copies, seed: int) -> None:
    frames = random_values(layer.source.type, (2, *layer.source.shape), seed)
    kernel = implement(layer)
    results = kernel.compute(frames)
    assert len(results) == len(kernel.outputs) == layer.count
    for stream, result in zip(kernel.outputs, results, strict=True):
        assert stream == kernel.inputs[0]
        np.testing.assert_array_equal(result, frames)
