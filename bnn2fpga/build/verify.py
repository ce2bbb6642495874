"""The ladder: every level of a network must compute the same integers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from bnn2fpga.backends.hls import hls_project
from bnn2fpga.build.dataset import predicted_labels
from bnn2fpga.errors import BuildError
from bnn2fpga.design.graph import Design
from bnn2fpga.design.integers import Ints
from bnn2fpga.build.pipeline import Options, Pipeline
from bnn2fpga.backends.rtl import rtl_project
from bnn2fpga.planning.timing.schedule import interval
from bnn2fpga.simulation.cpp import CppSimulator
from bnn2fpga.simulation.rtl import RtlSimulator

RELATIVE = 1e-5
"""Float outputs count as equal within this part of the largest one: scales may round differently."""

RTL_CLOCKS = 1_000_000
"""What the RTL level spends unless asked for more frames; seconds."""
PAUSES = 0.1
"""Share of the clocks in which the RTL's input, or its output, pauses."""
SHORT_RUN = 200_000
"""Clocks up to which compiling with optimization takes longer than it saves."""

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Difference:
    """The first place where a level leaves the reference; `place` is the index within the frame."""

    frame: int
    place: tuple[int, ...]
    expected: float
    found: float

    def __str__(self) -> str:
        return f"frame {self.frame}, place {list(self.place)}: {self.found:g} instead of {self.expected:g}"


@dataclass(frozen=True)
class Level:
    """A level of the ladder compared with `reference`: how many of `frames` are equal in every value.

    A `tolerated` level may differ: the user has allowed it to be rounded.
    """

    name: str
    reference: str
    compared: str
    frames: int
    equal: int
    difference: Difference | None = None
    tolerated: bool = False

    @property
    def ok(self) -> bool:
        """Whether every frame is equal, or need not be."""
        return self.tolerated or self.equal == self.frames


@dataclass(frozen=True)
class Ladder:
    """The levels from the model down to the generated C++ and SystemVerilog."""

    levels: tuple[Level, ...]

    @property
    def ok(self) -> bool:
        """Whether all levels agree."""
        return all(level.ok for level in self.levels)

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {"equal": self.ok, "levels": [asdict(level) for level in self.levels]}


def compare_integers(name: str, reference: str, expected: Ints, found: Ints) -> Level:
    """A level whose every integer must be equal; frames (N, …)."""
    return _level(name, reference, "integers", expected, found, expected != found)


def compare_outputs(name: str, reference: str, expected: Array, found: Array) -> Level:
    """A level whose outputs must be equal: integers to the bit, floats within RELATIVE."""
    if np.issubdtype(expected.dtype, np.integer):
        return _level(name, reference, "outputs", expected, found, expected != found)
    tolerance = RELATIVE * np.abs(expected).max(initial=0)
    return _level(name, reference, "outputs", expected, found, ~(np.abs(expected - found) <= tolerance))


def compare_labels(name: str, reference: str, expected: Array, found: Array) -> Level:
    """A tolerated level: whose outputs name the same label."""
    labels = [predicted_labels(outputs) for outputs in (expected, found)]
    return replace(
        _level(name, reference, "labels, trunk rounded", labels[0], labels[1], labels[0] != labels[1]),
        tolerated=True,
    )


def _level(name: str, reference: str, what: str, expected: Array, found: Array, differs: Array) -> Level:
    frames = len(expected)
    wrong = np.argwhere(differs.reshape(expected.shape))
    if not len(wrong):
        return Level(name, reference, what, frames, frames)
    first = tuple(int(index) for index in wrong[0])
    place = Difference(first[0], first[1:], float(expected[first]), float(found[first]))
    return Level(name, reference, what, frames, frames - len(np.unique(wrong[:, 0])), place)


