"""The unit of weights of 3 to 8 bits: contract, meaning, and the ends of its accumulator."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn2fpga.design.integers import BIPOLAR, TERNARY, Ints, IntType
from bnn2fpga.design.layers import Dot, dot_range
from bnn2fpga.design.stream import Stream
from bnn2fpga.errors import BuildError
from bnn2fpga.kernels import implement
from bnn2fpga.kernels.plane_mvu import PlaneMvu
from tests.contract import int_types, random_values
from tests.kernels.matrix_vector import (
    OUTPUTS,
    MatrixVectorContract,
    check_ends,
    check_fused_steps,
    check_range,
    dot_layer,
    dot_layers,
    flat,
    slow_dot,
    unit,
)

WEIGHTS = st.builds(IntType, st.integers(3, 8), st.booleans())
TYPES = st.tuples(int_types(), WEIGHTS)
MEANING = settings(max_examples=60, deadline=None)
SIGNED = [IntType(bits, signed=True, narrow=narrow) for bits in (3, 4, 8) for narrow in (False, True)]


class TestContract(MatrixVectorContract):
    """Steps up and down have 4 levels: with 16 of such wide sums they would be the largest part by far."""

    layers = dot_layers(TYPES, (1, 6, 12, 27), (1, 4, 6))
    outputs = (BIPOLAR, IntType(2), IntType(2, signed=True))
    always = (
        dot_layer(IntType(8), IntType(8, True), (1, 4, 27), 1),
        dot_layer(BIPOLAR, IntType(8, True), (1, 4, 60), 2),
        dot_layer(BIPOLAR, IntType(3), (1, 4, 12), 3),
        dot_layer(IntType(3), IntType(3, True, narrow=True), (2, 6, 64), 4),
        dot_layer(IntType(4, True), IntType(4, True), (1, 4, 9), 5),
    )


@MEANING
@given(dot_layers(TYPES, (1, 2, 3, 8, 20), (1, 3, 5)), st.integers(0, 999))
def test_accumulator_is_the_dot_product(layer: Dot, seed: int) -> None:
    kernel = unit(layer)
    assert isinstance(kernel, PlaneMvu)
    assert kernel.dot_affine == (1, 0)
    x = random_values(kernel.source_type, (2, *kernel.source_shape), seed)
    assert flat(kernel.compute(x)[0]) == slow_dot(layer.weights, x)


@MEANING
@given(
    dot_layers(TYPES, (2, 9, 20), (1, 3, 5)),
    st.sampled_from(["rising", "falling", "mixed"]),
    st.sampled_from(OUTPUTS),
    st.integers(0, 999),
)
def test_fused_steps_apply_to_the_dot_product(layer: Dot, shape: str, output: IntType, seed: int) -> None:
    check_fused_steps(layer, shape, output, seed)


@pytest.mark.parametrize("weight", SIGNED, ids=str)
@pytest.mark.parametrize("source", [BIPOLAR, TERNARY, IntType(2), IntType(2, True)], ids=str)
def test_accumulator_range_is_what_all_inputs_reach(source: IntType, weight: IntType) -> None:
    check_range(source, weight)


def test_the_ends_of_the_accumulator_do_not_overflow() -> None:
    """Inputs that drive all columns the same way, in one beat and in many, for every kind of input."""
    check_ends(
        [IntType(8), IntType(8, True), IntType(1), BIPOLAR, TERNARY, IntType(3)],
        [*SIGNED[:5], IntType(5)],
    )


def test_wider_weights_have_no_kernel() -> None:
    with pytest.raises(BuildError) as caught:
        implement(Dot(Stream((2,), IntType(8)), np.array([[3, -256]]), IntType(9, True)))
    assert str(caught.value) == "Dot of uint8: no kernel implements it, exactly one must"


def test_foldings_share_the_range_of_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planning asks every folding what it needs; millions of weights must not be added up for each."""
    kernel = implement(Dot(Stream((1, 64), IntType(4)), np.full((32, 64), 5), IntType(4, signed=True)))
    assert isinstance(kernel, PlaneMvu)
    called = []

    def counted(weights: Ints, source: IntType) -> tuple[int, int]:
        called.append(source)
        return dot_range(weights, source)

    monkeypatch.setattr("bnn2fpga.kernels.bases.matrix_vector.dot_range", counted)
    foldings = list(kernel.foldings())
    assert {folded.resources.dsps for folded in foldings} == {0} and len(foldings) > 30
    assert len(called) == 1
    assert foldings[-1].accumulator_range == (0, 64 * 5 * 15)
