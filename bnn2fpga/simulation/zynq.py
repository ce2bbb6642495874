"""Compiles a netlist and a model of the processing system around it with Verilator, and runs it on frames."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from bnn2fpga.backends.zynq import TOP, register_offset
from bnn2fpga.bitstream.netlist import Netlist
from bnn2fpga.bitstream.verilog import verilog
from bnn2fpga.design.graph import Design
from bnn2fpga.design.integers import Ints
from bnn2fpga.errors import MismatchError
from bnn2fpga.files.templates import render
from bnn2fpga.tools.gcc import find_gcc
from bnn2fpga.tools.verilator import RUNTIME, compile_object, run_quietly, verilator_folder

MEMORY = 0x1000_0000
"""Where the model of the processing system has its memory."""
PAGE = 4096
"""Bytes; the last ones of the memory answer with an error."""
GAP = 1
"""Of 8 clocks, those in which a handshake of the processing system waits, at random."""
SPARE = 20_000
"""Clocks that the registers and the ends of a transfer may take."""


@dataclass(frozen=True)
class ZynqResult:
    """Integers of the output port (N, *shape), and what each register read before the transfer, by name."""

    outputs: Ints
    registers: dict[str, int]


@dataclass(frozen=True)
class ZynqSimulator:
    """A compiled netlist of `design` with the model of a processing system, whose memory has `size` bytes."""

    design: Design
    executable: Path
    size: int

    @classmethod
    def compile(cls, design: Design, netlist: Netlist, folder: Path, frames: int) -> ZynqSimulator:
        """Compiles the netlist in `folder`, for up to `frames` frames; a ToolError has the first error."""
        ends = (design.inputs[0].stream, design.outputs[0].stream)
        half = max(_pages(frames * stream.frame_bytes) for stream in ends)
        size = 1 << (2 * half + PAGE - 1).bit_length()
        model = render("zynq/ps7.v.j2", words=size // 8)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "ps7.v").write_text(model)
        (folder / "netlist.v").write_text(verilog(netlist, TOP, _ports(model)))
        root, aside = verilator_folder(), folder / "runtime"
        aside.mkdir(exist_ok=True)
        command = [str(root / "bin/verilator_bin"), "--cc", "--main", "--timing", "--prefix", "Vdut"]
        command += ["--top-module", TOP, "-O3", "--x-assign", "fast", "--x-initial", "fast"]
        command += ["-Wno-fatal", "-Wno-lint", "--unroll-count", "1", "--Mdir", "."]
        with ThreadPoolExecutor(1) as beside:
            runtime = beside.submit(compile_object, aside, [*RUNTIME, "verilated_timing.cpp"], False, 0)
            environment = {"VERILATOR_ROOT": str(root)}
            run_quietly([*command, "netlist.v", "ps7.v"], folder, environment, "Verilator", "%Error")
            sources = sorted(path.name for path in folder.glob("Vdut*.cpp"))
            objects = [compile_object(folder, sources, False, 0), runtime.result()]
        link = [find_gcc(), "-pthread", *(str(path.resolve()) for path in objects), "-o", "simulation"]
        run_quietly(link, folder, {}, "g++", "error:")
        return cls(design, folder / "simulation", size)

    def run(self, inputs: Ints, clocks: int, seed: int = 1) -> ZynqResult:
        """Runs all frames (N, *shape) as one transfer, under pauses at random by `seed`.

        A MismatchError tells what was against the protocol, or that it was not over after twice the `clocks`
        that it should take.
        """
        source, sink = self.design.inputs[0].stream, self.design.outputs[0].stream
        data = source.pack(inputs).reshape(-1).view(np.uint8)
        answer, destination = len(inputs) * sink.frame_bytes, (self.size - PAGE) // 2 // PAGE * PAGE
        memory = np.zeros(self.size, np.uint8)
        memory[: data.size] = data
        registers = {
            "source_address": MEMORY,
            "source_bytes": data.size,
            "destination_address": MEMORY + destination,
            "destination_bytes": answer,
            "control": 1,
        }
        script = [f"R {register_offset(name)} 0\n" for name in ("id", "digest")]
        script += [f"W {register_offset(name)} {value}\n" for name, value in registers.items()]
        after, printed = self._simulate(memory, "".join([*script, "P 0 0\n"]), 2 * clocks + SPARE, seed)
        read = dict(re.findall(r"^READ (\d+) (\d+)", printed, re.MULTILINE))
        beats = after[destination : destination + answer].reshape(len(inputs), sink.beats, sink.beat_bytes)
        found = {name: int(read[str(register_offset(name))]) for name in ("id", "digest")}
        return ZynqResult(sink.unpack(beats), found)

    def _simulate(
        self, memory: npt.NDArray[np.uint8], script: str, most: int, seed: int
    ) -> tuple[npt.NDArray[np.uint8], str]:
        """The memory after the commands of `script`, and what was printed."""
        with TemporaryDirectory(dir=self.executable.parent) as scratch:
            folder = Path(scratch).resolve()
            (folder / "image").write_text("".join(f"{word:016x}\n" for word in memory.view("<u8").tolist()))
            (folder / "script").write_text(script)
            arguments = [f"+{name}={folder / name}" for name in ("image", "script", "result")]
            arguments += [f"+seed={seed}", f"+gap={GAP}", f"+most={most}"]
            command = [str(self.executable.resolve()), *arguments]
            printed = run_quietly(command, folder, {}, "netlist", "FAIL")
            failure = re.search(r"^FAIL (.*) at \d+", printed, re.MULTILINE)
            if failure:
                raise MismatchError(f"{self.design.name}: the model of a PS7 stops: {failure.group(1)}")
            words = [int(word, 16) for word in (folder / "result").read_text().split() if len(word) == 16]
            return np.array(words, "<u8").view(np.uint8), printed


def _pages(size: int) -> int:
    return -(-size // PAGE) * PAGE


def _ports(model: str) -> frozenset[str]:
    """The ports that the model of the PS7 has."""
    head = model[model.index("module PS7") :].split("(", 1)[1].split(");", 1)[0]
    return frozenset(re.findall(r"(\w+)\s*(?:,|$)", head.strip(), re.MULTILINE))
