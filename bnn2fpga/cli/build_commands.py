"""Commands that build: demo, build, report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bnn2fpga.build.choices import Flow, Source
from bnn2fpga.cli.options import (
    BoardName,
    Clock,
    Data,
    Divide,
    ExactSums,
    Fps,
    HostLayers,
    InputType,
    MaxBram,
    MaxLut,
    TrunkBits,
    given_options,
)
from bnn2fpga.cli.terminal import command, out
from bnn2fpga.errors import BuildError, ConfigError
from bnn2fpga.tools.chip_database import Tool

if TYPE_CHECKING:
    from bnn2fpga.build.steps import Build

PANEL = "Build"
EPOCHS = 60
"""Of the demo's training."""


@command(PANEL, "bnn2fpga demo --output my-demo")
def demo(
    output: Annotated[Path, typer.Option(help="The build folder.")] = Path("bnn2fpga-demo"),
    board: BoardName = "pynq-z2",
    fps: Fps = None,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of training.")] = EPOCHS,
) -> None:
    """Trains a small binary network on handwritten digits, builds it and proves all levels equal."""
    from bnn2fpga.build.step_runner import run_flow
    from bnn2fpga.cli.demo import Demo
    from bnn2fpga.cli.progress import BuildProgress

    out.print(
        "A binary network without batch norm learns handwritten digits (scikit-learn), becomes QONNX, "
        "then integer kernels, then C++ and RTL; every level is run on all test images and compared.\n"
    )
    with BuildProgress(out) as progress:
        made = Demo.of(output, epochs, progress.epoch, progress.level, board=board, fps=fps, name="digits")
        folders = run_flow(output, made.steps(), on_event=progress.step)
    _summarize(made.build, output, folders)


@command(
    PANEL,
    "bnn2fpga build tfc.onnx --fps 100000",
    "bnn2fpga build cnv.npz --to fold",
    "bnn2fpga build out/01-load/build.toml --output again",
)
def build(
    context: typer.Context,
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
    host_layers: HostLayers = False,
    input_type: InputType = None,
    flow: Annotated[
        Flow,
        typer.Option(help="After checking: RTL (sim), nothing (vitis), a bitstream (vivado, openxc7)."),
    ] = "vitis",
    source: Annotated[
        Source, typer.Option(help="What Vivado builds: the C++ by Vitis HLS (hls), or our own RTL (rtl).")
    ] = "hls",
    strict_clock: Annotated[
        bool, typer.Option("--strict-clock", help="Of RTL: refuse a clock slower than asked for.")
    ] = False,
    place_and_route: Annotated[
        Tool | None,
        typer.Option("--place-and-route", help="With openxc7: the program; the one that is found if absent."),
    ] = None,
    effort: Annotated[
        float | None,
        typer.Option(min=0, help="With openxc7: minutes to try further seeds of place and route for."),
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Of a Dask cluster for these seeds: tcp://host:port.")
    ] = None,
) -> None:
    """Builds the accelerator of MODEL: an HLS project, checked against the model, and a report.

    With --flow vivado also a bitstream, by Vitis HLS and Vivado, which must be on PATH; with --source rtl by
    Vivado alone. With --flow openxc7 one without a vendor's tools; the table openxc7 of a build.toml says
    where they lie, if not on PATH.

    A build that was stopped goes on where it was; unchanged steps are not run again. Options that are given
    beside a build.toml replace what it says.
    """
    from bnn2fpga.build.config import BuildConfig
    from bnn2fpga.build.step_runner import run_flow
    from bnn2fpga.build.steps import Build
    from bnn2fpga.cli.progress import BuildProgress
    from bnn2fpga.files.settings import read_settings

    options: dict[str, Any] = {
        "board": board,
        "fps": fps,
        "clock_mhz": clock,
        "max_lut": max_lut,
        "max_bram": max_bram,
        "data": data,
        "divide": divide,
        "frames": frames,
        "exact_sums": exact_sums,
        "trunk_bits": trunk_bits,
        "host_layers": host_layers,
        "input_type": input_type,
        "flow": flow,
        "source": source,
    }
    if model.suffix == ".toml":
        given = {"clock_mhz" if name == "clock" else name for name in given_options(context)}
        replaced = {name: value for name, value in options.items() if name in given}
        config = read_settings(model, BuildConfig).replaced(**replaced)
    else:
        config = BuildConfig(model=model, **options)
    if strict_clock:
        config = config.replaced(
            openxc7=config.openxc7.replaced(strict_clock=True),
            vivado=config.vivado.replaced(strict_clock=True),
        )
    asked = {"place_and_route": place_and_route, "effort": effort, "scheduler": scheduler}
    given_tools = {name: value for name, value in asked.items() if value is not None}
    config = config.replaced(openxc7=config.openxc7.replaced(**given_tools))
    with BuildProgress(out) as progress:
        made = Build.of(config, progress.level, progress.placed)
        folders = run_flow(output, made.steps(), to, progress.step)
    if "report" in folders:
        _summarize(made, output, folders)


@command(PANEL, "bnn2fpga report out")
def report(
    folder: Annotated[Path, typer.Argument(help="A build folder, or the folder of its report.json.")],
) -> None:
    """Writes index.html and report.md of a build again, from its report.json."""
    from bnn2fpga.report.pages import write_pages
    from bnn2fpga.report.report_file import REPORT, read_report

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


def _summarize(made: Build, output: Path, folders: dict[str, Path]) -> None:
    from bnn2fpga.cli.tables import kernel_table, stacked, summary
    from bnn2fpga.planning.estimate import estimate
    from bnn2fpga.report.report_file import REPORT, read_report

    facts = estimate(made.pipeline.folded, made.pipeline.board, made.pipeline.planned.limit)
    place = output / folders["report"].name
    found = read_report(place / REPORT)
    out.print()
    out.print(stacked(kernel_table(facts), summary(found, facts, place)))
