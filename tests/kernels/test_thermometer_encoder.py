"""Thermometer encoding: contract, meaning, and the two ways to round."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn2fpga.ir import IntType, Stream
from bnn2fpga.kernels import implement
from bnn2fpga.kernels.thermometer_encoder import rounded_thresholds
from bnn2fpga.layers import Thermometer
from tests.contract import KernelContract, int_types, random_values


def encoder(kind: IntType, channels: int, count: int, seed: int) -> Thermometer:
    """Thresholds in and beyond the type's range, in no order."""
    low, high = kind.low - 1, kind.high + 2
    thresholds = np.random.default_rng(seed).integers(low, high + 1, (channels, count))
    return Thermometer(Stream((3, channels), kind), thresholds)


def encoders(channels: tuple[int, ...], counts: tuple[int, ...]) -> st.SearchStrategy[Thermometer]:
    return st.builds(
        encoder, int_types(), st.sampled_from(channels), st.sampled_from(counts), st.integers(0, 999)
    )


class TestContract(KernelContract):
    layers = encoders((4, 6), (1, 5, 32))
    always = (Thermometer(Stream((2, 2, 12), IntType(8)), np.tile(np.arange(8, 256, 8), (12, 1))),)


@settings(max_examples=60, deadline=None)
@given(encoders((1, 3), (1, 4)), st.integers(0, 999))
def test_a_bit_is_set_where_its_threshold_is_reached(layer: Thermometer, seed: int) -> None:
    x = random_values(layer.source.type, (2, *layer.source.shape), seed)
    (found,) = implement(layer).compute(x)
    expected = [
        1 if value >= threshold else -1
        for pixel in x.reshape(-1, x.shape[-1]).tolist()
        for value, row in zip(pixel, layer.thresholds.tolist(), strict=True)
        for threshold in row
    ]
    assert found.ravel().tolist() == expected


@pytest.mark.parametrize("step", [1, 2, 3, 8, 13, 100])
def test_both_rounding_rules(step: int) -> None:
    x = np.arange(10 * step + 1)
    even, up = rounded_thresholds(step, 10, True), rounded_thresholds(step, 10, False)
    np.testing.assert_array_equal((x[:, None] >= even).sum(axis=1), np.minimum(np.rint(x / step), 10))
    np.testing.assert_array_equal((x[:, None] >= up).sum(axis=1), np.minimum(np.floor(x / step + 0.5), 10))
    assert np.any(even != up) == (step % 2 == 0), "only an even step has ties"
