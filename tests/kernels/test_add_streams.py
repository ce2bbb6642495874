"""Two streams added: contract and meaning."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from bnn2fpga.design.integers import BIPOLAR, IntType
from bnn2fpga.design.layers import Sum
from bnn2fpga.design.stream import Stream
from bnn2fpga.kernels import implement
from tests.contract import KernelContract, int_types, random_values


def sums(channels: tuple[int, ...]) -> st.SearchStrategy[Sum]:
    return st.builds(
        lambda left, right, count, shifts, offset: Sum(
            Stream((3, count), left), Stream((3, count), right), shifts, offset
        ),
        int_types(),
        int_types(),
        st.sampled_from(channels),
        st.tuples(st.integers(0, 3), st.integers(0, 3)),
        st.integers(-9, 9),
    )


class TestContract(KernelContract):
    layers = sums((6, 12))
    always = (
        Sum(Stream((2, 2, 12), BIPOLAR), Stream((2, 2, 12), BIPOLAR)),
        Sum(Stream((24,), IntType(10, True)), Stream((24,), IntType(3)), (0, 4), -7),
        Sum(Stream((2, 12), IntType(31)), Stream((2, 12), IntType(31)), (0, 0), 1),
        Sum(Stream((2, 12), IntType(30, True)), Stream((2, 12), IntType(28)), (1, 2), -3),
    )


@settings(max_examples=100, deadline=None)
@given(sums((1, 4)), st.integers(0, 999))
def test_every_element_is_the_shifted_sum(layer: Sum, seed: int) -> None:
    left = random_values(layer.source.type, (2, *layer.source.shape), seed)
    right = random_values(layer.other.type, (2, *layer.other.shape), seed + 1)
    (found,) = implement(layer).compute(left, right)
    up, down = layer.shifts
    expected = [
        a * 2**up + b * 2**down + layer.offset
        for a, b in zip(left.ravel().tolist(), right.ravel().tolist(), strict=True)
    ]
    assert found.ravel().tolist() == expected
