"""Requantization: contract, meaning, rounding and saturation."""

from __future__ import annotations

from math import floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn2fpga.design.integers import Ints, IntType
from bnn2fpga.design.layers import Shift
from bnn2fpga.design.stream import Stream
from bnn2fpga.errors import BuildError
from bnn2fpga.kernels import implement
from tests.contract import KernelContract, int_types, random_values

OUTPUTS = (IntType(2), IntType(4, signed=True), IntType(3, signed=True, narrow=True), IntType(12, True))


def shift_layer(kind: IntType, channels: int, shift: int, output: IntType, seed: int) -> Shift:
    offsets = np.random.default_rng(seed).integers(-40, 40, channels)
    return Shift(Stream((3, channels), kind), offsets, shift, output)


def shift_layers(channels: tuple[int, ...]) -> st.SearchStrategy[Shift]:
    return st.builds(
        shift_layer,
        int_types(12),
        st.sampled_from(channels),
        st.integers(0, 6),
        st.sampled_from(OUTPUTS),
        st.integers(0, 999),
    )


class TestContract(KernelContract):
    layers = shift_layers((6, 12))
    always = (
        shift_layer(IntType(20, True), 12, 9, IntType(8, True), 1),
        Shift(Stream((12,), IntType(31)), np.full(12, 1 << 30), 31, IntType(4)),
    )


@settings(max_examples=100, deadline=None)
@given(shift_layers((1, 4)), st.integers(0, 999))
def test_every_element_is_divided_rounded_down_and_limited(layer: Shift, seed: int) -> None:
    x = random_values(layer.source.type, (2, *layer.source.shape), seed)
    (found,) = implement(layer).compute(x)
    channels = layer.source.channels
    for place, value in enumerate(x.ravel().tolist()):
        exact = floor((value + int(layer.offsets[place % channels])) / 2**layer.shift)
        limited = min(max(exact, layer.output.low), layer.output.high)
        assert found.ravel()[place] == limited


def test_half_up() -> None:
    def rounded(values: list[int]) -> Ints:
        source = Stream((1,), IntType(8, signed=True))
        kernel = implement(Shift(source, np.array([2]), 2, IntType(8, signed=True)))
        return kernel.compute(np.array(values)[:, None])[0].ravel()

    assert rounded([-6, -5, -2, -1, 1, 2, 5, 6]).tolist() == [-1, -1, 0, 0, 0, 1, 1, 2]


def test_shift_of_a_whole_word() -> None:
    with pytest.raises(BuildError, match="a shift by 32 bits; legal: 0 to 31"):
        implement(Shift(Stream((1,), IntType(8)), np.zeros(1, np.int64), 32, IntType(8)))
