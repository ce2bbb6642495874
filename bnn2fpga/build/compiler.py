"""The compiler: from a model to the files of every back end, stage after stage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pydantic import Field

from bnn2fpga.backends.hls import hls_project
from bnn2fpga.backends.rtl import rtl_project
from bnn2fpga.boards.board import Board, load_board
from bnn2fpga.build.choices import Flow
from bnn2fpga.design.explanation import Explanation, explain_design
from bnn2fpga.design.graph import Design
from bnn2fpga.errors import ModelError
from bnn2fpga.files.project import Project
from bnn2fpga.files.settings import Settings
from bnn2fpga.planning.limits import Limits
from bnn2fpga.simulation.cpp import CppSimulator

if TYPE_CHECKING:
    from bnn2fpga.planning.folding.fold import Plan


GRAPH_STAGES = ("load", "streamline")
"""Stages that a parameter file, which has no graph, does not go through."""


class Options(Settings):
    """What a build is asked for.

    `fps` are frames a second to reach, None for as fast as the board allows. `clock_mhz` None is the board's
    default, `max_lut` and `max_bram` (of 36 Kbit) None are four fifths of the board's, `name` None is the
    file's or the class's. For the `flow` openxc7 no more is planned than its tools can route. `exact_sums`,
    `trunk_bits` (0 to 12), `host_layers` and `input_type` are explained at `compile`.
    """

    board: str = "pynq-z2"
    fps: float | None = Field(default=None)
    clock_mhz: float | None = Field(default=None)
    max_lut: int | None = Field(default=None)
    max_bram: float | None = Field(default=None)
    flow: Flow = "vitis"
    exact_sums: bool = False
    trunk_bits: int | None = None
    host_layers: bool = False
    input_type: str | None = None
    name: str | None = None

    def limits(self, board: Board) -> Limits:
        """What a plan may use of `board`."""
        limits = Limits.of(board, self.max_lut, self.max_bram)
        return limits.routable(board) if self.flow == "openxc7" else limits


def stages(model: Any, options: Options, example_input: Any = None) -> Iterator[tuple[str, Any]]:
    """The whole compiler: every stage's name and what it gives, computed when it is asked for.

    `model` is what `compile` takes. The names are those of a build's steps; a parameter file has no graph,
    so it begins at `lower`. Raises BuildError, from the stage that cannot go on.
    """
    # imported here, as the graph tools take seconds to load and most of the command line needs none
    from bnn2fpga.frontend import import_parameters, load, lower, streamline
    from bnn2fpga.planning.folding.fold import plan

    # the graph, a qonnx ModelWrapper: tidied, then with fewer float nodes
    if is_parameter_file(model):
        design = import_parameters(model)
    else:
        graph = load(model, example_input, options.input_type)
        yield "load", graph
        graph, applied = streamline(graph)
        yield "streamline", (graph, applied)
        # from here on integers: kernels joined by streams, each at its smallest folding
        design = lower(
            graph, model_name(model, options), options.exact_sums, options.trunk_bits, options.host_layers
        )
    yield "lower", design

    # how parallel each kernel is, width converters between them, FIFOs that are deep enough
    board = load_board(options.board)
    clock_mhz = board.clock(options.clock_mhz)
    planned = plan(design, board, clock_mhz, options.fps, options.limits(board))
    yield "fold", planned

    # the files: C++ for Vitis HLS, SystemVerilog to simulate, and the same of the chip's own cells
    yield "hls", hls_project(planned.design, board.part, clock_mhz)
    yield "rtl", rtl_project(planned.design)
    yield "rtl-primitives", rtl_project(planned.design, primitives=True)


def is_parameter_file(model: Any) -> bool:
    """Whether the model is a file of parameters (.npz) that needs no graph."""
    return isinstance(model, str | Path) and Path(model).suffix == ".npz"


def model_name(model: Any, options: Options) -> str:
    """The design's name: the options', or else the file's or the class's."""
    stem = Path(model).stem if isinstance(model, str | Path) else type(model).__name__
    return options.name or stem


@dataclass(eq=False)
class Pipeline:
    """A model on its way through `stages`; what has been computed is kept.

    `model` is a path (.onnx, or .npz), a ModelWrapper or a Brevitas module, which needs `example_input`. A
    property raises BuildError where its stage, or one before it, cannot go on.
    """

    model: Any
    options: Options
    example_input: Any = None

    def __post_init__(self) -> None:
        self._ahead = stages(self.model, self.options, self.example_input)
        self._reached: dict[str, Any] = {}
        self._failure: Exception | None = None

    def reach(self, stage: str) -> Any:
        """What `stage` gives, computed with those before it if need be."""
        if self.imported and stage in GRAPH_STAGES:
            raise ModelError(f"{self.model}: is a parameter file and has no QONNX graph")
        while stage not in self._reached:
            if self._failure is not None:
                raise self._failure
            try:
                name, result = next(self._ahead)
            except Exception as error:
                self._failure = error
                raise
            self._reached[name] = result
        return self._reached[stage]

    @cached_property
    def board(self) -> Board:
        """The board that the options name."""
        return load_board(self.options.board)

    @property
    def name(self) -> str:
        """The design's name."""
        return model_name(self.model, self.options)

    @property
    def imported(self) -> bool:
        """Whether the model is a parameter file that needs no graph."""
        return is_parameter_file(self.model)

    @property
    def loaded(self) -> Any:
        """The tidied ModelWrapper."""
        return self.reach("load")

    @property
    def streamlined(self) -> tuple[Any, tuple[Any, ...]]:
        """The transformed ModelWrapper and what each transformation did."""
        graph: tuple[Any, tuple[Any, ...]] = self.reach("streamline")
        return graph

    @property
    def lowered(self) -> Design:
        """The integer design at its smallest folding."""
        design: Design = self.reach("lower")
        return design

    @property
    def explained(self) -> Explanation:
        """What became of each part of the model, or why it is refused; of an imported one, its kernels."""
        from bnn2fpga.frontend import explain

        if self.imported:
            return explain_design(self.lowered)
        options = self.options
        streamlined, applied = self.streamlined
        return explain(
            streamlined, self.name, options.exact_sums, options.trunk_bits, options.host_layers, applied
        )

    @property
    def planned(self) -> Plan:
        """The design folded for the board, and what keeps it from being faster."""
        plan: Plan = self.reach("fold")
        return plan

    @property
    def folded(self) -> Design:
        """The design folded for the board."""
        return self.planned.design

    @property
    def hls(self) -> Project:
        """The Vitis HLS project of the folded design."""
        project: Project = self.reach("hls")
        return project

    @cached_property
    def cpp(self) -> CppSimulator:
        """The generated C++, compiled once; its folder goes with this pipeline."""
        self._scratch = TemporaryDirectory(prefix="bnn2fpga-")
        folder = Path(self._scratch.name)
        self.hls.write(folder)
        return CppSimulator.compile(self.folded, folder, folder / "testbench", keep=True)


