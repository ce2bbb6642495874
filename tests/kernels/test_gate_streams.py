"""One stream gated by another: contract and meaning."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn2fpga.design.integers import BIPOLAR, IntType
from bnn2fpga.design.layers import Gate
from bnn2fpga.design.stream import Stream
from bnn2fpga.kernels import implement
from tests.contract import KernelContract, int_types, random_values


def gate(value: IntType, control: IntType, channels: int, shift: int, offset: int, seed: int) -> Gate:
    """Thresholds in the control's range and just beyond."""
    thresholds = np.random.default_rng(seed).integers(control.low, control.high + 2, channels)
    return Gate(Stream((3, channels), value), Stream((3, channels), control), thresholds, shift, offset)


def gates(channels: tuple[int, ...]) -> st.SearchStrategy[Gate]:
    return st.builds(
        gate,
        int_types(),
        int_types(),
        st.sampled_from(channels),
        st.integers(0, 2),
        st.integers(-9, 9),
        st.integers(0, 999),
    )


class TestContract(KernelContract):
    layers = gates((6, 12))
    always = (
        gate(BIPOLAR, IntType(10, True), 12, 0, 0, 1),
        gate(IntType(10, True), IntType(10, True), 6, 1, -27, 2),
        gate(IntType(31), IntType(31), 6, 1, 0, 3),
    )


@settings(max_examples=60, deadline=None)
@given(gates((1, 4)), st.integers(0, 999))
def test_open_or_zero(layer: Gate, seed: int) -> None:
    value = random_values(layer.source.type, (2, *layer.source.shape), seed)
    control = random_values(layer.other.type, (2, *layer.other.shape), seed + 1)
    (found,) = implement(layer).compute(value, control)
    for place, (v, c) in enumerate(zip(value.ravel().tolist(), control.ravel().tolist(), strict=True)):
        opened = c >= layer.thresholds[place % layer.source.channels]
        assert found.ravel()[place] == (v * 2**layer.shift + layer.offset if opened else 0)
