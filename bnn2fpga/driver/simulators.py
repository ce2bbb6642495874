"""The accelerator without hardware: the generated C++, or the meaning of the kernels in numpy."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from .fault import AcceleratorError
from .model import SIMULATION, Model

if TYPE_CHECKING:
    from numpy.typing import NDArray


class CppBackend:
    """The generated C++, compiled with g++ into a folder that `close` removes."""

    name = "cpp"

    def __init__(self, model: Model) -> None:
        compiler = shutil.which("g++")
        if compiler is None:
            raise AcceleratorError("backend cpp: g++ is not on PATH (Debian, Ubuntu: apt install g++)")
        sources = model.folder / SIMULATION / "cpp"
        if not sources.is_dir():
            raise AcceleratorError(f"backend cpp: {sources} is missing; copy it from the build")
        model.check_simulation()
        self._model = model
        self._scratch = TemporaryDirectory()
        self._program = Path(self._scratch.name, "testbench")
        command = [compiler, "-std=c++14", "-O1", "-w", "-I", str(sources), "-I", str(sources / "gcc")]
        command += ["-I", str(sources / "include"), str(sources / "top.cpp"), str(sources / "testbench.cpp")]
        done = _call([*command, "-o", str(self._program)])
        if done.returncode:
            self.close()
            said = done.stderr.splitlines()
            first = [line for line in said if "error" in line] or said or [f"exit code {done.returncode}"]
            raise AcceleratorError(f"backend cpp: g++ failed: {first[0][:300]}")

    def run(self, data: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
        """Output bytes (N, frame bytes) of input bytes (N, frame bytes), and the seconds that it took."""
        source, sink = Path(self._scratch.name, "in.bin"), Path(self._scratch.name, "out.bin")
        try:
            source.write_bytes(data.tobytes())
            begin = time.perf_counter()
            done = _call([str(self._program), str(len(data)), str(source), str(sink)])
            seconds = time.perf_counter() - begin
            found = np.fromfile(str(sink), np.uint8) if not done.returncode else np.zeros(0, np.uint8)
        except OSError as error:
            raise AcceleratorError(f"backend cpp: {source.parent}: {error.strerror or error}") from error
        wanted = len(data) * self._model.sink.frame_bytes
        if done.returncode or found.size != wanted:
            said = (done.stderr or done.stdout).strip().splitlines()
            reason = said[0][:300] if said else f"exit code {done.returncode}, {found.size} of {wanted} bytes"
            raise AcceleratorError(f"backend cpp: {reason}")
        return found.reshape(len(data), self._model.sink.frame_bytes), seconds

    def close(self) -> None:
        """Removes the compiled program."""
        self._scratch.cleanup()


def _call(command: Any) -> Any:
    pipe = subprocess.PIPE
    return subprocess.run(command, stdout=pipe, stderr=pipe, text=True, check=False)


class NumpyBackend:
    """The integer design, built again by the bnn2fpga that is installed here."""

    name = "numpy"

    def __init__(self, model: Model) -> None:
        try:
            from bnn2fpga import rebuild
        except ImportError as error:
            raise AcceleratorError(
                f"backend numpy: bnn2fpga cannot be imported ({error}); it needs Python 3.11 or newer: "
                "pip install bnn2fpga, or take backend cpp"
            ) from error
        self._model = model
        model.check_simulation()
        try:
            self._design = rebuild(model.folder / SIMULATION, model.design)
        except Exception as error:
            raise AcceleratorError(f"backend numpy: {' '.join(str(error).split())}") from error

    def run(self, data: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
        """Output bytes (N, frame bytes) of input bytes (N, frame bytes), and the seconds that it took."""
        integers = self._model.source.unpack(data)
        begin = time.perf_counter()
        found = self._design.simulate(integers)
        seconds = time.perf_counter() - begin
        return self._model.sink.pack(found.reshape(len(data), self._model.sink.size)), seconds

    def close(self) -> None:
        """Nothing to give back."""
