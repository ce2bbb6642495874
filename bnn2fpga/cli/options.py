"""Arguments and options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
HostLayers = Annotated[
    bool,
    typer.Option(
        "--host-layers",
        help="Let the host compute float layers in front, and at the end what no kernel takes.",
    ),
]
InputType = Annotated[
    str | None,
    typer.Option(
        "--input",
        help="What frames are where the network quantizes none: uint8, int8, …, or divided: uint8/255.",
    ),
]
Data = Annotated[
    Path | None, typer.Option(help="Frames, and labels, as .npy or .npz; random frames if absent.")
]
Divide = Annotated[float, typer.Option(help="What the data's values are divided by, e.g. 255.")]
Frames = Annotated[int | None, typer.Option(min=1, help="How many frames to take.")]


def given_options(context: typer.Context) -> set[str]:
    """The parameters that were given on the command line, by name."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name for name, source in sources.items() if source and source.name == "COMMANDLINE"}
