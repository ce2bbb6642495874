"""Commands that look at a model without building it: estimate, explain, simulate, verify, explore."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bnn2fpga.build.choices import Flow
from bnn2fpga.cli.options import (
    BoardName,
    Clock,
    Data,
    Divide,
    ExactSums,
    Fps,
    Frames,
    HostLayers,
    InputType,
    MaxBram,
    MaxLut,
    Model,
    TrunkBits,
)
from bnn2fpga.cli.terminal import command, out
from bnn2fpga.errors import ConfigError, MismatchError
from bnn2fpga.files.writing import check_writable, write_whole

if TYPE_CHECKING:
    from bnn2fpga.build.compiler import Pipeline

PANEL = "Look at a model"
COVERED = 256
"""Frames of which the coverage is told."""


@command(PANEL, "bnn2fpga simulate tfc.onnx --data mnist.npz --divide 255")
def simulate(
    model: Model,
    data: Data = None,
    divide: Divide = 1.0,
    frames: Frames = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Write the network's outputs to this .npy file; several as .npz, by their names."),
    ] = None,
    exact_sums: ExactSums = False,
    trunk_bits: TrunkBits = None,
    host_layers: HostLayers = False,
    input_type: InputType = None,
) -> None:
    """Runs the integer design on DATA; prints the accuracy where labels are known."""
    from bnn2fpga.build.compiler import Options, Pipeline
    from bnn2fpga.build.dataset import predicted_labels
    from bnn2fpga.build.verify import graph_outputs

    pipeline = Pipeline(
        model,
        Options(exact_sums=exact_sums, trunk_bits=trunk_bits, host_layers=host_layers, input_type=input_type),
    )
    chosen = _frames(pipeline, data, divide, frames)
    start = time.perf_counter()
    results = pipeline.lowered.run(chosen.frames)
    seconds, count = time.perf_counter() - start, len(chosen.frames)
    out.print(f"{count:,} frames in {seconds:.2f} s, {count / seconds:,.0f} frames/s")
    graph = graph_outputs(pipeline, chosen.frames)
    if chosen.labels is not None and not isinstance(results, tuple):
        out.print(f"accuracy {_accuracy(results, chosen.labels)}")
        if graph is not None:
            out.print(f"accuracy before the trunk was rounded {_accuracy(graph, chosen.labels)}")
    if graph is not None:
        same = int((predicted_labels(results) == predicted_labels(graph)).sum())
        out.print(f"{same:,} of {len(results):,} labels as before the trunk was rounded")
    if output is not None:
        write_whole(output, _content(pipeline, results))


@command(PANEL, "bnn2fpga verify tfc.onnx --data mnist.npz --divide 255 --frames 1000")
def verify(
    model: Model,
    board: BoardName = "pynq-z2",
    fps: Fps = None,
    data: Data = None,
    divide: Divide = 1.0,
    frames: Frames = None,
    cpp_frames: Annotated[int | None, typer.Option(min=1, help="Frames for the generated C++.")] = None,
    rtl_frames: Annotated[int | None, typer.Option(min=1, help="Frames for the SystemVerilog.")] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0.01, max=10_000, help="As many frames as this time allows, those that show most first."
        ),
    ] = None,
    trace: Annotated[Path | None, typer.Option(help="Write the SystemVerilog's waveforms (VCD).")] = None,
    exact_sums: ExactSums = False,
    trunk_bits: TrunkBits = None,
    host_layers: HostLayers = False,
    input_type: InputType = None,
) -> None:
    """Compares QONNX, the streamlined graph, numpy, the generated C++ and SystemVerilog with one another.

    With --minutes the frames are spread over the levels by their measured speed: extreme ones, ones of nearly
    equal scores and those that show thresholds from another side come first; scores in DATA are not compared.
    Then it says what these frames have shown: thresholds seen from both sides, step functions of which every
    level came out, weight bits whose flip would be seen.
    """
    from bnn2fpga.build.budget import spread
    from bnn2fpga.build.compiler import Options, Pipeline
    from bnn2fpga.build.coverage import cover
    from bnn2fpga.build.dataset import Dataset
    from bnn2fpga.build.verify import climb
    from bnn2fpga.cli.tables import coverage_lines, level_line

    if minutes is not None and (frames or cpp_frames or rtl_frames):
        raise ConfigError("--minutes counts frames itself; leave out --frames, --cpp-frames, --rtl-frames")
    if trace is not None:
        check_writable(trace)
    options = Options(
        board=board,
        fps=fps,
        exact_sums=exact_sums,
        trunk_bits=trunk_bits,
        host_layers=host_layers,
        input_type=input_type,
    )
    pipeline = Pipeline(model, options)
    chosen = _frames(pipeline, data, divide, frames)
    if minutes is not None:
        with out.status("compiling, and measuring the levels"):
            given = None if data is None else chosen.frames
            parts = spread(pipeline, given, 60 * minutes)
        chosen = Dataset(parts.frames)
        cpp_frames, rtl_frames = parts.cpp_frames, parts.rtl_frames
    worst = None
    with out.status("comparing levels"):
        for level in climb(pipeline, chosen.frames, chosen.scores, cpp_frames, rtl_frames, trace):
            out.print(level_line(level))
            worst = worst or (None if level.ok else level)
    if minutes is not None:
        first = chosen.frames[:COVERED]
        with out.status("flipping bits of weights"):
            found = cover(pipeline.lowered, pipeline.lowered.host.encode(first))
        out.print(coverage_lines(found, len(first)))
    if worst is not None:
        raise MismatchError(f"{worst.name} differs from {worst.reference}")


@command(
    PANEL,
    "bnn2fpga estimate tfc.onnx --fps 100000 --clock 125",
    "bnn2fpga estimate cnv.npz --max-lut 20000",
    "bnn2fpga estimate tfc.onnx --json > plan.json",
)
def estimate(
    model: Model,
    board: BoardName = "pynq-z2",
    fps: Fps = None,
    clock: Clock = None,
    max_lut: MaxLut = None,
    max_bram: MaxBram = None,
    flow: Annotated[Flow, typer.Option(help="With openxc7: no more than its tools can route.")] = "vitis",
    exact_sums: ExactSums = False,
    trunk_bits: TrunkBits = None,
    host_layers: HostLayers = False,
    input_type: InputType = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON, as builds keep it.")] = False,
) -> None:
    """Shows folding, cycles and resources of every kernel, before any synthesis."""
    from bnn2fpga.build.compiler import Options, Pipeline
    from bnn2fpga.build.design_facts import planned
    from bnn2fpga.cli.tables import fifo_table, kernel_table, share_bars, speed, stacked
    from bnn2fpga.planning.estimate import estimate as estimate_design
    from bnn2fpga.planning.timing.fifo_needs import fifo_needs

    options = Options(
        board=board,
        fps=fps,
        clock_mhz=clock,
        max_lut=max_lut,
        max_bram=max_bram,
        flow=flow,
        exact_sums=exact_sums,
        trunk_bits=trunk_bits,
        host_layers=host_layers,
        input_type=input_type,
    )
    pipeline = Pipeline(model, options)
    facts = estimate_design(pipeline.folded, pipeline.board, pipeline.planned.limit)
    needs = fifo_needs(pipeline.folded)
    if as_json:
        print(json.dumps(planned(facts, needs), indent=1))
        return
    out.print(
        stacked(
            kernel_table(facts),
            fifo_table(needs),
            speed(facts),
            share_bars(facts),
        )
    )


@command(
    PANEL,
    "bnn2fpga explore tfc.onnx -o front",
    "bnn2fpga explore cnv.npz --board pynq-z2 --board mine.toml --clock 100 --clock 125",
    "bnn2fpga explore cnv.npz --scheduler tcp://head:8786",
)
def explore(
    model: Model,
    board: Annotated[
        list[str] | None,
        typer.Option(help="A board by name or .toml file, may be repeated; pynq-z2 if absent."),
    ] = None,
    clock: Annotated[
        list[float] | None,
        typer.Option(help="Clock in MHz, may be repeated; each board's default if absent."),
    ] = None,
    fps: Annotated[
        list[float] | None,
        typer.Option(help="A frame rate to ask for, may be repeated; a spread of rates if absent."),
    ] = None,
    points: Annotated[int | None, typer.Option(min=1, help="Frame rates to spread; 16 if absent.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes on this machine; one for each core if absent.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="A Dask scheduler, tcp://host:port; its workers need bnn2fpga.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder of the points.")] = Path(
        "bnn2fpga-explore"
    ),
    exact_sums: ExactSums = False,
    trunk_bits: TrunkBits = None,
    host_layers: HostLayers = False,
    input_type: InputType = None,
) -> None:
    """Finds the Pareto front of MODEL: frames a second against LUTs and block RAM.

    Every board is tried at every clock, from the fastest folding that fits to the smallest. OUTPUT gets
    points.json, front.csv and front.svg. An exploration that was stopped goes on where it was.
    """
    from bnn2fpga.build.compiler import Options, Pipeline
    from bnn2fpga.cli.front_table import front_tables
    from bnn2fpga.cli.progress import ExploreProgress
    from bnn2fpga.planning.exploration.explore import POINTS, Space
    from bnn2fpga.planning.exploration.explore import explore as explore_design
    from bnn2fpga.planning.exploration.workers import open_evaluation

    space = Space.of(board or ["pynq-z2"], clock or (), fps or (), points or POINTS)
    space.first_tasks()
    lowered = Pipeline(
        model,
        Options(exact_sums=exact_sums, trunk_bits=trunk_bits, host_layers=host_layers, input_type=input_type),
    ).lowered
    with ExploreProgress(out) as progress, open_evaluation(workers, scheduler) as evaluate:
        best, refused = explore_design(lowered, space, output, evaluate, progress.update)
    for refusal in refused:
        out.print(f"[yellow]–[/] {refusal.refusal}")
    out.print(front_tables(best))
    out.print(f"{output}: points.json, front.csv, front.svg")


@command(PANEL, "bnn2fpga explain tfc.onnx --trunk-bits 4")
def explain(
    model: Model,
    exact_sums: ExactSums = False,
    trunk_bits: TrunkBits = None,
    host_layers: HostLayers = False,
    input_type: InputType = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the same as JSON.")] = False,
) -> None:
    """Shows what each part of MODEL becomes, by which rule, and why and where it is refused.

    Exit code 1 if the model is refused, as for build.
    """
    from bnn2fpga.build.compiler import Options, Pipeline
    from bnn2fpga.cli.explanation import explanation

    explained = Pipeline(
        model,
        Options(exact_sums=exact_sums, trunk_bits=trunk_bits, host_layers=host_layers, input_type=input_type),
    ).explained
    if as_json:
        print(json.dumps(explained.facts, indent=2))
    else:
        out.print(explanation(explained))
    if explained.refusal is not None:
        raise typer.Exit(explained.refusal.exit_code)


def _content(pipeline: Pipeline, results: Any) -> bytes:
    """One array as .npy; several, by the names of the graph's outputs, as .npz."""
    import numpy as np

    content = io.BytesIO()
    if isinstance(results, tuple):
        names = pipeline.lowered.host.share().outputs
        np.savez(content, allow_pickle=False, **dict(zip(names, results, strict=True)))
    else:
        np.save(content, results)
    return content.getvalue()


def _frames(pipeline: Pipeline, data: Path | None, divide: float, count: int | None) -> Any:
    from bnn2fpga.build.dataset import Dataset, load_dataset
    from bnn2fpga.build.verify import random_frames

    if data is None:
        return Dataset(random_frames(pipeline, count or 64))
    return load_dataset(data, pipeline.lowered.host.input_shape, divide).first(count)


def _accuracy(outputs: Any, labels: Any) -> str:
    from bnn2fpga.build.dataset import correct_labels

    right = correct_labels(outputs, labels)
    return f"{100 * right / len(labels):.2f} % ({right:,} of {len(labels):,})"
