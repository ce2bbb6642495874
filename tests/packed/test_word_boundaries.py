"""The packed engine where words begin and end: lanes, types, paddings and views around 64 channels."""

from __future__ import annotations

import platform
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn2fpga.design.integers import BIPOLAR, TERNARY, IntType
from bnn2fpga.design.kernel import Kernel
from bnn2fpga.design.layers import Bend, ChannelDot, Layer, Map, WindowMax, Windows, WindowSum
from bnn2fpga.design.packed_frames import PackedFrames
from bnn2fpga.design.step_functions import Steps
from bnn2fpga.design.stream import Stream
from bnn2fpga.design.two_slopes import TwoSlopes
from bnn2fpga.kernels import implement
from bnn2fpga.packed.library import COMPARED, load_library
from tests.contract import random_steps, random_values, run_packed
from tests.kernels.matrix_vector import dot_layer, unit
from tests.kernels.test_gated_mvu import codes, gated

CHANNELS = (1, 3, 8, 63, 64, 65, 127, 128, 129, 200)
FRAMES = 5
INT32 = IntType(32, signed=True)

channels = st.sampled_from(CHANNELS)
seeds = st.integers(0, 10**6)
small_types = st.one_of(
    st.just(BIPOLAR), st.just(TERNARY), st.builds(IntType, st.integers(1, 8), st.booleans())
)
many = settings(max_examples=150, deadline=None)


def check(kernel: Kernel, *arrays: Any) -> None:
    """Packed equals numpy, of integers and of planes."""
    for as_planes in (False, True):
        for want, have in zip(kernel.compute(*arrays), run_packed(kernel, arrays, as_planes), strict=True):
            np.testing.assert_array_equal(have, want)


def check_random(layer: Layer, seed: int) -> None:
    """The same for random frames of the kernel that takes `layer`."""
    kernel = implement(layer)
    check(kernel, *(random_values(s.type, (FRAMES, *s.shape), seed) for s in kernel.inputs))


@many
@given(small_types, small_types, channels, channels, st.sampled_from(("", "rising", "mixed")), seeds)
def test_products(source: IntType, weight: IntType, rows: int, columns: int, shape: str, seed: int) -> None:
    if weight.bits == 1 and not weight.bipolar:
        weight = BIPOLAR
    # few levels stay planes, many do not; more than COMPARED are searched
    output = (BIPOLAR, IntType(2), IntType(4, signed=True), IntType(6), IntType(3, signed=True))[seed % 5]
    kernel = unit(dot_layer(source, weight, (3, rows, columns), seed), shape, output, seed)
    check(kernel, random_values(source, (FRAMES, 3, columns), seed))


@pytest.mark.parametrize("source", [BIPOLAR, TERNARY, IntType(2), IntType(8)])
def test_weights_in_another_order(source: IntType) -> None:
    """An initializer that was transposed."""
    layer = dot_layer(source, BIPOLAR, (2, 70, 130), 0)
    kernel = implement(replace(layer, weights=np.asfortranarray(layer.weights)))
    check(kernel, random_values(source, (FRAMES, 2, 130), 1))


def test_very_wide_pixels() -> None:
    """Flattened images: what has no room on a thread's stack is not put there."""
    kind = IntType(2)
    for count in (1 << 15, (1 << 15) + 1, 3_000_000):
        steps = random_steps(0, 3, 1, BIPOLAR, "rising", 0)
        many = Steps(
            *(np.repeat(table, count, 0) for table in (steps.base, steps.thresholds, steps.signs)), BIPOLAR
        )
        check_random(Map(Stream((count,), kind), many), 0)
    kernel = unit(dot_layer(BIPOLAR, BIPOLAR, (1, 2, 3_000_000), 0), "rising", BIPOLAR, 0)
    check(kernel, random_values(BIPOLAR, (1, 1, 3_000_000), 0))


@pytest.mark.parametrize("bits", [12, 16])
def test_products_beyond_single_precision(bits: int) -> None:
    """Sums that a float of 24 bits does not hold."""
    source = IntType(bits, signed=True)
    kernel = unit(dot_layer(source, IntType(8, signed=True), (2, 5, 70), bits))
    x = np.full((2, 2, 70), source.high)
    x[1, :, ::2] = source.low + 1
    check(kernel, x)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="compiles for processors of x86-64")
