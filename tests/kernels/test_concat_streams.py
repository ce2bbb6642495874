"""Channels behind one another: contract and meaning."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from bnn2fpga.design.integers import BIPOLAR, IntType
from bnn2fpga.design.layers import Concat
from bnn2fpga.design.stream import Stream
from bnn2fpga.kernels import implement
from tests.contract import KernelContract, int_types, random_values


def concats(channels: tuple[int, ...]) -> st.SearchStrategy[Concat]:
    return st.builds(
        lambda kind, left, right: Concat(Stream((3, left), kind), Stream((3, right), kind)),
        int_types(),
        st.sampled_from(channels),
        st.sampled_from(channels),
    )


class TestContract(KernelContract):
    layers = concats((6, 12, 18))
    always = (
        Concat(Stream((2, 2, 12), BIPOLAR), Stream((2, 2, 24), BIPOLAR)),
        Concat(Stream((8,), IntType(5, True)), Stream((4,), IntType(5, True))),
    )


@settings(max_examples=60, deadline=None)
@given(concats((1, 2, 5)), st.integers(0, 999))
def test_every_pixel_holds_left_then_right(layer: Concat, seed: int) -> None:
    left = random_values(layer.source.type, (2, *layer.source.shape), seed)
    right = random_values(layer.other.type, (2, *layer.other.shape), seed + 1)
    (found,) = implement(layer).compute(left, right)
    for pixel, a, b in zip(found.reshape(6, -1), left.reshape(6, -1), right.reshape(6, -1), strict=True):
        assert pixel.tolist() == a.tolist() + b.tolist()


def test_streams_of_two_types_have_no_kernel() -> None:
    kernels = Concat(Stream((4,), BIPOLAR), Stream((4,), IntType(2)))
    try:
        implement(kernels)
    except Exception as error:
        assert "no kernel implements it" in str(error)
    else:
        raise AssertionError("two types were concatenated")
