"""A board for tests: the generated Zynq files, a small core, a model of the processing system; in Icarus."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import numpy.typing as npt

from bnn2fpga.backends.zynq import zynq_project
from bnn2fpga.design.graph import Design, Edge, Port
from bnn2fpga.design.integers import IntType
from bnn2fpga.design.stream import Stream
from bnn2fpga.files.project import Project
from bnn2fpga.files.templates import render

DIGEST = "00c0ffee" + "0" * 56
MEMORY = 0x1000_0000
SIZE = 65536
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Shape:
    """A core's beats: bytes and how many a frame, in and out."""

    in_bytes: int
    out_bytes: int
    in_beats: int = 4
    out_beats: int = 3
    edges: int = 3
    name: str = "tiny"
    source: str = "core.sv"

    def design(self) -> Design:
        """What `zynq_project` reads of a Design; there are no kernels in it."""

        def stream(size: int, beats: int) -> Stream:
            return Stream((beats, size), IntType(8), size)

        inner = [Edge(Port("a", i), Port("b", i), stream(1, 1)) for i in range(self.edges - 2)]
        first = Edge(Port(None), Port("a"), stream(self.in_bytes, self.in_beats))
        last = Edge(Port("b"), Port(None), stream(self.out_bytes, self.out_beats))
        return cast(
            Design,
            SimpleNamespace(
                name=self.name,
                nodes=(),
                edges=(first, *inner, last),
                inputs=(first,),
                outputs=(last,),
                target=None,
            ),
        )

    def core(self) -> str:
        """The test core of this shape."""
        values = {
            "B": self.in_bytes,
            "C": self.out_bytes,
            "IN_BEATS": self.in_beats,
            "OUT_BEATS": self.out_beats,
            "EDGES": self.edges,
        }
        text = (HERE / self.source).read_text().replace("CORE", self.name)
        for name, value in values.items():
            text = re.sub(rf"parameter int {name} = \d+", f"parameter int {name} = {value}", text)
        return text

    def project(self) -> Project:
        """The generated files and the core."""
        files = zynq_project(self.design(), DIGEST).files
        return Project({**files, f"rtl/{self.name}.sv": self.core()})

    def answer(self, frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Output bytes (N, frame bytes) of input bytes (N, frame bytes)."""
        sums = frames.astype(int).sum(axis=1)[:, None, None]
        beats = np.arange(self.out_beats)[:, None] + 3 * np.arange(self.out_bytes)
        return (sums + beats).astype(np.uint8).reshape(len(frames), -1)

    def random(self, count: int, seed: int) -> npt.NDArray[np.uint8]:
        """Input bytes of `count` frames."""
        size = self.in_bytes * self.in_beats
        return np.random.default_rng(seed).integers(0, 256, (count, size), np.uint8)


@dataclass
class Outcome:
    """What a run of commands left: the memory's bytes, values read (offset, value), statuses, stalls."""

    memory: npt.NDArray[np.uint8]
    reads: list[tuple[int, int]]
    statuses: list[int]
    stalls: list[int]


@dataclass
class Board:
    """A compiled bench; `transfer` adds commands, `run` runs them."""

    folder: Path
    commands: list[str] = field(default_factory=list)
    memory: npt.NDArray[np.uint8] = field(default_factory=lambda: np.full(SIZE, 0xA5, np.uint8))

    @classmethod
    def of(cls, shape: Shape, folder: Path) -> Board:
        """The bench around the test core of a shape."""
        return cls.compile(shape.project(), shape.edges, folder)

    @classmethod
    def compile(cls, project: Project, edges: int, folder: Path) -> Board:
        """Compiles the bench around any project's core with Icarus."""
        project.write(folder)
        sources = [folder / name for name in project.files if name.endswith(".sv")]
        command = ["iverilog", "-g2012", f"-DEDGES={edges}", "-s", "bench", "-o", folder / "bench"]
        done = subprocess.run(
            [*command, *sources, write_ps7(folder), HERE / "bench.v"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return cls(folder)

    def do(self, command: str, a: int = 0, b: int = 0) -> None:
        """One command of the model of the processor."""
        self.commands.append(f"{command} {a} {b}\n")

    def start(self, data: npt.NDArray[np.uint8], source: int, out_bytes: int, destination: int) -> None:
        """Puts `data` at offset `source` of the memory and starts a transfer to offset `destination`."""
        self.memory[source : source + data.size] = data.reshape(-1)
        values = (MEMORY + source, data.size, MEMORY + destination, out_bytes, 1)
        for offset, value in zip((0x24, 0x28, 0x2C, 0x30, 8), values, strict=True):
            self.do("W", offset, value)

    def read(self, offsets: Sequence[int]) -> None:
        """Reads registers; the values come with the outcome."""
        for offset in offsets:
            self.do("R", offset)

    def run(self, seed: int = 1, gap: int = 0) -> Outcome:
        """Runs all commands; each handshake waits with a chance of `gap` in 8 a clock."""
        words = self.memory.view("<u8")
        (self.folder / "image").write_text("".join(f"{word:016x}\n" for word in words))
        (self.folder / "script").write_text("".join(self.commands))
        arguments = [f"+{name}={self.folder / name}" for name in ("image", "script", "result")]
        done = subprocess.run(
            ["vvp", "-n", self.folder / "bench", f"+seed={seed}", f"+gap={gap}", *arguments],
            cwd=self.folder / "rtl",  # where the memory files of a core lie
            capture_output=True,
            text=True,
            check=False,
        )
        assert "END" in done.stdout and "FAIL" not in done.stdout, done.stdout + done.stderr
        lines = [line.split() for line in done.stdout.splitlines()]
        result = [int(t, 16) for t in (self.folder / "result").read_text().split() if len(t) == 16]
        stalls: dict[int, int] = {int(line[1]): int(line[2]) for line in lines if line[0] == "STALLS"}
        return Outcome(
            np.array(result, "<u8").view(np.uint8),
            [(int(line[1]), int(line[2])) for line in lines if line[0] == "READ"],
            [int(line[1]) for line in lines if line[0] == "STATUS"],
            [stalls[index] for index in range(len(stalls))],
        )


def write_ps7(folder: Path) -> Path:
    """The model of the processing system, with a memory of SIZE bytes."""
    path = folder / "ps7.v"
    path.write_text(render("zynq/ps7.v.j2", words=SIZE // 8))
    return path


def has_icarus() -> bool:
    """Whether Icarus Verilog is installed."""
    return shutil.which("iverilog") is not None and shutil.which("vvp") is not None