def compile(
    model: Any,
    board: str = "pynq-z2",
    fps: float | None = None,
    *,
    example_input: Any = None,
    clock_mhz: float | None = None,
    max_lut: int | None = None,
    max_bram: float | None = None,
    exact_sums: bool = False,
    trunk_bits: int | None = None,
    host_layers: bool = False,
    input_type: str | None = None,
    name: str | None = None,
) -> Design:
    """The integer design of `model`, folded for `board` (a name, or the path of a .toml file).

    `model` is the path of a QONNX file or of a BNN-PYNQ or FracBNN .npz, a qonnx ModelWrapper, or a Brevitas
    module, which needs `example_input` (1, …). Without `fps` (frames a second) the design is as fast as the
    board's resources allow: `max_lut` LUTs and `max_bram` block RAMs of 36 Kbit, or four fifths of them.

    A sum that float32 rounds is refused where that decides a threshold; with `exact_sums` the exact one does.
    A residual sum without a common integer grid is refused; with `trunk_bits` (0 to 12) it is rounded to that
    many fraction bits. Float layers in front of the first quantizer are refused; with `host_layers` the host
    computes them. A network that quantizes its input nowhere is refused; with `input_type` its frames are
    integers (uint8, int8, …) or such integers divided (uint8/255).

    Raises BuildError, which names the node, the reason and the way out.
    """
    options = Options(
        board=board,
        fps=fps,
        clock_mhz=clock_mhz,
        max_lut=max_lut,
        max_bram=max_bram,
        exact_sums=exact_sums,
        trunk_bits=trunk_bits,
        host_layers=host_layers,
        input_type=input_type,
        name=name,
    )
    return Pipeline(model, options, example_input).folded


def explain(
    model: Any,
    *,
    example_input: Any = None,
    exact_sums: bool = False,
    trunk_bits: int | None = None,
    host_layers: bool = False,
    input_type: str | None = None,
    name: str | None = None,
) -> Explanation:
    """What each part of `model` becomes, by which rule, and what is refused; the arguments are `compile`'s.

    A refusal is part of the explanation, no error. Raises BuildError for a model that cannot be read.
    """
    options = Options(
        exact_sums=exact_sums,
        trunk_bits=trunk_bits,
        host_layers=host_layers,
        input_type=input_type,
        name=name,
    )
    return Pipeline(model, options, example_input).explained