def climb(
    pipeline: Pipeline,
    frames: Array,
    scores: Array | None = None,
    cpp_frames: int | None = None,
    rtl_frames: int | None = None,
    trace: Path | None = None,
) -> Iterator[Level]:
    """The levels for `frames` of the model's input, from the top, each compared with the one above.

    `scores` are the training framework's outputs for the same frames. The C++ runs `cpp_frames` of
    them (all for None), the SystemVerilog `rtl_frames` (RTL_CLOCKS for None), whose waveforms go to `trace`.
    """
    design = pipeline.folded
    integers = design.host.encode(frames)
    simulated = design.simulate(integers).reshape(len(frames), -1)
    if not pipeline.imported:
        yield from _graph_levels(pipeline, frames, scores, simulated)
    count = len(frames) if cpp_frames is None else min(cpp_frames, len(frames))
    yield compare_integers("C++", "numpy", simulated[:count], _run_cpp(design, integers[:count]))
    budget = max(1, RTL_CLOCKS // interval(design)) if rtl_frames is None else rtl_frames
    count = min(len(frames), budget)
    yield compare_integers("RTL", "numpy", simulated[:count], _run_rtl(design, integers[:count], trace))


def _graph_levels(
    pipeline: Pipeline, frames: Array, scores: Array | None, simulated: Ints
) -> Iterator[Level]:
    from bnn2fpga.frontend.reference import compute_graph

    host: Any = pipeline.folded.host
    loaded = compute_graph(pipeline.loaded, host, frames)
    if scores is not None:
        yield compare_outputs("QONNX", "Brevitas", scores.reshape(loaded.outputs.shape), loaded.outputs)
    streamlined = compute_graph(pipeline.streamlined[0], host, frames)
    yield compare_outputs("streamlined", "QONNX", loaded.outputs, streamlined.outputs)
    if host.rounded:
        yield compare_labels("numpy", "streamlined", streamlined.outputs, host.decode(simulated))
        return
    if streamlined.integers is not None:
        yield compare_integers("numpy", "streamlined", streamlined.integers, simulated)
    yield compare_outputs("numpy", "QONNX", loaded.outputs, host.decode(simulated))


def _run_cpp(design: Design, integers: Ints) -> Ints:
    assert design.target is not None
    shaped = integers.reshape(len(integers), *design.inputs[0].stream.shape)
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        hls_project(design, design.target.part, design.target.clock_mhz).write(folder)
        result = CppSimulator.compile(design, folder, folder / "testbench").run(shaped)
    return result.outputs[0].reshape(len(integers), -1)


def _run_rtl(design: Design, integers: Ints, trace: Path | None) -> Ints:
    """The outputs under pauses at both ends, which must not change them."""
    shaped = integers.reshape(len(integers), *design.inputs[0].stream.shape)
    short = len(integers) * interval(design) <= SHORT_RUN
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        rtl_project(design).write(folder)
        simulator = RtlSimulator.compile(
            design, folder, folder / "model", trace=trace is not None, optimize=0 if short else 1
        )
        result = simulator.run(shaped, gaps=PAUSES, holds=PAUSES, trace=trace)
    return result.outputs[0].reshape(len(integers), -1)


def graph_outputs(pipeline: Pipeline, frames: Array) -> Array | None:
    """What the graph itself computes, where a trunk was rounded and the design need not; else None."""
    host: Any = pipeline.lowered.host
    if pipeline.imported or not host.rounded:
        return None
    from bnn2fpga.frontend.reference import compute_graph

    return compute_graph(pipeline.streamlined[0], host, frames).outputs


def random_frames(pipeline: Pipeline, count: int, seed: int = 0) -> Array:
    """Frames for a model whose data is not at hand: half of them image-like, half of a wide range."""
    if pipeline.imported:
        shape = (count, *pipeline.lowered.host.input_shape)
        return np.random.default_rng(seed).integers(0, 256, shape)
    from bnn2fpga.frontend.graph.streamline import random_input

    return random_input(pipeline.loaded, count, seed)


def verify(
    model: Any,
    frames: npt.ArrayLike | None = None,
    *,
    example_input: Any = None,
    board: str = "pynq-z2",
    fps: float | None = None,
    exact_sums: bool = False,
    trunk_bits: int | None = None,
    cpp_frames: int | None = None,
    rtl_frames: int | None = None,
    on_level: Callable[[Level], None] | None = None,
) -> Ladder:
    """Compares every level of `model` on `frames` (N, …), or on 64 random ones.

    A Brevitas module is a level of its own. Where `trunk_bits` rounds a trunk, the labels are compared
    and may differ. Raises BuildError where the model cannot be built; a
    difference is no error but a Ladder that is not `ok`.
    """
    options = Options(board=board, fps=fps, exact_sums=exact_sums, trunk_bits=trunk_bits)
    pipeline = Pipeline(model, options, example_input)
    chosen = random_frames(pipeline, 64) if frames is None else np.asarray(frames)
    if not len(chosen):
        raise BuildError("verify needs at least one frame")
    scores = None
    if hasattr(model, "state_dict"):
        from bnn2fpga.frontend.graph.eager import run_eagerly

        scores = run_eagerly(model, chosen)
    levels = []
    for level in climb(pipeline, chosen, scores, cpp_frames, rtl_frames):
        levels.append(level)
        if on_level:
            on_level(level)
    return Ladder(tuple(levels))
