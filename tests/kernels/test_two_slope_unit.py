"""Two lines per channel: contract, meaning, and slopes as sums of powers of two."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn2fpga.design.integers import IntType
from bnn2fpga.design.layers import Bend
from bnn2fpga.design.stream import Stream
from bnn2fpga.design.two_slopes import TwoSlopes, signed_powers
from bnn2fpga.errors import BuildError
from bnn2fpga.kernels import implement
from tests.contract import KernelContract, int_types, random_values


def two_lines(channels: int, steepest: int, shift: int, knees: int, seed: int) -> TwoSlopes:
    random = np.random.default_rng(seed)
    return TwoSlopes(
        random.integers(-knees, knees + 1, channels),
        random.integers(-steepest, steepest + 1, (2, channels)),
        random.integers(-1000, 1000, (2, channels)),
        shift,
    )


def bend(kind: IntType, channels: int, steepest: int, shift: int, seed: int) -> Bend:
    return Bend(Stream((3, channels), kind), two_lines(channels, steepest, shift, kind.high + 1, seed))


def bends(channels: tuple[int, ...]) -> st.SearchStrategy[Bend]:
    return st.builds(
        bend,
        int_types(12),
        st.sampled_from(channels),
        st.sampled_from((0, 3, 200, 5000)),
        st.integers(0, 6),
        st.integers(0, 999),
    )


class TestContract(KernelContract):
    layers = bends((6, 12))
    always = (
        bend(IntType(13, True), 12, 8000, 4, 1),
        bend(IntType(16, True), 6, 1 << 20, 12, 2),  # needs more than 32 bits
    )


@settings(max_examples=100, deadline=None)
@given(bends((1, 4)), st.integers(0, 999))
def test_one_of_two_lines(layer: Bend, seed: int) -> None:
    x = random_values(layer.source.type, (2, *layer.source.shape), seed)
    kernel = implement(layer)
    (found,) = kernel.compute(x)
    lines = layer.slopes
    for place, value in enumerate(x.ravel().tolist()):
        channel = place % layer.source.channels
        line = 0 if value < lines.knee[channel] else 1
        exact = int(lines.slopes[line, channel]) * value + int(lines.constants[line, channel])
        assert found.ravel()[place] == exact // 2**lines.shift


@settings(max_examples=60, deadline=None)
@given(bends((4,)), st.integers(-50, 0), st.integers(0, 50))
def test_bounds_are_reached_and_not_passed(layer: Bend, low: int, high: int) -> None:
    every = layer.slopes(np.arange(low, high + 1)[:, None].repeat(4, axis=1))
    found = layer.slopes.bounds(low, high)
    np.testing.assert_array_equal(found, (every.min(axis=0), every.max(axis=0)))


def test_signed_powers_are_the_fewest() -> None:
    fewest = {0: 0}
    for terms in range(1, 6):
        sums = {base + sign * 2**e for base in list(fewest) for e in range(10) for sign in (-1, 1)}
        for value in sums:
            fewest.setdefault(value, terms)
    for value in range(-300, 301):
        powers = signed_powers(value)
        assert sum(sign * 2**exponent for sign, exponent in powers) == value
        assert len(powers) == fewest[value]


def test_terms_spell_the_slopes() -> None:
    lines = two_lines(8, 3000, 0, 10, 5)
    signs, shifts = lines.terms
    np.testing.assert_array_equal((signs << shifts).sum(axis=1), lines.slopes)
    assert two_lines(3, 0, 0, 1, 0).terms[0].shape == (2, 1, 3)


def test_lines_that_are_too_wide() -> None:
    with pytest.raises(BuildError, match="legal: 64 bits"):
        implement(Bend(Stream((1,), IntType(30, True)), two_lines(1, 1 << 50, 0, 1, 0), IntType(32)))
