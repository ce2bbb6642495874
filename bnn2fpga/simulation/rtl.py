"""Compiles the generated SystemVerilog to a cycle-accurate model with Verilator, and runs it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from bnn2fpga.backends.rtl import FOLDER
from bnn2fpga.design.graph import Design
from bnn2fpga.design.integers import Ints
from bnn2fpga.files.kept import folder_parts, make_or_copy
from bnn2fpga.files.templates import render
from bnn2fpga.tools.gcc import find_gcc, gcc_identity
from bnn2fpga.tools.verilator import (
    compile_object,
    compile_runtime,
    run_quietly,
    verilator_folder,
    verilator_version,
)

LONGEST_WAIT = 20_000
"""Clocks without a beat in or out that count as a deadlock, besides those of a frame on its way."""


@dataclass(frozen=True, eq=False)
class RtlResult:
    """Integers of every output port (N, *shape), and the clocks of a run.

    `beats` has the clock of every output beat, one array a port, where they were asked for. `start` is the
    clock of the first input beat. `stalls` counts, for every edge, the clocks in which its source waited.
    """

    outputs: tuple[Ints, ...]
    cycles: int
    start: int
    stalls: tuple[int, ...]
    beats: tuple[npt.NDArray[np.uint64], ...] = ()


@dataclass(frozen=True)
class RtlSimulator:
    """A compiled design: the meaning of the generated SystemVerilog, clock by clock."""

    design: Design
    executable: Path
    sources: Path
    """Where the memory files lie."""

    @classmethod
    def compile(
        cls,
        design: Design,
        project: Path,
        folder: Path,
        trace: bool = False,
        optimize: int = 1,
        runtime: Path | None = None,
        keep: bool = False,
    ) -> RtlSimulator:
        """Compiles project/rtl into `folder`; a ToolError carries the first error.

        With `trace` a run can write its waveforms. `optimize` is g++'s level, 0 for short runs. `runtime`
        is what `compile_runtime` left, for who compiles many designs (without `trace`). With `keep` what was
        compiled before is used again, and what is compiled now is kept (`files/kept.py`).
        """
        sources, executable = project / FOLDER, folder / "harness"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "harness.cpp").write_text(render("rtl/harness.cpp.j2", design=design))

        def compiled() -> None:
            _compile(design.name, sources, folder, trace, optimize, runtime)

        if keep:
            options = repr((gcc_identity(), verilator_version(), design.name, trace, optimize)).encode()
            parts = [options, (folder / "harness.cpp").read_bytes(), *folder_parts(sources)]
            make_or_copy(executable, parts, compiled)
        else:
            compiled()
        return cls(design, executable, sources)

    def run(
        self,
        *inputs: Ints,
        seed: int = 0,
        gaps: float = 0.0,
        holds: float = 0.0,
        beats: bool = False,
        trace: Path | None = None,
    ) -> RtlResult:
        """Runs all frames, one array (N, *shape) an input port.

        An input pauses in the share `gaps` of the clocks, an output in `holds`, at random by `seed`.
        `trace` takes the waveforms (VCD). Raises a ToolError where the design hangs.
        """
        frames = len(inputs[0])
        # an image of one row leaves a kernel when all of it has arrived, and may wait a frame in each of them
        within = 2 * sum(node.kernel.cycles.interval for node in self.design.nodes)
        with TemporaryDirectory(dir=self.executable.parent) as scratch:
            ins = [Path(scratch, f"in{index}.bin").resolve() for index in range(len(inputs))]
            outs = [Path(scratch, f"out{index}.bin").resolve() for index in range(len(self.design.outputs))]
            clocks = Path(scratch, "clocks").resolve()
            for path, edge, array in zip(ins, self.design.inputs, inputs, strict=True):
                path.write_bytes(edge.stream.pack(array).tobytes())
            command = [str(self.executable.resolve()), str(frames), str(seed)]
            command += [str(round(256 * gaps)), str(round(256 * holds)), str(within + LONGEST_WAIT)]
            command += [str(clocks) if beats else "-", str(trace.resolve()) if trace else "-"]
            printed = run_quietly(
                [*command, *map(str, ins), *map(str, outs)], self.sources, {}, "RTL", "harness:"
            )
            arrays = [
                np.fromfile(path, np.uint8).reshape(frames, edge.stream.beats, edge.stream.beat_bytes)
                for path, edge in zip(outs, self.design.outputs, strict=True)
            ]
            ends = np.cumsum([frames * edge.stream.beats for edge in self.design.outputs])[:-1]
            recorded = tuple(np.split(np.fromfile(clocks, np.uint64), ends)) if beats else ()
        outputs = tuple(
            edge.stream.unpack(array) for array, edge in zip(arrays, self.design.outputs, strict=True)
        )
        cycles, start, *stalls = map(int, printed.split())
        return RtlResult(outputs, cycles, start, tuple(stalls), recorded)


def _compile(
    name: str, sources: Path, folder: Path, trace: bool, optimize: int, runtime: Path | None
) -> None:
    root, aside = verilator_folder(), folder / "runtime"
    aside.mkdir(parents=True, exist_ok=True)
    command = [str(root / "bin/verilator_bin"), "--cc", "--prefix", "Vdut", "--top-module", name]
    command += ["-O3", "--x-assign", "fast", "--x-initial", "fast", "-Wno-WIDTH", "-Wno-fatal"]
    command += ["--Mdir", str(folder.resolve()), *(["--trace"] if trace else [])]
    command += sorted(path.name for path in sources.glob("*.sv"))
    with ThreadPoolExecutor(1) as beside:
        # it takes as long as all the rest, and needs nothing of it
        own = beside.submit(lambda: runtime or compile_runtime(aside, trace, optimize))
        run_quietly(command, sources, {"VERILATOR_ROOT": str(root)}, "Verilator", "%Error")
        generated = sorted(path.name for path in folder.glob("Vdut*.cpp"))
        model = compile_object(folder, [*generated, "harness.cpp"], trace, optimize)
    objects = [model, own.result()]
    command = [find_gcc(), "-pthread", *(str(path.resolve()) for path in objects)]
    run_quietly([*command, "-o", "harness"], folder, {}, "g++", "error:")
