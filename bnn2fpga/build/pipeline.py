"""The path from a model to a folded design, each stage computed when it is first asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from bnn2fpga.boards.board import Board, load_board
from bnn2fpga.errors import ModelError
from bnn2fpga.frontend.explanation import Explanation, explain_design
from bnn2fpga.design.graph import Design

if TYPE_CHECKING:
    from bnn2fpga.planning.folding.fold import Plan


class Options(BaseModel):
    """What a build is asked for; `fps` None is as fast as the board allows, `clock_mhz` None its default.

    `max_lut` and `max_bram` (of 36 Kbit) None are four fifths of the board's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    board: str = "pynq-z2"
    fps: float | None = Field(default=None)
    clock_mhz: float | None = Field(default=None)
    max_lut: int | None = Field(default=None)
    max_bram: float | None = Field(default=None)
    exact_sums: bool = False
    trunk_bits: int | None = None
    name: str | None = None


@dataclass(frozen=True, eq=False)
class Pipeline:
    """A model on its way: a path (.onnx, or an .npz of `frontend.parameters`), a ModelWrapper or a module."""

    model: Any
    options: Options
    example_input: Any = None

    @cached_property
    def board(self) -> Board:
        """The board that the options name."""
        return load_board(self.options.board)

    @property
    def name(self) -> str:
        """The design's name: the options', or else the file's or the class's."""
        stem = Path(self.model).stem if isinstance(self.model, str | Path) else type(self.model).__name__
        return self.options.name or stem

    @property
    def imported(self) -> bool:
        """Whether the model is a parameter file that needs no graph."""
        return isinstance(self.model, str | Path) and Path(self.model).suffix == ".npz"

    @cached_property
    def loaded(self) -> Any:
        """The tidied ModelWrapper."""
        from bnn2fpga.frontend import load

        if self.imported:
            raise ModelError(f"{self.model}: is a parameter file and has no QONNX graph")
        return load(self.model, self.example_input)

    @cached_property
    def streamlined(self) -> tuple[Any, tuple[Any, ...]]:
        """The transformed ModelWrapper and what each transformation did."""
        from bnn2fpga.frontend import streamline

        return streamline(self.loaded)

    @cached_property
    def lowered(self) -> Design:
        """The integer design at its smallest folding."""
        from bnn2fpga.frontend import import_parameters
        from bnn2fpga.frontend import lower

        if self.imported:
            return import_parameters(self.model)
        options = self.options
        return lower(self.streamlined[0], self.name, options.exact_sums, options.trunk_bits)

    @cached_property
    def explained(self) -> Explanation:
        """What became of each part of the model, or why it is refused; of an imported one, its kernels."""
        from bnn2fpga.frontend import explain

        if self.imported:
            return explain_design(self.lowered)
        options = self.options
        streamlined, applied = self.streamlined
        return explain(streamlined, self.name, options.exact_sums, options.trunk_bits, applied)

    @cached_property
    def planned(self) -> Plan:
        """The design folded for the board, and what keeps it from being faster."""
        from bnn2fpga.planning.folding.fold import plan

        asked = self.options
        clock = self.board.clock(asked.clock_mhz)
        return plan(self.lowered, self.board, clock, asked.fps, asked.max_lut, asked.max_bram)

    @property
    def folded(self) -> Design:
        """The design folded for the board."""
        return self.planned.design
