"""With exact sums the reference is the graph whose sums lie on their grids, not float32's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from bnn2fpga import verify
from bnn2fpga.build.compiler import Options, Pipeline
from bnn2fpga.errors import ModelError
from bnn2fpga.frontend.graph_reference import compute_graph
from bnn2fpga.frontend.lowering.exact_sums import Grid
from tests.frontend.nets import SmallBinaryWeight, conv, images, levels, pixels, sign
from tests.frontend.test_patterns import FRAMES, SHAPE, seeded
from tests.some_slow import some_slow


def tied() -> nn.Module:
    """Sums of multiples of 0.1, of which float32 misses the 0 where the sign changes."""
    first = [pixels(), conv(2, 4, weight=SmallBinaryWeight), sign()]
    return nn.Sequential(*first, conv(4, 5, weight=SmallBinaryWeight, padding=1), levels(2), conv(5, 3, 1))


@given(st.integers(0, 2**31), st.sampled_from([0.1, 1 / 3, 0.7e-3]))
def test_the_nearest_number_of_a_grid(seed: int, step: float) -> None:
    random = np.random.default_rng(seed)
    index = random.permutation(12).reshape(1, 3, 4)
    scale, bias = step * random.integers(1, 9, 4), step * random.normal(size=4)
    grid = Grid.of(scale, bias, 4, index)
    n = random.integers(-(10**5), 10**5, (2, 3, 4))
    exact = (n * scale[index[0] % 4] + bias[index[0] % 4]).astype(np.float32)
    moved = (exact + 0.3 * scale[index[0] % 4] * random.uniform(-1, 1, exact.shape)).astype(np.float32)
    np.testing.assert_array_equal(grid.nearest(moved), exact)


@some_slow("seed", (0, 1))
def test_the_ladder_stands_on_exact_sums(seed: int) -> None:
    net, frames = seeded(tied, seed), images(seed, FRAMES, *SHAPE)
    ladder = verify(net, frames, example_input=frames[:1], exact_sums=True, cpp_frames=2, rtl_frames=1)
    assert ladder.ok
    names = [(level.name, level.reference, level.tolerated) for level in ladder.levels]
    assert ("exact sums", "streamlined", True) in names and ("numpy", "exact sums", False) in names
    assert ("numpy", "QONNX", False) not in names


def test_float32_itself_decides_otherwise() -> None:
    """Some frames of some networks: it is not for nothing that the sums are put on their grids."""
    different = 0
    for seed in range(3):
        frames = images(seed, FRAMES, *SHAPE)
        pipeline = Pipeline(seeded(tied, seed), Options(exact_sums=True), frames[:1])
        host = pipeline.lowered.host
        outputs = [
            compute_graph(pipeline.streamlined[0], host, frames, exact=e).outputs[0] for e in (False, True)
        ]
        different += int((outputs[0] != outputs[1]).any(axis=(1, 2, 3)).sum())
    assert different


def test_no_sum_is_moved_where_all_are_exact() -> None:
    frames = images(0, FRAMES, *SHAPE)
    net = nn.Sequential(pixels(), conv(2, 4), sign(), conv(4, 3, 1))
    for exact in (False, True):
        host = Pipeline(seeded(lambda: net, 0), Options(exact_sums=exact), frames[:1]).lowered.host
        assert not host.sums


@some_slow("scale", (0.1, 1 / 3))
def test_an_average_of_numbers_that_float32_rounds(scale: float) -> None:
    """Four of 0.1 * n add up beside their grid, and the next quantizer has thresholds on it."""
    net = nn.Sequential(levels(4, step=scale), nn.AvgPool2d(2), levels(2, step=3 * scale), conv(2, 3, 1))
    frames = images(0, FRAMES, *SHAPE)
    said = r"lies on a threshold at sum .*, where the rounding of the float sum in AveragePool"
    with pytest.raises(ModelError, match=said):
        _ = Pipeline(seeded(lambda: net, 0), Options(), frames[:1]).lowered
    assert verify(net, frames, example_input=frames[:1], exact_sums=True, cpp_frames=2, rtl_frames=1).ok


def test_an_average_of_powers_of_two_is_exact() -> None:
    net = nn.Sequential(levels(4, step=0.125), nn.AvgPool2d(2), levels(2, step=0.25), conv(2, 3, 1))
    frames = images(0, FRAMES, *SHAPE)
    assert verify(net, frames, example_input=frames[:1], cpp_frames=0, rtl_frames=0).ok
