"""The convolution's memory: contract, windows against loops and torch, and the life of its rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn2fpga.design.integers import BIPOLAR, TERNARY, IntType
from bnn2fpga.design.layers import Dot, Windows
from bnn2fpga.design.stream import Stream
from bnn2fpga.errors import BuildError, FoldingError
from bnn2fpga.kernels import implement
from bnn2fpga.kernels.sliding_window import SlidingWindow
from tests.contract import KernelContract, int_types, random_values

MEANING = settings(max_examples=100, deadline=None)
PAD_VALUES = st.integers(-5, 9)
TYPES = int_types(3)
PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))


@st.composite
def windows(
    draw: st.DrawFn,
    channels: tuple[int, ...] = (1, 2, 3),
    pad_values: st.SearchStrategy[int] = PAD_VALUES,
    types: st.SearchStrategy[IntType] = TYPES,
) -> Windows:
    """Windows that fit, the padding sometimes wider than the kernel."""
    kernel, stride = draw(PAIRS), draw(PAIRS)
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    pads = draw(st.tuples(*[st.sampled_from([0, 1, 2, 4])] * 4))
    size = [
        draw(st.integers(max(1, d * (k - 1) + 1 - before - after), 8))
        for k, d, before, after in zip(kernel, dilation, pads[:2], pads[2:], strict=True)
    ]
    source = Stream((*size, draw(st.sampled_from(channels))), draw(types))
    return Windows(source, kernel, stride, pads, dilation, draw(pad_values))


def window(layer: Windows) -> SlidingWindow:
    kernel = implement(layer)
    assert isinstance(kernel, SlidingWindow)
    return kernel


class TestContract(KernelContract):
    layers = windows((1, 6, 12))
    always = (
        # bipolar padded with 0 is ternary; padded with -1 it stays bipolar
        Windows(Stream((6, 5, 12), BIPOLAR), (3, 3), pads=(1, 1, 1, 1)),
        Windows(Stream((7, 7, 12), BIPOLAR), (3, 2), (2, 1), (0, 2, 1, 0), (2, 2), -1),
        # signed and unsigned sources that the padding makes wider
        Windows(Stream((5, 5, 6), IntType(3, True)), (2, 2), (2, 3), (2, 0, 0, 1), pad_value=9),
        Windows(Stream((4, 5, 6), IntType(3)), (2, 3), pads=(1, 0, 2, 1), pad_value=-1),
        # rows that no window uses arrive while the only kept row is being sent
        Windows(Stream((3, 4, 6), IntType(3)), (1, 2), (3, 1)),
    )


@MEANING
@given(windows(), st.integers(0, 999))
def test_windows_are_what_loops_cut_out(layer: Windows, seed: int) -> None:
    kernel = window(layer)
    height, width, channels = layer.source.shape
    top, left, bottom, right = layer.pads
    image = random_values(layer.source.type, (height, width, channels), seed)

    def pixel(y: int, x: int) -> list[int]:
        inside = 0 <= y < height and 0 <= x < width
        return image[y, x].tolist() if inside else [layer.pad_value] * channels

    def reach(axis: int) -> int:
        return layer.dilation[axis] * (layer.kernel[axis] - 1)

    expected = [
        [
            [
                value
                for tap_y in range(layer.kernel[0])
                for tap_x in range(layer.kernel[1])
                for value in pixel(y + tap_y * layer.dilation[0], x + tap_x * layer.dilation[1])
            ]
            for x in range(-left, width + right - reach(1), layer.stride[1])
        ]
        for y in range(-top, height + bottom - reach(0), layer.stride[0])
    ]
    assert kernel.compute(image[None])[0].tolist() == [expected]
    assert kernel.outputs[0].shape == np.shape(expected)


@MEANING
@given(windows(pad_values=st.just(0), types=st.just(BIPOLAR)), st.integers(0, 999))
def test_window_then_dot_is_a_convolution(layer: Windows, seed: int) -> None:
    top, left, bottom, right = layer.pads
    kernel = window(layer)
    image = random_values(BIPOLAR, (2, *layer.source.shape), seed)
    weights = random_values(BIPOLAR, (4, layer.source.channels, *layer.kernel), seed + 1)
    channels_first = torch.from_numpy(image).permute(0, 3, 1, 2).double()
    padded = torch.nn.functional.pad(channels_first, (left, right, top, bottom))
    expected = torch.nn.functional.conv2d(
        padded, torch.from_numpy(weights).double(), None, layer.stride, 0, layer.dilation
    )
    taps = kernel.compute(image)
    rows = weights.transpose(0, 2, 3, 1).reshape(4, -1)
    unit = implement(Dot(kernel.outputs[0], rows, BIPOLAR))
    (found,) = unit.compute(*taps)
    if kernel.output_type == BIPOLAR:
        found = 2 * found.astype(np.int64) - rows.shape[1]
    np.testing.assert_array_equal(found, expected.permute(0, 2, 3, 1).numpy())
    unfolded = torch.nn.functional.unfold(padded, layer.kernel, layer.dilation, 0, layer.stride)
    by_channel = taps[0].reshape(2, -1, kernel.kernel[0] * kernel.kernel[1], layer.source.channels)
    np.testing.assert_array_equal(
        by_channel.transpose(0, 3, 2, 1).reshape(2, -1, by_channel.shape[1]), unfolded.numpy()
    )


@settings(max_examples=300, deadline=None)
@given(windows())
def test_a_row_stays_until_its_last_window_and_comes_before_its_first(layer: Windows) -> None:
    """Phase by phase on rows alone; a phase must also not write where it reads (DEPENDENCE false)."""
    kernel = window(layer)
    beats = layer.source.shape[1] * kernel.channel_folds
    assert kernel.geometry.buffer_rows.bit_count() == 1
    arrived, slots = 0, {}
    for phase, read in enumerate(kernel.reads):
        assert read % beats == 0
        arriving = range(arrived, arrived + read // beats)
        if phase:
            first = (phase - 1) * layer.stride[0] - layer.pads[0]
            used = [first + tap * layer.dilation[0] for tap in range(layer.kernel[0])]
            for row in (row for row in used if 0 <= row < layer.source.shape[0]):
                assert slots.get(row % kernel.geometry.buffer_rows) == row, (
                    "a window needs a row that is not there"
                )
                if phase < kernel.geometry.output_height:
                    assert all((new - row) % kernel.geometry.buffer_rows for new in arriving), (
                        "written while read"
                    )
        if phase < kernel.geometry.output_height:
            slots |= {row % kernel.geometry.buffer_rows: row for row in arriving}
        arrived += len(arriving)
    assert arrived == layer.source.shape[0]
    assert kernel.cycles.interval >= max(kernel.inputs[0].beats, kernel.outputs[0].beats)


@pytest.mark.parametrize(
    ("source", "pad", "output"),
    [
        (BIPOLAR, 0, TERNARY),
        (BIPOLAR, -1, BIPOLAR),
        (BIPOLAR, 1, BIPOLAR),
        (BIPOLAR, 2, IntType(3, True)),
        (TERNARY, 0, TERNARY),
        (TERNARY, -2, IntType(2, True)),
        (IntType(8), 0, IntType(8)),
        (IntType(8), 255, IntType(8)),
        (IntType(8), 256, IntType(9)),
        (IntType(8), -1, IntType(9, True)),
        (IntType(4, True), 8, IntType(5, True)),
    ],
    ids=str,
)
def test_output_type_holds_the_padding(source: IntType, pad: int, output: IntType) -> None:
    padded = Windows(Stream((3, 3, 1), source), (2, 2), pads=(1, 0, 0, 0), pad_value=pad)
    assert window(padded).output_type == output
    bare = Windows(Stream((3, 3, 1), source), (2, 2), pad_value=pad)
    assert window(bare).output_type == source, "without padding its value does not matter"


def test_a_window_that_does_not_fit_is_refused() -> None:
    with pytest.raises(BuildError) as caught:
        implement(Windows(Stream((2, 5, 1), BIPOLAR), (3, 3), dilation=(2, 1), pads=(1, 0, 1, 0)))
    assert str(caught.value) == "a 3x3 window does not fit into 2x5 with padding (1, 0, 1, 0)"


def test_a_beat_of_some_taps_is_refused() -> None:
    kernel = window(Windows(Stream((5, 5, 4), BIPOLAR), (3, 3)))
    for lanes, taps in ((4, 3), (2, 9)):
        with pytest.raises(FoldingError) as caught:
            replace(kernel, lanes=lanes, taps=taps)
        assert str(caught.value) == (
            f"taps={taps} and lanes={lanes} are no whole window; legal: taps=1, or taps=9 and lanes=4"
        )


def test_whole_windows_take_a_trip_a_column() -> None:
    """CNV's first window: 32 columns for each of 30 rows of windows, behind the first 3 rows of pixels."""
    *taps, whole = window(Windows(Stream((32, 32, 3), IntType(8)), (3, 3))).foldings()
    assert (whole.lanes, whole.taps) == (3, 9)
    assert whole.cycles.interval == 3 * 32 + 30 * 32
    assert min(kernel.cycles.interval for kernel in taps) >= 30 * 30 * 9