@pytest.mark.parametrize("processor", ["x86-64", "haswell"])
def test_processors_without_wide_popcounts(processor: str) -> None:
    """Without vectors, and with AVX2: what other machines run."""
    if processor == "haswell" and "avx2" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("this processor has no AVX2")
    for seed, (source, weight) in enumerate(
        product((BIPOLAR, TERNARY, IntType(2), IntType(8)), (BIPOLAR, IntType(4, signed=True)))
    ):
        for rows, columns in ((5, 130), (64, 576), (130, 63)):
            kernel = unit(dot_layer(source, weight, (5, rows, columns), seed), "rising", IntType(2), seed)
            x = random_values(source, (2, 5, columns), seed)
            for as_planes in (False, True):
                (found,) = run_packed(kernel, [x], as_planes, processor)
                np.testing.assert_array_equal(found, kernel.compute(x)[0])


@many
@given(st.booleans(), channels, channels, seeds)
def test_gated(border: bool, rows: int, columns: int, seed: int) -> None:
    kernel = implement(gated(border, rows, columns, seed))
    check(kernel, codes(kernel, seed))


@many
@given(small_types, channels, st.sampled_from(((1, 1), (3, 3), (2, 1), (1, 4))), st.integers(1, 2), seeds)
def test_windows(kind: IntType, count: int, kernel: tuple[int, int], stride: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    pads = tuple(int(pad) for pad in random.integers(0, 3, 4))
    value = int(random.choice([kind.low, kind.high, 0, -1, 3, -5]))
    layer = Windows(
        Stream((6, 8, count), kind),
        kernel,
        (stride, 3 - stride),
        pads,
        (1, 1 + int(random.integers(2))),
        value if any(pads) else kind.low,
    )
    check_random(layer, seed)


@many
@given(small_types, channels, st.integers(1, 5), seeds)
def test_taps(kind: IntType, count: int, taps: int, seed: int) -> None:
    source = Stream((2, taps * count), kind)
    weights = random_values(IntType(5, signed=True), (count, taps), seed)
    check_random(WindowMax(source, taps), seed)
    check_random(WindowSum(source, taps), seed)
    check_random(ChannelDot(source, weights, IntType(5, signed=True)), seed)


@many
@given(st.sampled_from((IntType(3), IntType(9, signed=True), INT32)), channels, seeds)
def test_step_functions(kind: IntType, count: int, seed: int) -> None:
    for output in (BIPOLAR, IntType(2), IntType(7, signed=True)):
        steps = random_steps(kind.low, kind.high, count, output, "mixed", seed)
        check_random(Map(Stream((2, count), kind), steps), seed)
    assert steps.count > COMPARED or count < 3 or kind.bits == 3


def test_a_threshold_beyond_int32_is_never_reached() -> None:
    steps = random_steps(0, 5, 3, BIPOLAR, "rising", 0)
    never = replace(steps, thresholds=np.full_like(steps.thresholds, 1 << 31))
    kernel = replace(implement(Map(Stream((1, 3), INT32), steps)), steps=never)
    check(kernel, np.array([[[INT32.low, 0, INT32.high]]]))


@many
@given(channels, seeds)
def test_lines_at_the_ends_of_int32(count: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    knee = random.choice([INT32.low, 0, 5, INT32.high, INT32.high + 1], count)
    slopes = random.integers(-9, 10, (2, count))
    lines = TwoSlopes(knee, slopes, random.integers(-(10**9), 10**9, (2, count)), 6)
    check_random(Bend(Stream((2, count), INT32), lines), seed)


@many
@given(small_types, channels, st.integers(1, 3), seeds)
def test_views(kind: IntType, count: int, pixels: int, seed: int) -> None:
    library = load_library()
    assert library is not None
    x = random_values(kind, (FRAMES, pixels, count), seed)
    frames = PackedFrames.of(library, kind, x)
    planes = replace(frames, kept=frames.planes)
    for one in (frames, planes):
        np.testing.assert_array_equal(one.arrays, x)
        flat = one.viewed((pixels * count,))
        np.testing.assert_array_equal(flat.arrays, x.reshape(FRAMES, -1))
        np.testing.assert_array_equal(replace(flat, kept=flat.planes).arrays, x.reshape(FRAMES, -1))
