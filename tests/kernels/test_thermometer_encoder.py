"""Thermometer encoding: contract, meaning, and the two ways to round."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn2fpga.design.integers import BIPOLAR, IntType
from bnn2fpga.design.layers import Spread
from bnn2fpga.design.stream import Stream
from bnn2fpga.errors import BuildError
from bnn2fpga.kernels import implement
from bnn2fpga.kernels.thermometer_encoder import ThermometerEncoder, rounded_thresholds
from tests.contract import KernelContract, int_types, random_steps, random_values
from tests.kernels.matrix_vector import flat, slow_steps


def encoder(kind: IntType, numbers: int, count: int, order: str, output: IntType, seed: int) -> Spread:
    """`count` functions of each number: all of a number together, all numbers in turn, or anyhow."""
    channels = np.tile(np.arange(numbers), count)
    if order == "by number":
        channels = np.repeat(np.arange(numbers), count)
    elif order == "anyhow":
        channels = np.minimum(np.random.default_rng(seed).integers(0, numbers, numbers * count), channels)
        channels = np.minimum(channels, np.arange(len(channels)))
    steps = random_steps(kind.low, kind.high, len(channels), output, "mixed", seed)
    return Spread(Stream((3, numbers), kind), channels, steps)


def encoders(numbers: tuple[int, ...], counts: tuple[int, ...]) -> st.SearchStrategy[Spread]:
    return st.builds(
        encoder,
        int_types(),
        st.sampled_from(numbers),
        st.sampled_from(counts),
        st.sampled_from(("by number", "in turn", "anyhow")),
        st.sampled_from((BIPOLAR, IntType(2))),
        st.integers(0, 999),
    )


class TestContract(KernelContract):
    layers = encoders((4, 6), (1, 5, 12))
    always = (
        encoder(IntType(8), 3, 32, "by number", BIPOLAR, 1),
        encoder(IntType(8), 3, 10, "in turn", BIPOLAR, 2),
    )


@settings(max_examples=60, deadline=None)
@given(encoders((1, 3), (1, 4)), st.integers(0, 999))
def test_each_output_is_a_function_of_its_number(layer: Spread, seed: int) -> None:
    x = random_values(layer.source.type, (2, *layer.source.shape), seed)
    (found,) = implement(layer).compute(x)
    gathered = [[pixel[channel] for channel in layer.channels] for pixel in flat(x)]
    assert flat(found) == slow_steps(layer.steps, gathered)


def test_numbers_are_read_as_they_are_needed() -> None:
    by_number = encoder(IntType(8), 6, 4, "by number", BIPOLAR, 0)
    in_turn = encoder(IntType(8), 6, 4, "in turn", BIPOLAR, 0)
    for layer, lanes, expected in ((by_number, 1, 1), (by_number, 8, 2), (in_turn, 1, 1), (in_turn, 4, 6)):
        kernel = implement(layer)
        assert isinstance(kernel, ThermometerEncoder)
        assert replace(kernel, lanes=lanes).source_lanes == expected


def test_numbers_that_come_too_late() -> None:
    late = replace(encoder(IntType(8), 2, 1, "in turn", BIPOLAR, 0), channels=np.array([1, 0]))
    with pytest.raises(BuildError, match="no kernel implements it"):
        implement(late)


@pytest.mark.parametrize("step", [1, 2, 3, 8, 13, 100])
def test_both_rounding_rules(step: int) -> None:
    x = np.arange(10 * step + 1)
    even, up = rounded_thresholds(step, 10, True), rounded_thresholds(step, 10, False)
    np.testing.assert_array_equal((x[:, None] >= even).sum(axis=1), np.minimum(np.rint(x / step), 10))
    np.testing.assert_array_equal((x[:, None] >= up).sum(axis=1), np.minimum(np.floor(x / step + 0.5), 10))
    assert np.any(even != up) == (step % 2 == 0), "only an even step has ties"
