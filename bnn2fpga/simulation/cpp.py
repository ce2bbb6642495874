"""Compiles the generated C++ with the real ap_int and hls_stream headers, and runs it."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bnn2fpga.design.graph import Design
from bnn2fpga.design.integers import Ints
from bnn2fpga.errors import ToolError
from bnn2fpga.files.kept import folder_parts, make_or_copy
from bnn2fpga.tools.gcc import find_gcc, gcc_identity, header_folder


@dataclass(frozen=True)
class CppResult:
    """Integers of every output port (N, *shape), and the loop trips of all kernels together."""

    outputs: tuple[Ints, ...]
    trips: int


@dataclass(frozen=True)
class CppSimulator:
    """A compiled design: the meaning of the generated C++."""

    design: Design
    executable: Path

    @classmethod
    def compile(
        cls,
        design: Design,
        project: Path,
        executable: Path,
        threads: bool = False,
        flags: Sequence[str] = (),
        keep: bool = False,
    ) -> CppSimulator:
        """Compiles the project in folder `project`; a ToolError carries the compiler's first error.

        With `threads` every kernel runs in a thread of its own and the FIFOs have their planned depths,
        so that a deadlock of the hardware is one of the simulation: `run` raises a ToolError then.
        `flags` are further options of g++, such as sanitizers. With `keep` what was compiled before is used
        again, and what is compiled now is kept (`files/kept.py`).
        """
        command = [find_gcc(), "-std=c++14", "-O1", "-w", *flags, f"-I{project}"]
        if threads:
            command += ["-pthread", f"-I{project / 'gcc/threads'}", str(project / "gcc/threads.cpp")]
        else:
            # as one file: most of the time goes into the templates of AMD's headers, which both use
            command += ["-DBNN2FPGA_COUNT_TRIPS", "-include", str(project / "top.cpp")]
            command += [str(project / "testbench.cpp")]
        command += [f"-I{project / 'gcc'}", f"-I{header_folder()}", "-o", str(executable)]

        def compiled() -> None:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                said = done.stderr.splitlines()
                first = next((line for line in said if "error:" in line), done.stderr.strip()[:300])
                raise ToolError(f"g++ failed on {project}: {first}")

        if keep:
            options = repr((gcc_identity(), threads, flags)).encode()
            parts = [options, *folder_parts(project), *folder_parts(header_folder())]
            make_or_copy(executable, parts, compiled)
        else:
            compiled()
        return cls(design, executable)

    def run(self, *inputs: Ints) -> CppResult:
        """Runs all frames, one array (N, *shape) an input port."""
        frames = len(inputs[0])
        with TemporaryDirectory(dir=self.executable.parent) as scratch:
            ins = [Path(scratch, f"in{index}.bin") for index in range(len(inputs))]
            outs = [Path(scratch, f"out{index}.bin") for index in range(len(self.design.outputs))]
            for path, edge, array in zip(ins, self.design.inputs, inputs, strict=True):
                path.write_bytes(edge.stream.pack(array).tobytes())
            command = [str(self.executable), str(frames), *map(str, ins), *map(str, outs)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode or "Hls::stream" in done.stdout + done.stderr:
                complaint = (done.stderr + done.stdout).strip().splitlines() or [
                    f"exit code {done.returncode}"
                ]
                # a sanitizer begins with a rule
                said = next((line for line in complaint if line.strip("=")), complaint[0])
                raise ToolError(f"{self.executable}: {said}")
            beats = [
                np.fromfile(path, np.uint8).reshape(frames, edge.stream.beats, edge.stream.beat_bytes)
                for path, edge in zip(outs, self.design.outputs, strict=True)
            ]
        outputs = tuple(
            edge.stream.unpack(beat) for beat, edge in zip(beats, self.design.outputs, strict=True)
        )
        return CppResult(outputs, int(done.stdout.split()[-1]))
