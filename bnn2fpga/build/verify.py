"""The ladder: every level of a network must compute the same integers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from bnn2fpga.build.compiler import Options, Pipeline
from bnn2fpga.build.design_facts import operations
from bnn2fpga.build.ladder import Array, Ladder, Level, compare_integers, compare_labels, compare_outputs
from bnn2fpga.design.integers import Ints
from bnn2fpga.errors import BuildError, ConfigError
from bnn2fpga.packed.library import load_library
from bnn2fpga.planning.timing.schedule import interval
from bnn2fpga.simulation.rtl import RtlSimulator

RTL_CLOCKS = 1_000_000
"""What the RTL level spends unless asked for more frames; seconds."""
PAUSES = 0.1
"""Share of the clocks in which the RTL's input, or its output, pauses."""
FEW = 4
"""Frames that are looked at before a build's verification."""
FEW_OPERATIONS = 100_000_000
"""Synapse operations of a frame from which on it is one."""
SHORT_RUN = 200_000
"""Clocks up to which compiling with optimization takes longer than it saves."""


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
    them (all for None), the SystemVerilog `rtl_frames` (RTL_CLOCKS for None), whose waveforms go to `trace`;
    0 leaves the level out.
    """
    design = pipeline.lowered
    integers = design.host.encode(frames)
    simulated = design.simulate(integers, "numpy").reshape(len(frames), -1)
    if not pipeline.imported:
        yield from _graph_levels(pipeline, frames, scores, integers, simulated)
    if load_library() is not None:
        packed = design.simulate(integers).reshape(simulated.shape)
        yield compare_integers("packed", "numpy", simulated, packed)
    # a network that is too large for the board gets this far
    design = pipeline.folded
    count = len(frames) if cpp_frames is None else min(cpp_frames, len(frames))
    if count:
        yield compare_integers("C++", "numpy", simulated[:count], _run_cpp(pipeline, integers[:count]))
    budget = max(1, RTL_CLOCKS // interval(design)) if rtl_frames is None else rtl_frames
    count = min(len(frames), budget)
    if count:
        yield compare_integers("RTL", "numpy", simulated[:count], _run_rtl(pipeline, integers[:count], trace))


def glance(pipeline: Pipeline, cpp: bool) -> Iterator[Level]:
    """The graph's levels, or that of the generated C++, on FEW random frames: what is cheap to find out."""
    design = pipeline.folded if cpp else pipeline.lowered
    frames = random_frames(pipeline, 1 if operations(design) > FEW_OPERATIONS else FEW)
    integers = design.host.encode(frames)
    simulated = design.simulate(integers, "numpy").reshape(len(frames), -1)
    if cpp:
        yield compare_integers("C++", "numpy", simulated, _run_cpp(pipeline, integers))
    elif not pipeline.imported:
        yield from _graph_levels(pipeline, frames, None, integers, simulated)


def _graph_levels(
    pipeline: Pipeline, frames: Array, scores: Any, integers: Ints, simulated: Ints
) -> Iterator[Level]:
    """The graph's levels, and the driver's where it adds floats in an order of its own.

    Floats before the core may round to another integer there than in the graph. From these integers on all
    levels must be equal, so the graph is then executed from the core's input on.
    """
    from bnn2fpga.frontend.graph_reference import compute_graph, compute_host

    host: Any = pipeline.lowered.host
    graphs = [pipeline.loaded, pipeline.streamlined[0]]
    loaded, streamlined = (compute_graph(graph, host, frames) for graph in graphs)
    if scores is not None:
        given = scores if isinstance(scores, tuple) else (scores,)
        if [one.size for one in given] != [own.size for own in loaded.outputs]:
            shapes = ", ".join(str(own.shape) for own in loaded.outputs)
            raise ConfigError(
                f"scores of shape {', '.join(str(one.shape) for one in given)}; legal: {shapes}"
            )
        shaped = [one.reshape(own.shape) for one, own in zip(given, loaded.outputs, strict=True)]
        for one, own in zip(shaped, loaded.outputs, strict=True):
            level = compare_outputs("QONNX", "Brevitas", one, own)
            # frameworks add floats in orders of their own
            yield _float_ties(level) if host.sums else level
    if host.rounds_before:
        before = compute_host(graphs[0], host, frames)
        floats = compare_outputs("host", "QONNX", before.graph, before.driver)
        yield replace(floats, compared="floats in front")
        ties = compare_integers("host", "QONNX", before.integers, integers.reshape(len(frames), -1))
        yield replace(ties, compared="first integers, float ties", tolerated=True)
        loaded, streamlined = (compute_graph(graph, host, frames, integers) for graph in graphs)
    yield from _outputs("streamlined", "QONNX", loaded.outputs, streamlined.outputs)
    reference, above = loaded.outputs, "streamlined"
    if host.sums:
        begin = integers if host.rounds_before else None
        streamlined = compute_graph(graphs[1], host, frames, begin, exact=True)
        for expected, own in zip(reference, streamlined.outputs, strict=True):
            yield _float_ties(compare_outputs("exact sums", "streamlined", expected, own))
        reference, above = streamlined.outputs, "exact sums"
    found = host.outputs(host.tensors(simulated))
    if host.rounded:
        for expected, own in zip(streamlined.outputs, found, strict=True):
            yield compare_labels("numpy", above, expected, own)
        return
    if streamlined.integers is not None:
        yield compare_integers("numpy", above, streamlined.integers, simulated)
    yield from _outputs("numpy", "exact sums" if host.sums else "QONNX", reference, found)
    if host.decoding.program is not None and not host.decoding.exact:
        driven = host.decoding.program.run(simulated)
        yield from _outputs("driver", "numpy", found, driven)
        for expected, own in zip(found, driven, strict=True):
            labels = compare_labels("driver", "numpy", expected, own)
            if labels.equal < labels.frames:
                yield replace(labels, compared="labels, float ties")


