"""The activation on its own: contract and meaning."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn2fpga.design.integers import BIPOLAR, TERNARY, IntType
from bnn2fpga.design.layers import Map
from bnn2fpga.design.step_functions import Steps
from bnn2fpga.design.stream import Stream
from bnn2fpga.errors import FoldingError
from bnn2fpga.kernels import implement
from bnn2fpga.kernels.threshold import Threshold
from tests.contract import KernelContract, int_types, random_steps, random_values
from tests.kernels.matrix_vector import OUTPUTS, flat, slow_steps


def mapping(source: IntType, channels: int, shape: str, output: IntType, seed: int) -> Map:
    return Map(
        Stream((3, channels), source), random_steps(source.low, source.high, channels, output, shape, seed)
    )


def mappings(channels: tuple[int, ...]) -> st.SearchStrategy[Map]:
    return st.builds(
        mapping,
        int_types(),
        st.sampled_from(channels),
        st.sampled_from(["rising", "falling", "mixed"]),
        st.sampled_from(OUTPUTS),
        st.integers(0, 999),
    )


FLAT = Steps.read(np.array([[1, 0, 3, 2, 1, 0]] * 2), np.array([0, 1]), IntType(2))
NEVER = Steps.read(np.array([[0], [1]]), np.array([0, 1 << 31]), IntType(1))
"""A step that nothing reaches, as in files by others."""


class TestContract(KernelContract):
    layers = mappings((1, 6, 12))
    always = (
        mapping(IntType(8, True), 12, "rising", IntType(2), 0),
        mapping(BIPOLAR, 6, "falling", TERNARY, 2),
        mapping(IntType(12, True), 12, "mixed", IntType(4, True), 1),
        Map(Stream((2, 6), IntType(4)), FLAT),
        mapping(IntType(31), 12, "rising", IntType(2), 3),
        Map(Stream((2, 1), IntType(4)), NEVER),
    )


@settings(max_examples=100, deadline=None)
@given(mappings((1, 3, 5)), st.integers(0, 999))
def test_every_channel_has_its_own_steps(layer: Map, seed: int) -> None:
    x = random_values(layer.source.type, (4, *layer.source.shape), seed)
    (found,) = implement(layer).compute(x)
    assert flat(found) == slow_steps(layer.steps, flat(x))
    assert found.dtype == layer.steps.output.dtype


def test_flat_steps_are_constants() -> None:
    (found,) = implement(Map(Stream((2, 6), IntType(4)), FLAT)).compute(np.zeros((1, 2, 6), np.int8))
    assert found.tolist() == [[[1, 0, 3, 2, 1, 0]] * 2]


def test_steps_for_another_number_of_channels_are_refused() -> None:
    with pytest.raises(FoldingError) as caught:
        Threshold((2, 4), IntType(4), FLAT)
    assert str(caught.value) == "6 step functions for 4 channels"
