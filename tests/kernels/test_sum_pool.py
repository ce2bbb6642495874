"""The sum of every window: contract and meaning."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from bnn2fpga.design.integers import BIPOLAR, IntType
from bnn2fpga.design.layers import WindowSum
from bnn2fpga.design.stream import Stream
from bnn2fpga.kernels import implement
from tests.contract import KernelContract, int_types, random_values


def sums(channels: tuple[int, ...]) -> st.SearchStrategy[WindowSum]:
    return st.builds(
        lambda kind, taps, count: WindowSum(Stream((3, count * taps), kind), taps),
        int_types(),
        st.integers(1, 9),
        st.sampled_from(channels),
    )


class TestContract(KernelContract):
    layers = sums((6, 12))
    always = (
        WindowSum(Stream((2, 2, 48), BIPOLAR), 4),
        WindowSum(Stream((64 * 6,), IntType(5, True)), 64),
        WindowSum(Stream((2, 2, 24), IntType(30)), 4),
    )


@settings(max_examples=100, deadline=None)
@given(sums((1, 2, 5)), st.integers(0, 999))
def test_sums_are_what_loops_find(layer: WindowSum, seed: int) -> None:
    windows = random_values(layer.source.type, (2, *layer.source.shape), seed)
    channels = layer.source.channels // layer.taps
    expected = [
        [[sum(window[channel::channels]) for channel in range(channels)] for window in frame]
        for frame in windows.tolist()
    ]
    assert implement(layer).compute(windows)[0].tolist() == expected