def _float_ties(level: Level) -> Level:
    """A level at which float32 sums may decide otherwise than exact ones, as the user allows."""
    return replace(level, compared="outputs, float ties", tolerated=True)


def _outputs(name: str, reference: str, expected: Sequence[Array], found: Sequence[Array]) -> Iterator[Level]:
    """A level for each output."""
    for one, own in zip(expected, found, strict=True):
        yield compare_outputs(name, reference, one, own)


def _run_cpp(pipeline: Pipeline, integers: Ints) -> Ints:
    design = pipeline.folded
    shaped = integers.reshape(len(integers), *design.inputs[0].stream.shape)
    return pipeline.cpp.run(shaped).outputs[0].reshape(len(integers), -1)


def _run_rtl(pipeline: Pipeline, integers: Ints, trace: Path | None) -> Ints:
    """The outputs under pauses at both ends, which must not change them."""
    design = pipeline.folded
    shaped = integers.reshape(len(integers), *design.inputs[0].stream.shape)
    short = len(integers) * interval(design) <= SHORT_RUN
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        pipeline.reach("rtl").write(folder)
        traced, level = trace is not None, 0 if short else 1
        simulator = RtlSimulator.compile(
            design, folder, folder / "model", trace=traced, optimize=level, keep=True
        )
        result = simulator.run(shaped, gaps=PAUSES, holds=PAUSES, trace=trace)
    return result.outputs[0].reshape(len(integers), -1)


def graph_outputs(pipeline: Pipeline, frames: Array) -> Array | None:
    """What the graph itself computes, where a trunk was rounded and the design need not; else None."""
    host: Any = pipeline.lowered.host
    if pipeline.imported or not host.rounded:
        return None
    from bnn2fpga.frontend.graph_reference import compute_graph

    outputs = compute_graph(pipeline.streamlined[0], host, frames).outputs
    return outputs[0] if len(outputs) == 1 else None


MOST_BYTES = 1 << 30
"""Of random frames."""


def most_frames(pipeline: Pipeline) -> int:
    """That MOST_BYTES hold, as float64."""
    return MOST_BYTES // (8 * prod(pipeline.lowered.host.input_shape))


def random_frames(pipeline: Pipeline, count: int, seed: int = 0) -> Array:
    """Frames for a model whose data is not at hand: half of them image-like, half of a wide range."""
    shape, most = pipeline.lowered.host.input_shape, most_frames(pipeline)
    if count > most:
        raise ConfigError(f"frames={count:,} of {8 * prod(shape):,} bytes each; legal: 1 to {most:,}")
    if pipeline.imported:
        return np.random.default_rng(seed).integers(0, 256, (count, *shape))
    from bnn2fpga.frontend.graph.streamline import random_input

    return random_input(pipeline.loaded, count, seed)


def verify(
    model: Any,
    frames: npt.ArrayLike | int = 64,
    *,
    scores: npt.ArrayLike | None = None,
    example_input: Any = None,
    board: str = "pynq-z2",
    fps: float | None = None,
    exact_sums: bool = False,
    trunk_bits: int | None = None,
    host_layers: bool = False,
    input_type: str | None = None,
    cpp_frames: int | None = None,
    rtl_frames: int | None = None,
    on_level: Callable[[Level], None] | None = None,
) -> Ladder:
    """Compares every level of `model` on `frames` (N, …), or on that many random ones.

    The other arguments are those of `compile`. `scores` (N, …) are the training framework's outputs for the
    same frames, a level above the model; a Brevitas module's are computed. The C++ runs `cpp_frames` of the
    frames, all for None; the SystemVerilog `rtl_frames`, as many as a million clocks hold for None.
    `on_level` sees every level. Where `trunk_bits` rounds a trunk, labels are compared and may differ.

    Raises BuildError where the model cannot be built; a difference is no error but a Ladder that is not `ok`.
    """
    options = Options(
        board=board,
        fps=fps,
        exact_sums=exact_sums,
        trunk_bits=trunk_bits,
        host_layers=host_layers,
        input_type=input_type,
    )
    pipeline = Pipeline(model, options, example_input)
    chosen = random_frames(pipeline, frames) if isinstance(frames, int) else np.asarray(frames)
    if not len(chosen):
        raise BuildError("verify needs at least one frame")
    above: Any = None if scores is None else np.asarray(scores)
    if above is None and hasattr(model, "state_dict"):
        from bnn2fpga.frontend.graph.run_module import run_eagerly

        above = run_eagerly(model, chosen)
    levels = []
    for level in climb(pipeline, chosen, above, cpp_frames, rtl_frames):
        levels.append(level)
        if on_level:
            on_level(level)
    return Ladder(tuple(levels))
