"""Wider and narrower beats: contract, the bits on the wire, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn2fpga.design.folding import divisors
from bnn2fpga.design.integers import BIPOLAR, Ints, IntType
from bnn2fpga.design.kernel import Kernel
from bnn2fpga.design.layers import Regroup
from bnn2fpga.design.stream import Stream
from bnn2fpga.errors import FoldingError
from bnn2fpga.kernels import implement
from bnn2fpga.kernels.width_converter import WidthConverter
from tests.contract import KernelContract, int_types, random_values


@st.composite
def regroups(draw: st.DrawFn, channels: tuple[int, ...]) -> Regroup:
    """From many lanes to few or the other way round, or no change at all."""
    count = draw(st.sampled_from(channels))
    wide = draw(st.sampled_from(divisors(count)))
    narrow = draw(st.sampled_from(divisors(wide)))
    before, after = draw(st.permutations([wide, narrow]))
    return Regroup(Stream((3, count), draw(int_types()), before), after)


class TestContract(KernelContract):
    layers = regroups((1, 12, 24))
    always = (
        Regroup(Stream((2, 2, 24), BIPOLAR, 1), 24),
        Regroup(Stream((24,), IntType(8), 24), 2),
        # wider than a machine word
        Regroup(Stream((1, 144), BIPOLAR, 144), 72),
        Regroup(Stream((1, 144), BIPOLAR, 48), 144),
    )

    def choose(self, kernel: Kernel, seed: int) -> list[Kernel]:
        """A converter has one folding, so others between the same two ends come with it."""
        assert isinstance(kernel, WidthConverter)
        lanes = divisors(kernel.shape[-1])
        pairs = [(a, b) for a in lanes for b in lanes if a % b == 0 or b % a == 0]
        picks = np.random.default_rng(seed).permutation(len(pairs))[:3]
        return [
            kernel,
            *(WidthConverter(kernel.shape, kernel.type, *pairs[pick]) for pick in picks),
        ]


def wire(stream: Stream, frames: Ints) -> list[int]:
    """Every bit in the order of time, the lowest of a beat first."""
    bits = np.unpackbits(stream.pack(frames), axis=-1, bitorder="little")[..., : stream.bits]
    flat: list[int] = bits.ravel().tolist()
    return flat


@settings(max_examples=100, deadline=None)
@given(regroups((1, 6, 24)), st.integers(0, 999))
def test_the_bits_keep_their_order(layer: Regroup, seed: int) -> None:
    kernel = implement(layer)
    frames = random_values(layer.source.type, (2, *layer.source.shape), seed)
    (result,) = kernel.compute(frames)
    assert wire(kernel.outputs[0], result) == wire(kernel.inputs[0], frames)
    assert kernel.outputs[0].lanes == layer.lanes


@settings(max_examples=50, deadline=None)
@given(regroups((1, 6, 24)))
def test_a_converter_is_as_fast_as_its_narrow_side(layer: Regroup) -> None:
    kernel = implement(layer)
    assert kernel.cycles.interval == max(kernel.inputs[0].beats, kernel.outputs[0].beats)


def test_lanes_that_do_not_divide_are_refused() -> None:
    with pytest.raises(FoldingError) as caught:
        WidthConverter((24,), BIPOLAR, 8, 12)
    assert str(caught.value) == "no width converter from 8 to 12 lanes: neither divides"
    with pytest.raises(FoldingError) as caught:
        WidthConverter((24,), BIPOLAR, 5, 1)
    assert str(caught.value) == (
        "source_lanes=5 does not divide 24 channels; legal: 1, 2, 3, 4, 6, 8, 12, 24"
    )
