"""A network on its accelerator: frames in, labels or scores out, the same on every backend."""

from __future__ import annotations

import shutil
import threading
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .board import PynqBackend
from .fault import AcceleratorError
from .model import SIMULATION, Golden, Model, load_model
from .simulators import CppBackend, NumpyBackend

if TYPE_CHECKING:
    from numpy.typing import NDArray

BACKENDS = ("auto", "pynq", "cpp", "numpy")


class Accelerator:
    """The accelerator of a deployment folder; several threads may use one.

    `backend` is pynq (the hardware), cpp (the generated C++, needs g++), numpy (the integer design, needs
    bnn2fpga) or auto: pynq where there are a board and a bitstream, else cpp, else numpy. Frames are
    processed `batch` at a time, or as many as one transfer takes; `timeout` is the seconds after which a
    transfer that should have ended is an error. As a context manager it frees its buffers at the end.
    Raises AcceleratorError.
    """

    def __init__(
        self, folder: str | Path, backend: str = "auto", batch: int = 256, timeout: float = 2.0
    ) -> None:
        if backend not in BACKENDS:
            raise AcceleratorError(f"backend {backend!r}; legal: {', '.join(BACKENDS)}")
        if type(batch) is not int or batch < 1 or type(timeout) not in (int, float) or not 0 < timeout < 1e9:
            raise AcceleratorError(
                f"batch={batch!r}, timeout={timeout!r}; legal: integers from 1, seconds from 0"
            )
        self._model = load_model(Path(folder))
        self._lock = threading.Lock()
        self.backend = _choose(self._model) if backend == "auto" else backend
        self.batch = batch
        self._check_host(self._model.golden, 1)
        self._backend: Any = None
        if self.backend == "pynq":
            self._backend = PynqBackend(self._model, batch, timeout)
            self.batch = self._backend.most_frames
        else:
            self._backend = CppBackend(self._model) if self.backend == "cpp" else NumpyBackend(self._model)

    @property
    def name(self) -> str:
        """The design's name."""
        return self._model.name

    @property
    def frame_shape(self) -> Any:
        """The shape of one frame, without the batch."""
        return self._model.frame_shape

    @property
    def reasons(self) -> dict[str, str | None]:
        """Why frames (`encode`) or results (`decode`) are the core's integers; None where they are not."""
        return dict(self._model.reasons)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the network's outputs."""
        return self._model.outputs

    def logits(self, frames: Any) -> Any:
        """What the network's QONNX graph gives for frames (N, *frame_shape): one array, or a tuple of them.

        To the bit; where the host adds floats, up to their rounding, with the same bits on every machine.
        Probabilities where the graph ends in softmax or sigmoid, labels where it ends in them. Where
        `reasons["decode"]` is a text, the core's integers (N, *shape of its output stream).
        """
        found = self._results(frames)
        return found[0] if len(found) == 1 else found

    def predict(self, frames: Any) -> Any:
        """Labels (N,): those of the network, or the place of the first largest of its scores.

        A tuple of them for a network of several outputs.
        """
        if self._model.decode is None:
            raise AcceleratorError(
                f"{self.name}: has no labels here, logits gives integers, because "
                f"{self._model.reasons['decode']}"
            )
        labels = tuple(_labels(scores) for scores in self._results(frames))
        return labels[0] if len(labels) == 1 else labels

    def selftest(self) -> int:
        """Replays the golden vectors of the build, to the bit; how many frames they are.

        An AcceleratorError names the first place that differs, and whether host or core is at fault.
        """
        golden = self._model.golden
        self._check_host(golden, len(golden.frames))
        found = [
            self._core(golden.inputs[at : at + self.batch])[0]
            for at in range(0, len(golden.inputs), self.batch)
        ]
        self._same("the core", golden.outputs, np.concatenate(found))
        return len(golden.frames)

    def benchmark(self, frames: int = 1000) -> dict[str, Any]:
        """Measured on `frames` golden frames, repeated: latencies of one frame and frames a second.

        Without host time from the start of a transfer to its end; `_with_host` from frames to results.
        `planned_fps` is the clock over the planned clocks from frame to frame, of the core or of the memory
        port, whichever is slower. On a simulator the times are the simulator's.
        """
        if type(frames) is not int or frames < 1:
            raise AcceleratorError(f"benchmark of {frames!r} frames; legal: integers from 1")
        golden = self._model.golden.frames
        x = golden[np.arange(frames) % len(golden)]
        singles = [self._timed(x[:1]) for _ in range(11)][1:]
        batches = [self._timed(x[at : at + self.batch]) for at in range(0, frames, self.batch)]
        latency, latency_with_host = (float(np.median(times)) for times in zip(*singles))
        core, whole = (sum(times) for times in zip(*batches))
        clock = getattr(self._backend, "clock_mhz", self._model.clock_mhz)
        return {
            "backend": self.backend,
            "frames": frames,
            "batch": self.batch,
            "clock_mhz": clock,
            "latency_us": 1e6 * latency,
            "latency_us_with_host": 1e6 * latency_with_host,
            "fps": frames / core,
            "fps_with_host": frames / whole,
            "planned_fps": 1e6 * clock / self._model.frame_clocks,
        }

    def close(self) -> None:
        """Frees the buffers, or what the simulator holds; the accelerator cannot be used any more."""
        with self._lock:
            backend, self._backend = self._backend, None
            if backend is not None:
                backend.close()

    def __enter__(self) -> Accelerator:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _checked(self, frames: Any) -> NDArray[Any]:
        try:
            x = np.asarray(frames)
        except (ValueError, TypeError) as error:
            raise AcceleratorError(f"{self.name}: frames that are no array: {error}") from error
        if x.dtype.kind not in "biuf":
            raise AcceleratorError(f"{self.name}: frames of type {x.dtype}; legal: real numbers")
        if x.dtype.kind == "f" and np.isnan(x).any():
            raise AcceleratorError(f"{self.name}: a frame holds values that are no numbers (nan)")
        if x.ndim < 1 or x.shape[1:] != self.frame_shape:
            legal = ", ".join(map(str, ("N", *self.frame_shape)))
            raise AcceleratorError(f"{self.name}: frames of shape {x.shape} do not fit; legal: ({legal})")
        return x

    def _results(self, frames: Any) -> tuple[NDArray[Any], ...]:
        """An array for each output."""
        x = self._checked(frames)
        parts = [self._one_batch(x[at : at + self.batch])[0] for at in range(0, len(x), self.batch)]
        if not parts:
            return self._decode(np.zeros((0, self._model.sink.size), np.int64))
        return tuple(np.concatenate(part) for part in zip(*parts))

    def _encode(self, x: NDArray[Any]) -> NDArray[Any]:
        return self._model.source.check(x if self._model.encode is None else self._model.encode.run(x)[0])

    def _decode(self, integers: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        if self._model.decode is None:
            return (integers.reshape((len(integers), *self._model.sink.shape)),)
        return self._model.decode.run(integers)

    def _core(self, integers: NDArray[Any]) -> Any:
        """The core's output integers (N, size), and the seconds that it took."""
        data = self._model.source.pack(integers)
        with self._lock:
            if self._backend is None:
                raise AcceleratorError(f"{self.name}: is closed; make another Accelerator")
            found, seconds = self._backend.run(data)
        return self._model.sink.unpack(found), seconds

    def _one_batch(self, x: NDArray[Any]) -> Any:
        integers, seconds = self._core(self._encode(x))
        return self._decode(integers), seconds

    def _check_host(self, golden: Golden, count: int) -> None:
        """The host's share on the first `count` golden frames, to the bit."""
        self._same("the host's encoding", golden.inputs[:count], self._encode(golden.frames[:count]))
        for expected, result in zip(golden.results, self._decode(golden.outputs[:count])):
            self._same("the host's decoding", expected[:count], result)

    def _timed(self, x: NDArray[Any]) -> Any:
        begin = time.perf_counter()
        _, seconds = self._one_batch(x)
        return seconds, time.perf_counter() - begin

    def _same(self, what: str, expected: NDArray[Any], found: NDArray[Any]) -> None:
        if expected.shape != found.shape:
            raise AcceleratorError(
                f"{self.name}: {what} gives {found.shape} instead of {expected.shape}; copy the folder again"
            )
        differs = np.argwhere(expected != found)
        if len(differs):
            place = tuple(int(index) for index in differs[0])
            raise AcceleratorError(
                f"{self.name}: selftest on {self.backend}: {what} differs first at frame {place[0]}, "
                f"element {list(place[1:])}: {found[place]} instead of {expected[place]}"
            )


def _labels(scores: NDArray[Any]) -> NDArray[Any]:
    """The only number of each frame, or the place of the first largest."""
    flat = scores.reshape(len(scores), int(np.prod(scores.shape[1:])))
    return flat[:, 0] if flat.shape[1] == 1 else flat.argmax(axis=1)


def _choose(model: Model) -> str:
    """The backend that auto stands for."""
    if model.bitstream is not None and _has_board():
        return "pynq"
    if shutil.which("g++") and (model.folder / SIMULATION).is_dir():
        return "cpp"
    if find_spec("bnn2fpga"):
        return "numpy"
    raise AcceleratorError(
        f"{model.folder}: no backend: neither a bitstream and a board with pynq, nor g++ and the folder "
        f"{SIMULATION}, nor bnn2fpga"
    )


def _has_board() -> bool:
    """Whether pynq is there and sees a device."""
    try:
        import pynq

        return bool(pynq.Device.devices)
    except (ImportError, RuntimeError):
        return False
