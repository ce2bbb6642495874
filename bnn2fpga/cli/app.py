"""The command line.

Exit codes: 0 done, 1 build error, 2 wrong usage, 3 tool missing or failed, 4 results differ.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path
from typing import Annotated, Any, NoReturn

import numpy as np
import typer
from rich.console import Console
from rich.table import Column, Table

from bnn2fpga import __version__
from bnn2fpga.boards.board import board_names, load_board
from bnn2fpga.build.compiler import Options, Pipeline
from bnn2fpga.build.config import BuildConfig, Flow
from bnn2fpga.build.dataset import load_dataset, predicted_labels
from bnn2fpga.build.facts import planned
from bnn2fpga.build.flow import run_flow
from bnn2fpga.build.steps import Build
from bnn2fpga.build.verify import climb, graph_outputs, random_frames
from bnn2fpga.cli import show
from bnn2fpga.cli.demo import EPOCHS, Demo
from bnn2fpga.errors import BuildError, ConfigError, MismatchError
from bnn2fpga.files.settings import read_settings
from bnn2fpga.planning.estimate import estimate as estimate_design
from bnn2fpga.planning.exploration.explore import POINTS, Space
from bnn2fpga.planning.exploration.explore import explore as explore_design
from bnn2fpga.planning.exploration.workers import open_pool
from bnn2fpga.planning.timing.fifo_needs import fifo_needs
from bnn2fpga.report.facts import REPORT, read_report
from bnn2fpga.report.pages import write_pages

app = typer.Typer(
    name="bnn2fpga",
    help="Compiles trained binary neural networks into verified streaming accelerators for FPGAs.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)
out = Console(highlight=False)
INTERRUPTED = 130
"""The exit code that typer makes of Ctrl-C."""

Model = Annotated[
    Path, typer.Argument(help="A QONNX file (.onnx) or a BNN-PYNQ or FracBNN parameter file (.npz).")
]
BoardName = Annotated[str, typer.Option(help="A board by name, see `bnn2fpga boards`, or a .toml file.")]
Fps = Annotated[
    float | None, typer.Option(help="Frames a second to reach; as fast as the board allows if absent.")
]
Clock = Annotated[
    float | None, typer.Option(help="Clock of the fabric in MHz; the board's default if absent.")
]
MaxLut = Annotated[
    int | None, typer.Option(min=1, help="LUTs to use at most; four fifths of the board's if absent.")
]
MaxBram = Annotated[
    float | None,
    typer.Option(min=0, help="Block RAMs (36 Kbit) to use at most; four fifths of the board's if absent."),
]
ExactSums = Annotated[
    bool, typer.Option("--exact-sums", help="Where float32 rounding decides a threshold, take the exact sum.")
]
TrunkBits = Annotated[
    int | None,
    typer.Option(
        "--trunk-bits",
        help="Round residual sums that have no common integer grid to this many fraction bits, 0 to 12.",
    ),
]
Data = Annotated[
    Path | None, typer.Option(help="Frames, and labels, as .npy or .npz; random frames if absent.")
]
Divide = Annotated[float, typer.Option(help="What the data's values are divided by, e.g. 255.")]
Frames = Annotated[int | None, typer.Option(min=1, help="How many frames to take.")]


@app.command(epilog="Example:  bnn2fpga demo --output my-demo")
def demo(
    output: Annotated[Path, typer.Option(help="The build folder.")] = Path("bnn2fpga-demo"),
    board: BoardName = "pynq-z2",
    fps: Fps = None,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of training.")] = EPOCHS,
) -> None:
    """Trains a small binary network on handwritten digits, builds it and proves all levels equal."""
    out.print(
        "A binary network without batch norm learns handwritten digits (scikit-learn), becomes QONNX, "
        "then integer kernels, then C++ and RTL; every level is run on all test images and compared.\n"
    )
    with show.BuildProgress(out) as progress:
        made = Demo.of(output, epochs, progress.epoch, progress.level, board=board, fps=fps, name="digits")
        folders = run_flow(output, made.steps(), on_event=progress.step)
    _summarize(made.build, output, folders)


@app.command(
    epilog="Examples:  bnn2fpga build tfc.onnx --fps 100000  |  bnn2fpga build cnv.npz --to fold  |  "
    "bnn2fpga build out/01-load/build.toml --output again"
)
def build(
    model: Annotated[
        Path, typer.Argument(help="A .onnx or .npz model, or the build.toml of an earlier build.")
    ],
    board: BoardName = "pynq-z2",
    fps: Fps = None,
    clock: Clock = None,
    max_lut: MaxLut = None,
    max_bram: MaxBram = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The build folder.")] = Path(
        "bnn2fpga-build"
    ),
    to: Annotated[
        str | None, typer.Option(help="Stop after this step: load, streamline, lower, fold, hls, …")
    ] = None,
    data: Data = None,
    divide: Divide = 1.0,
    frames: Annotated[int, typer.Option(min=1, help="Random frames to verify with, without --data.")] = 64,
    exact_sums: ExactSums = False,
    trunk_bits: TrunkBits = None,
    flow: Annotated[
        Flow,
        typer.Option(help="After checking: RTL (sim), nothing (vitis), a bitstream (vivado, openxc7)."),
    ] = "vitis",
) -> None:
    """Builds the accelerator of MODEL: an HLS project, checked against the model, and a report.

    With --flow vivado also a bitstream, by Vitis HLS and Vivado, which must be on PATH. With --flow openxc7
    one without a vendor's tools; the table openxc7 of a build.toml says where their databases lie.

    A build that was stopped goes on where it was; unchanged steps are not run again.
    """
    if model.suffix == ".toml":
        config = read_settings(model, BuildConfig)
    else:
        config = BuildConfig(
            model=model,
            board=board,
            fps=fps,
            clock_mhz=clock,
            max_lut=max_lut,
            max_bram=max_bram,
            data=data,
            divide=divide,
            frames=frames,
            exact_sums=exact_sums,
            trunk_bits=trunk_bits,
            flow=flow,
        )
    with show.BuildProgress(out) as progress:
        made = Build.of(config, progress.level)
        folders = run_flow(output, made.steps(), to, progress.step)
    if "report" in folders:
        _summarize(made, output, folders)


@app.command(
    epilog="Example:  bnn2fpga train mnist.toml -o lfc  and then  bnn2fpga build lfc/model.onnx "
    "--data lfc/test.npz"
)
def train(
    config: Annotated[
        Path, typer.Argument(help="A TOML file: model, data, epochs, …; see training/config.py.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The run's folder.")] = Path("bnn2fpga-run"),
) -> None:
    """Trains a binary network without batch norm and exports it to QONNX.

    A run that was stopped goes on after its last epoch and ends with the same weights. On several GPUs or
    machines: torchrun --nproc-per-node 4 -m bnn2fpga train CONFIG.
    """
    from bnn2fpga.training.config import read_train_config
    from bnn2fpga.training.data import load_images
    from bnn2fpga.training.results import write_results
    from bnn2fpga.training.trainer import Callbacks
    from bnn2fpga.training.trainer import train as run_training

    settings = read_train_config(config)
    data = load_images(settings.data)

    def finish(net: Any, epochs: list[Any]) -> None:
        write_results(output, net, data, epochs)
        out.print(
            f"test accuracy {100 * epochs[-1].test_accuracy:.2f} %; {output}: model.onnx, test.npz, "
            f"curves.svg, metrics.jsonl\nnext: bnn2fpga build {output}/model.onnx --data {output}/test.npz"
        )

    with show.TrainProgress(out, settings.epochs) as progress:
        run_training(settings, data, output, Callbacks(progress.step, progress.epoch, finish))


@app.command(epilog="Example:  bnn2fpga count wsfracbnn --classes 100")
def count(
    model: Annotated[str, typer.Argument(help="A network by name: mlp, convnet, fracbnn, wsfracbnn.")],
    classes: Annotated[int, typer.Option(min=2, help="Classes to tell apart.")] = 10,
    image: Annotated[tuple[int, int, int], typer.Option(help="Channels, height and width of an image.")] = (
        3,
        32,
        32,
    ),
) -> None:
    """Counts what a network costs: binary and float operations, and what the emitted hardware does."""
    from bnn2fpga.training.count import CONVENTIONS, Hardware, count_operations
    from bnn2fpga.training.models import BASELINES, build_model

    counts = count_operations(build_model(model, image, classes, {}), image)
    out.print(show.counts(model, counts, Hardware.of(counts)))
    if model in BASELINES:
        before = count_operations(build_model(BASELINES[model], image, classes, {}), image)
        out.print()
        out.print(show.conventions(BASELINES[model], model, before, counts, CONVENTIONS))


@app.command(epilog="Example:  bnn2fpga simulate tfc.onnx --data mnist.npz --divide 255")
def simulate(
    model: Model,
    data: Data = None,
    divide: Divide = 1.0,
    frames: Frames = None,
    output: Annotated[
        Path | None, typer.Option(help="Write the network's outputs to this .npy file.")
    ] = None,
    exact_sums: ExactSums = False,
    trunk_bits: TrunkBits = None,
) -> None:
    """Runs the integer design in numpy on DATA; prints the accuracy where labels are known."""
    pipeline = Pipeline(model, Options(exact_sums=exact_sums, trunk_bits=trunk_bits))
    chosen = _frames(pipeline, data, divide, frames)
    start = time.perf_counter()
    results = pipeline.lowered.run(chosen.frames)
    seconds = time.perf_counter() - start
    out.print(f"{len(results):,} frames in {seconds:.2f} s, {len(results) / seconds:,.0f} frames/s")
    graph = graph_outputs(pipeline, chosen.frames)
    if chosen.labels is not None:
        out.print(f"accuracy {_accuracy(results, chosen.labels)}")
        if graph is not None:
            out.print(f"accuracy before the trunk was rounded {_accuracy(graph, chosen.labels)}")
    if graph is not None:
        same = int((predicted_labels(results) == predicted_labels(graph)).sum())
        out.print(f"{same:,} of {len(results):,} labels as before the trunk was rounded")
    if output is not None:
        try:
            np.save(output, results)
        except OSError as error:
            raise ConfigError(f"{output}: {error.strerror or error}; choose another file") from error


@app.command(epilog="Example:  bnn2fpga verify tfc.onnx --data mnist.npz --divide 255 --frames 1000")
def verify(
    model: Model,
    board: BoardName = "pynq-z2",
    fps: Fps = None,
    data: Data = None,
    divide: Divide = 1.0,
    frames: Frames = None,
    cpp_frames: Annotated[int | None, typer.Option(min=1, help="Frames for the generated C++.")] = None,
    rtl_frames: Annotated[int | None, typer.Option(min=1, help="Frames for the SystemVerilog.")] = None,
    trace: Annotated[Path | None, typer.Option(help="Write the SystemVerilog's waveforms (VCD).")] = None,
    exact_sums: ExactSums = False,
    trunk_bits: TrunkBits = None,
) -> None:
    """Compares QONNX, the streamlined graph, numpy, the generated C++ and SystemVerilog with one another."""
    if trace is not None and not trace.absolute().parent.is_dir():
        raise ConfigError(f"{trace}: its folder does not exist; make it, or choose another file")
    options = Options(board=board, fps=fps, exact_sums=exact_sums, trunk_bits=trunk_bits)
    pipeline = Pipeline(model, options)
    chosen = _frames(pipeline, data, divide, frames)
    worst = None
    with out.status("comparing levels"):
        for level in climb(pipeline, chosen.frames, chosen.scores, cpp_frames, rtl_frames, trace):
            out.print(show.level_line(level))
            worst = worst or (None if level.ok else level)
    if worst is not None:
        raise MismatchError(f"{worst.name} differs from {worst.reference}")


@app.command(
    epilog="Example:  bnn2fpga estimate tfc.onnx --fps 100000 --clock 125  |  bnn2fpga estimate cnv.npz "
    "--max-lut 20000  |  bnn2fpga estimate tfc.onnx --json > plan.json"
)
def estimate(
    model: Model,
    board: BoardName = "pynq-z2",
    fps: Fps = None,
    clock: Clock = None,
    max_lut: MaxLut = None,
    max_bram: MaxBram = None,
    exact_sums: ExactSums = False,
    trunk_bits: TrunkBits = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON, as builds keep it.")] = False,
) -> None:
    """Shows folding, cycles and resources of every kernel, before any synthesis."""
    options = Options(
        board=board,
        fps=fps,
        clock_mhz=clock,
        max_lut=max_lut,
        max_bram=max_bram,
        exact_sums=exact_sums,
        trunk_bits=trunk_bits,
    )
    pipeline = Pipeline(model, options)
    facts = estimate_design(pipeline.folded, pipeline.board, pipeline.planned.limit)
    needs = fifo_needs(pipeline.folded)
    if as_json:
        print(json.dumps(planned(facts, needs), indent=1))
        return
    out.print(
        show.stacked(
            show.kernel_table(facts),
            show.fifo_table(needs),
            show.speed(facts),
            show.share_bars(facts, pipeline.board),
        )
    )


@app.command(
    epilog="Examples:  bnn2fpga explore tfc.onnx -o front  |  bnn2fpga explore cnv.npz --board pynq-z2 "
    "--board mine.toml --clock 100 --clock 125  |  bnn2fpga explore cnv.npz --scheduler tcp://head:8786"
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
    points: Annotated[int, typer.Option(min=1, help="Frame rates to spread.")] = POINTS,
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
) -> None:
    """Finds the Pareto front of MODEL: frames a second against LUTs and block RAM.

    Every board is tried at every clock, from the fastest folding that fits to the smallest. OUTPUT gets
    points.json, front.csv and front.svg. An exploration that was stopped goes on where it was.
    """
    space = Space.of(board or ["pynq-z2"], clock or (), fps or (), points)
    space.first_tasks()
    lowered = Pipeline(model, Options(exact_sums=exact_sums, trunk_bits=trunk_bits)).lowered
    with show.ExploreProgress(out) as progress, open_pool(workers, scheduler) as evaluate:
        best, refused = explore_design(lowered, space, output, evaluate, progress.update)
    for refusal in refused:
        out.print(f"[yellow]–[/] {refusal.refusal}")
    out.print(show.front_tables(best))
    out.print(f"{output}: points.json, front.csv, front.svg")


@app.command(epilog="Example:  bnn2fpga explain tfc.onnx --trunk-bits 4")
def explain(
    model: Model,
    exact_sums: ExactSums = False,
    trunk_bits: TrunkBits = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the same as JSON.")] = False,
) -> None:
    """Shows what each part of MODEL becomes, by which rule, and why and where it is refused.

    Exit code 1 if the model is refused, as for build.
    """
    explained = Pipeline(model, Options(exact_sums=exact_sums, trunk_bits=trunk_bits)).explained
    if as_json:
        print(json.dumps(explained.facts, indent=2))
    else:
        out.print(show.explanation(explained))
    if explained.refusal is not None:
        raise typer.Exit(explained.refusal.exit_code)


@app.command(epilog="Example:  bnn2fpga report out")
def report(
    folder: Annotated[Path, typer.Argument(help="A build folder, or the folder of its report.json.")],
) -> None:
    """Writes index.html and report.md of a build again, from its report.json."""
    found = sorted(folder.glob(f"[0-9][0-9]-report/{REPORT}"))
    place = found[0].parent if found else folder
    facts = read_report(place / REPORT)
    try:
        write_pages(place, facts)
    except (BuildError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"{place / REPORT}: is not whole ({error!r}); build the model again") from error
    except OSError as error:
        raise ConfigError(f"{place}: {error.strerror or error}; make it writable") from error
    out.print(str(place / "index.html"), soft_wrap=True)


@app.command()
def boards() -> None:
    """Lists the boards that designs can be folded for."""
    titles = ("name", "board", "part", "LUT", "FF", "BRAM36", "DSP", "MHz")
    columns = (Column(title, no_wrap=title != "board") for title in titles)
    table = Table(*columns, box=None, header_style="bold")
    for name in board_names():
        board = load_board(name)
        clocks = f"{board.clocks_mhz[0]:g}-{board.clocks_mhz[-1]:g}"
        counts = (f"{n:,}" for n in (board.luts, board.flipflops, board.bram36, board.dsps))
        table.add_row(name, board.title, board.part, *counts, clocks)
    out.print(table)


@app.command()
def kernels() -> None:
    """Lists the hardware kernels."""
    from bnn2fpga.kernels import all_kernels

    table = Table("kernel", "what it does", "folding", "template", box=None, header_style="bold")
    for kind in all_kernels():
        table.add_row(kind.__name__, kind.summary, ", ".join(kind.folding_fields) or "none", kind.template)
    out.print(table)


@app.command()
def doctor() -> None:
    """Checks what bnn2fpga needs on this machine, and what it could use."""
    from bnn2fpga.cli.doctor import examine

    missing = False
    for finding in examine():
        mark = "[green]✓[/]" if finding.found else "[red]✗[/]" if finding.needed else "[yellow]–[/]"
        out.print(f"{mark} {finding.name:<12} {finding.found or 'not found'}  [dim]{finding.purpose}[/]")
        missing |= finding.needed and not finding.found
    if missing:
        raise typer.Exit(3)


@app.callback(invoke_without_command=True)
def _global(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where in bnn2fpga an error arose.")] = False,
) -> None:
    if version:
        out.print(f"bnn2fpga {__version__}")
        raise typer.Exit


def _frames(pipeline: Pipeline, data: Path | None, divide: float, count: int | None) -> Any:
    from bnn2fpga.build.dataset import Dataset

    if data is None:
        return Dataset(random_frames(pipeline, count or 64))
    chosen = load_dataset(data, pipeline.lowered.host.input_shape, divide).first(count)
    if not len(chosen.frames):
        raise ConfigError(f"{data}: holds no frames")
    return chosen


def _accuracy(outputs: Any, labels: Any) -> str:
    right = int((predicted_labels(outputs) == labels).sum())
    return f"{100 * right / len(labels):.2f} % ({right:,} of {len(labels):,})"


def _summarize(made: Build, output: Path, folders: dict[str, Path]) -> None:
    facts = estimate_design(made.pipeline.folded, made.pipeline.board, made.pipeline.planned.limit)
    place = output / folders["report"].name
    found = read_report(place / REPORT)
    out.print()
    out.print(show.stacked(show.kernel_table(facts), show.summary(found, facts, made.pipeline.board, place)))


def main() -> None:
    """The entry point: every refusal is one line on standard error and an exit code."""
    warnings.simplefilter("ignore")
    try:
        app()
    except BuildError as error:
        _give_up(str(error), error.exit_code)
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            _give_up("stopped; the same command goes on from here", INTERRUPTED)
        raise
    except Exception as error:
        if "--debug" in sys.argv[1:2]:
            raise
        _give_up(f"{type(error).__name__}: {error}; a fault of bnn2fpga, see bnn2fpga --debug", 1)


def _give_up(text: str, exit_code: int) -> NoReturn:
    print(f"error: {' '.join(text.split())}", file=sys.stderr)
    sys.exit(exit_code)
