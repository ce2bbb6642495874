"""A kernel of 3 to 8 bits of its own for every channel: contract and meaning."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from bnn2fpga.design.integers import BIPOLAR, TERNARY, IntType
from bnn2fpga.design.layers import ChannelDot
from bnn2fpga.design.stream import Stream
from bnn2fpga.kernels import implement
from bnn2fpga.kernels.depthwise_plane_unit import DepthwisePlaneUnit
from tests.contract import KernelContract, int_types, random_values

WEIGHTS = st.builds(IntType, st.integers(3, 8), st.booleans())


def dot(source: IntType, weight: IntType, taps: int, channels: int, seed: int) -> ChannelDot:
    return ChannelDot(
        Stream((3, channels * taps), source), random_values(weight, (channels, taps), seed), weight
    )


def dots(channels: tuple[int, ...]) -> st.SearchStrategy[ChannelDot]:
    return st.builds(
        dot, int_types(), WEIGHTS, st.integers(1, 9), st.sampled_from(channels), st.integers(0, 999)
    )


class TestContract(KernelContract):
    layers = dots((6, 12))
    always = (
        dot(IntType(8), IntType(8, True), 9, 12, 1),
        dot(BIPOLAR, IntType(8), 9, 6, 2),
        dot(TERNARY, IntType(4, True), 9, 12, 3),
        dot(IntType(4, True), IntType(3, True, narrow=True), 3, 6, 4),
    )


@settings(max_examples=50, deadline=None)
@given(dots((1, 4)), st.integers(0, 999))
def test_each_channel_has_its_own_products(layer: ChannelDot, seed: int) -> None:
    unit = implement(layer)
    assert isinstance(unit, DepthwisePlaneUnit)
    x = random_values(layer.source.type, (2, *layer.source.shape), seed)
    (found,) = unit.compute(x)
    channels, taps = layer.weights.shape
    weights = layer.weights.tolist()
    expected = [
        [sum(pixel[tap * channels + c] * weights[c][tap] for tap in range(taps)) for c in range(channels)]
        for pixel in x.reshape(-1, channels * taps).tolist()
    ]
    assert found.reshape(-1, channels).tolist() == expected
