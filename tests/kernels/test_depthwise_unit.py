"""A kernel of its own for every channel: contract and meaning."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn2fpga.design.integers import BIPOLAR, TERNARY, IntType
from bnn2fpga.design.layers import ChannelDot, Windows
from bnn2fpga.design.stream import Stream
from bnn2fpga.kernels import implement
from tests.contract import KernelContract, int_types, random_values

WEIGHTS = (BIPOLAR, TERNARY, IntType(2, True))


def dots(channels: tuple[int, ...]) -> st.SearchStrategy[ChannelDot]:
    return st.builds(
        lambda kind, weight, taps, count, seed: ChannelDot(
            Stream((3, count * taps), kind), random_values(weight, (count, taps), seed), weight
        ),
        int_types(),
        st.sampled_from(WEIGHTS),
        st.integers(1, 9),
        st.sampled_from(channels),
        st.integers(0, 999),
    )


class TestContract(KernelContract):
    layers = dots((6, 12))
    always = tuple(
        ChannelDot(Stream((2, 9 * 12), TERNARY), random_values(weight, (12, 9), 1), weight)
        for weight in WEIGHTS
    )


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(WEIGHTS), st.integers(1, 3), st.integers(1, 4), int_types(), st.integers(0, 999))
def test_window_then_dot_is_a_depthwise_convolution(
    weight: IntType, size: int, channels: int, kind: IntType, seed: int
) -> None:
    window = implement(Windows(Stream((6, 7, channels), kind), (size, size)))
    weights = random_values(weight, (channels, size**2), seed)
    unit = implement(ChannelDot(window.outputs[0], weights, weight))
    image = random_values(kind, (2, 6, 7, channels), seed)
    (found,) = unit.compute(*window.compute(image))
    expected = torch.nn.functional.conv2d(
        torch.from_numpy(image).permute(0, 3, 1, 2).double(),
        torch.from_numpy(weights).double().reshape(channels, 1, size, size),
        groups=channels,
    )
    np.testing.assert_array_equal(found, expected.permute(0, 2, 3, 1).numpy())
