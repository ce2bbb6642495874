"""First figures of a folded design, from what its kernels say of themselves; no synthesis behind them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from bnn2fpga.boards.board import Board, load_board
from bnn2fpga.circuits.resources import Resources, median_error, usual_path
from bnn2fpga.design.graph import Design
from bnn2fpga.errors import BuildError
from bnn2fpga.planning.timing.schedule import frame_cycles, interval, latency
from bnn2fpga.planning.usage import resources, shares


@dataclass(frozen=True)
class KernelEstimate:
    """One kernel: its folding, cycles of one frame and resources.

    `error` is the median deviation of estimated LUTs from synthesized ones, a part, of kernels of its kind
    that the estimate was not fitted to. `path_ns` is what nine of ten that were synthesized take at most for
    the longest path through cells, wires not counted. Both are None for a kind that never was.
    """

    name: str
    kernel: str
    folding: dict[str, int | str]
    stream: str
    cycles: int
    resources: Resources
    error: float | None
    path_ns: float | None


@dataclass(frozen=True)
class Estimate:
    """A design on a board. `interval` and `latency` are cycles; `shares` are parts of the board's.

    `frame_cycles` are those between two frames, more than the interval where the memory port takes longer.
    `limit` says what keeps the folding from being faster.
    """

    design: str
    board: Board
    clock_mhz: float
    interval: int
    latency: int
    frame_cycles: int
    total: Resources
    shares: dict[str, float]
    kernels: tuple[KernelEstimate, ...]
    limit: str

    @property
    def fps(self) -> float:
        """Frames a second."""
        return self.clock_mhz * 1e6 / self.frame_cycles

    @property
    def luts_off(self) -> int:
        """LUTs by which the kernels are off if each is by its kind's median, all in one direction."""
        return round(sum(kernel.resources.luts * (kernel.error or 0) for kernel in self.kernels))

    @property
    def path_ns(self) -> float:
        """The longest usual path through cells, wires not counted; those take about as long again."""
        return max(kernel.path_ns or 0.0 for kernel in self.kernels)

    @property
    def latency_us(self) -> float:
        """Microseconds from a frame's first input beat to its last output beat, without the host."""
        return self.latency / self.clock_mhz

    @property
    def bottleneck(self) -> str:
        """What takes longest for a frame: the slowest kernel or the memory port."""
        if self.frame_cycles > self.interval:
            return "the memory port"
        return max(self.kernels, key=lambda kernel: kernel.cycles).name

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self) | {
            "board": self.board.name,
            "fps": round(self.fps, 1),
            "bottleneck": self.bottleneck,
            "luts_off": self.luts_off,
            "path_ns": self.path_ns,
        }


def estimate(design: Design, board: Board | str | Path | None = None, limit: str = "") -> Estimate:
    """The estimate of a `design` folded for `board`; `limit` is what its plan says.

    Without `board` it is the one that the design was folded for, by its name; a board of your own is given as
    its .toml file. Nothing is synthesized. LUTs are fitted to syntheses by yosys, memories counted.

    Interval and latency are those of the SystemVerilog, to the cycle; Vitis HLS chooses its own pipelines.
    """
    if board is None:
        if design.target is None:
            raise BuildError(f"{design.name}: is not folded for a board yet; compile() does that")
        board = design.target.board
    chip = board if isinstance(board, Board) else load_board(board)
    kernels = tuple(
        KernelEstimate(
            node.name,
            type(node.kernel).__name__,
            node.kernel.folding,
            " + ".join(f"{'x'.join(map(str, s.shape))} {s.type}" for s in node.kernel.outputs),
            node.kernel.cycles.interval,
            node.kernel.resources,
            median_error(type(node.kernel).__name__),
            usual_path(type(node.kernel).__name__),
        )
        for node in design.nodes
    )
    cycles = interval(design)
    used = resources(design)
    clock = design.target.clock_mhz if design.target else chip.default_clock_mhz
    return Estimate(
        design.name,
        chip,
        clock,
        cycles,
        latency(design),
        frame_cycles(design, chip.hp_port_bits),
        used,
        shares(used, chip),
        kernels,
        limit,
    )
