"""The XNOR-popcount unit: contract, meaning, and the ends of its accumulator."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn2fpga.design.integers import BIPOLAR, TERNARY, IntType
from bnn2fpga.design.kernel import Kernel
from bnn2fpga.design.layers import Dot
from bnn2fpga.kernels.xnor_mvu import XnorMvu
from tests.contract import FRAMES, random_values, run_cpp, side_by_side
from tests.kernels.matrix_vector import (
    OUTPUTS,
    MatrixVectorContract,
    dot_layer,
    dot_layers,
    extreme_inputs,
    flat,
    slow_dot,
    slow_steps,
    taps,
    unit,
    with_borders,
)

TYPES = st.sampled_from([(BIPOLAR, BIPOLAR), (TERNARY, BIPOLAR)])
MEANING = settings(max_examples=60, deadline=None)


def padded(layer: Dot) -> st.SearchStrategy[Dot]:
    """The layer as one of pixels of some channels, of which all are zeros or none."""
    return taps(layer.source.channels).map(lambda tap: replace(layer, tap=tap))


def signs(kernel: XnorMvu, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Random inputs; zeros fill whole taps."""
    x = random_values(kernel.source_type, shape, seed)
    return with_borders(x, random_values(BIPOLAR, shape, seed + 1), kernel.tap, 0) if kernel.tap > 1 else x


class TestContract(MatrixVectorContract):
    layers = dot_layers(TYPES, (1, 6, 12, 27, 70, 144), (1, 4, 6)).flatmap(padded)
    always = (
        dot_layer(BIPOLAR, BIPOLAR, (2, 6, 144), 1),
        dot_layer(TERNARY, BIPOLAR, (1, 4, 70), 2),
        dot_layer(TERNARY, BIPOLAR, (1, 4, 144), 3, 16),
        dot_layer(TERNARY, BIPOLAR, (1, 4, 144), 4, 48),
    )

    def inputs_of(self, kernel: Kernel, seed: int) -> list[np.ndarray]:
        assert isinstance(kernel, XnorMvu)
        return [signs(kernel, (FRAMES, *kernel.source_shape), seed)]


@MEANING
@given(dot_layers(TYPES, (1, 2, 3, 8, 20), (1, 3, 5)), st.integers(0, 999))
def test_accumulator_counts_equal_bits_or_sums_what_is_not_masked(layer: Dot, seed: int) -> None:
    kernel = unit(layer)
    assert isinstance(kernel, XnorMvu)
    x = random_values(kernel.source_type, (2, *kernel.source_shape), seed)
    if kernel.source_type == BIPOLAR:
        expected = [
            [sum(bool(w == v) for w, v in zip(row, vector, strict=True)) for row in layer.weights]
            for vector in x.reshape(-1, x.shape[-1])
        ]
    else:
        expected = slow_dot(layer.weights, x)
    (found,) = kernel.compute(x)
    assert flat(found) == expected
    scale, offset = kernel.dot_affine
    assert [[scale * n + offset for n in pixel] for pixel in expected] == slow_dot(layer.weights, x)
    assert flat(kernel.dot(x)) == slow_dot(layer.weights, x)


@MEANING
@given(
    dot_layers(TYPES, (2, 9, 20), (1, 3, 5)),
    st.sampled_from(["rising", "falling", "mixed"]),
    st.sampled_from(OUTPUTS),
    st.integers(0, 999),
)
def test_fused_steps_apply_to_the_accumulator(layer: Dot, shape: str, output: IntType, seed: int) -> None:
    bare, fused = unit(layer), unit(layer, shape, output, seed)
    x = random_values(bare.source_type, (2, *bare.source_shape), seed)
    assert fused.steps is not None
    (found,) = fused.compute(x)
    assert fused.outputs[0].type == output
    assert flat(found) == slow_steps(fused.steps, flat(bare.compute(x)[0]))


@pytest.mark.parametrize("source", [BIPOLAR, TERNARY])
def test_accumulator_range_is_what_all_inputs_reach(source: IntType) -> None:
    for seed in range(5):
        kernel = unit(dot_layer(source, BIPOLAR, (1, 2, 4), seed))
        values = range(source.low, source.high + 1, source.step)
        every = np.array(list(product(values, repeat=4)))[:, None, :]
        (found,) = kernel.compute(every)
        assert (found.min(), found.max()) == kernel.accumulator_range
        assert kernel.accumulator_type == IntType.holding(*kernel.accumulator_range)


def test_a_popcount_of_a_power_of_two_does_not_overflow() -> None:
    """64 equal bits count 64, which needs a seventh bit, in one beat as in 64."""
    bare = [unit(dot_layer(source, BIPOLAR, (1, 2, 64), 3)) for source in (BIPOLAR, TERNARY)]
    kernels = [replace(k, pe=pe, simd=simd) for k in bare for pe, simd in ((1, 1), (2, 64), (2, 32))]
    inputs = [extreme_inputs(kernel) for kernel in kernels]
    outputs = run_cpp(side_by_side(list(kernels)), *inputs)
    for kernel, x, found in zip(kernels, inputs, outputs, strict=True):
        assert found[:, 0, 0].tolist() == ([64, -64] if kernel.source_type == TERNARY else [64, 0])
        assert flat(found) == flat(kernel.compute(x)[0])
