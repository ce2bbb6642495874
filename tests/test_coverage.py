"""What frames have shown, and which of them come first within a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn2fpga.build import verify
from bnn2fpga.build.budget import POOL, extremes, spread
from bnn2fpga.build.compiler import Options, Pipeline
from bnn2fpga.build.coverage import Share, cover, flip, flipped, step_functions
from bnn2fpga.design.graph import Design
from bnn2fpga.design.integers import BIPOLAR, TERNARY, Ints, IntType
from bnn2fpga.kernels import implement
from tests.conftest import Run
from tests.contract import random_values
from tests.kernels.matrix_vector import dot_layer
from tests.models import SHAPE, small_onnx
from tests.random_designs import random_design

DIGITS = Path(__file__).parents[1] / "bnn2fpga/training/trained/digits.onnx"


def frames_of(design: Design, count: int, seed: int = 0) -> Ints:
    stream = design.inputs[0].stream
    return random_values(stream.type, (count, *stream.shape), seed)


@pytest.mark.parametrize("seed", range(3))
def test_thresholds_one_by_one(seed: int) -> None:
    design = random_design(seed)
    frames = frames_of(design, 4, seed)
    both = thresholds = functions = full = 0
    for steps, sums in step_functions(design, frames):
        for channel in range(steps.channels):
            base, limits, signs = steps.of_channel(channel)
            values = sums[:, channel].tolist()
            for limit in limits:
                thresholds += 1
                both += any(value < limit for value in values) and any(value >= limit for value in values)
            heights = {base + sum(signs[:place]) for place in range(len(signs) + 1)}
            seen = {base + sum(s for t, s in zip(limits, signs, strict=True) if v >= t) for v in values}
            functions += 1
            full += seen == heights
    found = cover(design, frames, samples=1)
    assert (found.thresholds, found.functions) == (Share(both, thresholds), Share(full, functions))
    assert thresholds > 0 and both < thresholds


types = st.one_of(st.just(BIPOLAR), st.just(TERNARY), st.builds(IntType, st.integers(2, 8), st.booleans()))


@settings(max_examples=100, deadline=None)
@given(types, st.integers(0, 10**6))
def test_one_bit_of_one_weight(kind: IntType, seed: int) -> None:
    kernel = implement(dot_layer(IntType(2), kind, (1, 3, 4), seed))
    other = flip(kernel, np.random.default_rng(seed))
    (place,) = np.argwhere(other.weights != kernel.weights)
    before, after = int(kernel.weights[tuple(place)]), int(other.weights[tuple(place)])
    assert kernel.weight_type.low <= after <= kernel.weight_type.high
    mask = (1 << kernel.weight_type.bits) - 1
    assert (before, after) in ((1, -1), (-1, 1)) or ((before ^ after) & mask).bit_count() == 1


def flips_found(design: Design, frames: Ints, count: int, seed: int) -> int:
    """The same in numpy, kernel by kernel: a second opinion on what a flipped bit changes."""
    random = np.random.default_rng(seed)
    weighted = [node for node in design.nodes if hasattr(node.kernel, "weights")]
    sizes = np.array([node.kernel.weights.size * node.kernel.weight_type.bits for node in weighted], float)
    kept = dict(design.trace(frames))
    (sink,) = design.outputs
    found = 0
    for _ in range(count):
        node = weighted[int(random.choice(len(weighted), p=sizes / sizes.sum()))]
        passing, kernel = dict(kept), flip(node.kernel, random)
        for one in design.nodes[design.nodes.index(node) :]:
            own = kernel if one is node else one.kernel
            computed = own.compute(*design.arriving(one, passing))
            passing |= dict(zip(design.outgoing(one.name), computed, strict=True))
        found += not np.array_equal(passing[sink].reshape(-1), kept[sink].reshape(-1))
    return found


def test_the_sampled_share_is_honest() -> None:
    """500 single bits of the demo's network flipped one by one, against the estimate from other bits."""
    design = Pipeline(DIGITS, Options()).lowered
    frames = frames_of(design, 8)
    estimate = flipped(design, frames, samples=200, seed=1)
    assert estimate is not None
    truth = Share(flips_found(design, frames, 500, seed=2), 500)
    print(f"estimated {estimate.percent:.1f} ± {estimate.error:.1f} %, found {truth.percent:.1f} %")
    assert 0 < estimate.found < estimate.total
    assert abs(estimate.percent - truth.percent) <= estimate.error + truth.error


def test_more_frames_show_more() -> None:
    design = Pipeline(DIGITS, Options()).lowered
    few, many = (cover(design, frames_of(design, count), samples=60) for count in (1, 30))
    assert few.flips and many.flips
    assert few.thresholds.found < many.thresholds.found and few.flips.found <= many.flips.found


def test_extremes() -> None:
    made = extremes(np.arange(8.0).reshape(2, 2, 2))
    assert made.shape == (6, 2, 2) and set(np.unique(made)) == {0, 7}
    assert len(np.unique(made, axis=0)) == 6


def test_frames_that_show_most_come_first(tmp_path: Path) -> None:
    pipeline = Pipeline(small_onnx(tmp_path), Options(fps=10_000))
    parts = spread(pipeline, None, seconds=2)
    assert len(parts.frames) >= 2 and 1 <= min(parts.cpp_frames, parts.rtl_frames) <= len(parts.frames)
    design = pipeline.lowered
    encoded = design.host.encode(parts.frames[:POOL])
    first, every = (cover(design, encoded[:count], samples=1) for count in (8, len(encoded)))
    shuffled = encoded[np.random.default_rng(0).permutation(len(encoded))[:8]]
    assert first.thresholds.found >= cover(design, shuffled, samples=1).thresholds.found
    assert first.thresholds.found >= 0.9 * every.thresholds.found


def test_equal_scores_come_before_all(tmp_path: Path) -> None:
    """The frame whose scores are closest together, and that whose two largest are; behind top-1, too."""
    pipeline = Pipeline(small_onnx(tmp_path), Options(fps=10_000))
    frames = spread(pipeline, None, seconds=1).frames[:POOL]
    scores = np.sort(pipeline.lowered.run(frames).reshape(len(frames), -1), axis=1)
    assert np.ptp(scores, axis=1).argmin() == 0
    assert (scores[:, -1] - scores[:, -2])[:2].min() == (scores[:, -1] - scores[:, -2]).min()


def test_data_take_part(tmp_path: Path) -> None:
    pipeline = Pipeline(small_onnx(tmp_path), Options(fps=10_000))
    data = np.random.default_rng(5).random((40, *SHAPE)).astype(np.float32)
    frames = spread(pipeline, data, seconds=3).frames
    rows = {frame.tobytes() for frame in frames.astype(np.float32)}
    assert len(frames) < 40 or sum(frame.tobytes() in rows for frame in data) == 40


def test_no_more_frames_than_memory_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = Pipeline(small_onnx(tmp_path), Options(fps=10_000))
    most = 50
    monkeypatch.setattr(verify, "MOST_BYTES", most * 8 * int(np.prod(SHAPE)))
    assert len(spread(pipeline, None, seconds=30).frames) == most


def test_on_the_command_line(tmp_path: Path, run: Run) -> None:
    model = small_onnx(tmp_path)
    code, printed, _ = run("verify", model, "--minutes", "0.02")
    assert code == 0 and "thresholds seen from both sides" in printed and "weight bits whose flip" in printed
    code, _, error = run("verify", model, "--minutes", "1", "--frames", "3")
    assert code == 2 and "--minutes counts frames itself; leave out --frames" in error
    assert Share(0, 0).percent == 100
