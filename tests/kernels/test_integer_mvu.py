"""The unit of integer inputs and 1 or 2 bit weights: contract, meaning, and the ends of its accumulator."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn2fpga.design.integers import BIPOLAR, TERNARY, IntType
from bnn2fpga.design.layers import Dot
from bnn2fpga.design.stream import Stream
from bnn2fpga.errors import BuildError
from bnn2fpga.kernels import implement
from bnn2fpga.kernels.integer_mvu import IntegerMvu
from tests.contract import int_types, random_values
from tests.kernels.matrix_vector import (
    OUTPUTS,
    MatrixVectorContract,
    check_ends,
    check_fused_steps,
    check_range,
    dot_layer,
    dot_layers,
    extreme_inputs,
    flat,
    slow_dot,
    unit,
)

WEIGHTS = (TERNARY, IntType(2, True), IntType(2), IntType(1), IntType(1, True))
"""Those of 1 or 2 bits; bipolar ones too where the inputs are wider than ternary."""
TYPES = st.one_of(
    st.tuples(int_types(), st.sampled_from(WEIGHTS)),
    st.tuples(st.builds(IntType, st.integers(1, 8), st.booleans()), st.just(BIPOLAR)),
)
MEANING = settings(max_examples=60, deadline=None)


class TestContract(MatrixVectorContract):
    layers = dot_layers(TYPES, (1, 6, 12, 27, 70), (1, 4, 6))
    always = (
        dot_layer(IntType(8), BIPOLAR, (1, 4, 70), 1),
        dot_layer(IntType(3, True), IntType(2, True), (2, 4, 36), 2),
        dot_layer(BIPOLAR, IntType(2), (1, 4, 12), 3),
        dot_layer(IntType(24), IntType(2), (1, 4, 6), 4),
    )


@MEANING
@given(dot_layers(TYPES, (1, 2, 3, 8, 20), (1, 3, 5)), st.integers(0, 999))
def test_accumulator_is_the_dot_product(layer: Dot, seed: int) -> None:
    kernel = unit(layer)
    assert isinstance(kernel, IntegerMvu)
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


@MEANING
@given(st.integers(9, 26), st.booleans(), st.sampled_from((*WEIGHTS, BIPOLAR)), st.integers(0, 999))
def test_wide_sums_are_exact(bits: int, signed: bool, weight: IntType, seed: int) -> None:
    """Also beyond the 24 bits that float32 adds exactly."""
    kernel = unit(dot_layer(IntType(bits, signed), weight, (2, 3, 9), seed))
    x = np.concatenate(
        [
            random_values(kernel.source_type, (2, *kernel.source_shape), seed),
            extreme_inputs(kernel).repeat(2, 1),
        ]
    )
    (found,) = kernel.compute(x)
    assert flat(found) == slow_dot(kernel.weights, x)
    kernel.accumulator_type.check(found, "sum")


@pytest.mark.parametrize("weight", [*WEIGHTS, BIPOLAR], ids=str)
@pytest.mark.parametrize("source", [IntType(2), IntType(2, True)], ids=str)
def test_accumulator_range_is_what_all_inputs_reach(source: IntType, weight: IntType) -> None:
    check_range(source, weight)


def test_the_ends_of_the_accumulator_do_not_overflow() -> None:
    """Inputs that drive all columns the same way, in one beat and in many, for every kind of weight."""
    check_ends(
        [IntType(8), IntType(8, True), IntType(4), IntType(1, True), TERNARY, IntType(8)],
        [*WEIGHTS, BIPOLAR],
    )


def test_too_wide_sums_are_refused() -> None:
    layer = Dot(Stream((2,), IntType(31, True)), np.array([[-2, -2]]), IntType(2, True))
    kernel = implement(layer)
    with pytest.raises(BuildError) as caught:
        _ = kernel.outputs
    assert str(caught.value) == "a sum over 2 inputs of int31 needs more than 32 bits"


def test_wider_weights_have_no_kernel() -> None:
    with pytest.raises(BuildError) as caught:
        implement(Dot(Stream((2,), IntType(8)), np.array([[255, -256]]), IntType(9, True)))
    assert str(caught.value) == "Dot of uint8: no kernel implements it, exactly one must"


@pytest.mark.parametrize(
    ("simd", "weights_in", "made"),
    [(8, "logic", 1), (8, "block", 4), pytest.param(2, "logic", 4, id="more than a page")],
)
def test_elements_share_the_adders_of_equal_weights(simd: int, weights_in: str, made: int) -> None:
    """Where synthesis sees them: in a table of LUTs, a page of 64 words at most."""
    row = np.where(np.random.default_rng(1).random((1, 256)) < 0.5, -1, 1)
    alone = IntegerMvu((1, 256), IntType(8), row, BIPOLAR, simd=simd, weights_in=weights_in)
    four = replace(alone, weights=np.repeat(row, 4, axis=0), pe=4)
    assert four.parts["adders"] == made * alone.parts["adders"] > 0
