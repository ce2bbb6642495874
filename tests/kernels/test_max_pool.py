"""The largest of every window: contract and meaning."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn2fpga.design.integers import BIPOLAR, IntType
from bnn2fpga.design.layers import WindowMax, Windows
from bnn2fpga.design.stream import Stream
from bnn2fpga.kernels import implement
from tests.contract import KernelContract, int_types, random_values


def maxima(channels: tuple[int, ...]) -> st.SearchStrategy[WindowMax]:
    return st.builds(
        lambda kind, taps, count: WindowMax(Stream((3, count * taps), kind), taps),
        int_types(),
        st.integers(1, 9),
        st.sampled_from(channels),
    )


class TestContract(KernelContract):
    layers = maxima((1, 6, 12))
    always = (
        WindowMax(Stream((2, 2, 48), BIPOLAR), 4),
        WindowMax(Stream((3, 36), IntType(5, True)), 3),
        WindowMax(Stream((3, 24), IntType(5)), 4),
        WindowMax(Stream((3, 24), IntType(32)), 4),
    )


@settings(max_examples=100, deadline=None)
@given(maxima((1, 2, 5)), st.integers(0, 999))
def test_maxima_are_what_loops_find(layer: WindowMax, seed: int) -> None:
    windows = random_values(layer.source.type, (2, *layer.source.shape), seed)
    channels = layer.source.channels // layer.taps
    expected = [
        [[max(window[channel::channels]) for channel in range(channels)] for window in frame]
        for frame in windows.tolist()
    ]
    assert implement(layer).compute(windows)[0].tolist() == expected


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), int_types(), st.integers(0, 999))
def test_window_then_maximum_is_max_pool(
    kernel: int, stride: int, channels: int, kind: IntType, seed: int
) -> None:
    window = implement(Windows(Stream((6, 7, channels), kind), (kernel, kernel), (stride, stride)))
    pool = implement(WindowMax(window.outputs[0], kernel**2))
    image = random_values(kind, (2, 6, 7, channels), seed)
    (found,) = pool.compute(*window.compute(image))
    expected = torch.nn.functional.max_pool2d(
        torch.from_numpy(image).permute(0, 3, 1, 2).double(), kernel, stride
    )
    np.testing.assert_array_equal(found, expected.permute(0, 2, 3, 1).numpy())
    assert found.dtype == kind.dtype
