"""The accelerator on a board under PYNQ: bitstream, clock, buffers, and a wait that always ends."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from .dma import DmaEngine
from .fault import AcceleratorError
from .model import Model
from .mover import MoverEngine, read_registers

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLOCK_TOLERANCE = 0.01
"""How far the fabric's clock may be from the one that the design was timed for, relative."""
SPINNING = 0.002
"""Seconds of asking without a pause; then others get the processor between two questions."""


class PynqBackend:
    """Buffers for `frames` frames; loads the bitstream at once, and again after a failure that needs it."""

    name = "pynq"

    def __init__(self, model: Model, frames: int, timeout: float) -> None:
        if model.bitstream is None:
            raise AcceleratorError(
                f"{model.folder}: holds no bitstream (flow {model.flow}); legal backends: cpp, numpy; "
                "build with --flow vivado or --flow openxc7 for a board"
            )
        try:
            import pynq
        except ImportError as error:
            raise AcceleratorError(
                f"backend pynq: {error}; it is part of the board's PYNQ image (run as root, in its Python)"
            ) from error
        self._pynq: Any = pynq
        self._model, self._bitstream, self._timeout = model, model.bitstream, timeout
        self._buffers: list[Any] = []
        engine = self._load()
        self._engine: DmaEngine | MoverEngine | None = engine
        most = engine.most_bytes // max(model.source.frame_bytes, model.sink.frame_bytes)
        if most < 1:
            raise AcceleratorError(
                f"{model.name}: a frame has more than the {engine.most_bytes} bytes of one transfer"
            )
        self.most_frames = min(frames, most)
        self._allocate()

    def _load(self) -> DmaEngine | MoverEngine:
        """Clock, bitstream, and checks of what a wrong setting would corrupt silently."""
        bit = str(self._model.path(self._bitstream.file).absolute())
        try:
            engine = self._engine_of(bit)
            self._check_clock()
            self._check_memory_port()
        except AcceleratorError:
            raise
        # pynq's errors are of every kind
        except Exception as error:
            raise AcceleratorError(
                f"{bit}: pynq cannot load it ({error!r}); copy the folder again, or boot the board again"
            ) from error
        return engine

    def _engine_of(self, bit: str) -> DmaEngine | MoverEngine:
        model = self._model
        if self._bitstream.transport == "dma":
            # pynq looks for it beside the .bit, and sets the clocks that it names
            model.path(self._bitstream.file.rsplit(".", 1)[0] + ".hwh")
            return DmaEngine(self._pynq, bit)
        registers = read_registers(model)
        self._set_clock()
        return MoverEngine(self._pynq, registers, bit)

    def _set_clock(self) -> None:
        self._pynq.Clocks.fclk0_mhz = self._model.clock_mhz

    def _check_clock(self) -> None:
        wanted = self._model.clock_mhz
        if abs(self.clock_mhz - wanted) > CLOCK_TOLERANCE * wanted:
            self._set_clock()
        if abs(self.clock_mhz - wanted) > CLOCK_TOLERANCE * wanted:
            raise AcceleratorError(
                f"the fabric's clock is {self.clock_mhz:g} MHz, the design was built for {wanted:g} and the "
                "board cannot make that; build with --clock and a clock of this board"
            )

    def _check_memory_port(self) -> None:
        """The Zynq-7000's port S_AXI_HP0 must have 64 bits; another program may have made it 32."""
        for address in self._bitstream.memory_port_registers:
            if int(self._pynq.MMIO(address, 4).read(0)) & 1:
                raise AcceleratorError(
                    f"memory port S_AXI_HP0 is set to 32 bits (bit 0 of 0x{address:08x}), data would be "
                    "corrupted; boot the board again without what set it"
                )

    def _allocate(self) -> None:
        model = self._model
        for what, size in (("input", model.source.frame_bytes), ("output", model.sink.frame_bytes)):
            wanted = size * self.most_frames
            try:
                buffer = self._pynq.allocate(shape=(wanted,), dtype=np.uint8)
            except (RuntimeError, MemoryError, OSError) as error:
                self._free()
                raise AcceleratorError(
                    f"no contiguous memory (CMA) for {self.most_frames} {what} frames, {wanted} bytes "
                    f"({error}); give a smaller batch, or free the buffers of other programs"
                ) from error
            self._buffers.append(buffer)
        # no line of the cache may be written back over what the hardware writes
        self._buffers[1].flush()

    def _free(self) -> None:
        while self._buffers:
            self._buffers.pop().freebuffer()

    @property
    def clock_mhz(self) -> float:
        """The fabric's clock as the processor makes it."""
        return float(self._pynq.Clocks.fclk0_mhz)

    def run(self, data: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
        """Output bytes (N, frame bytes) of input bytes (N, frame bytes), and the seconds of the transfer.

        N is 1 to `most_frames`. After an error the buffers are free and the hardware is reset.
        """
        try:
            engine = self._engine = self._engine or self._load()
            if not self._buffers:
                self._allocate()
            source = self._buffers[0][: data.size]
            sink = self._buffers[1][: len(data) * self._model.sink.frame_bytes]
            source[:] = data.reshape(-1)
            begin = time.perf_counter()
            engine.start(source, sink)
            self._wait(engine, len(data))
            seconds = time.perf_counter() - begin
            engine.finish(sink)
            return np.array(sink, subok=False).reshape(len(data), -1), seconds
        except BaseException as error:
            source = sink = None
            self._stop()
            if isinstance(error, AcceleratorError) or not isinstance(error, Exception):
                raise
            raise AcceleratorError(f"{self._model.name}: a transfer failed in pynq ({error!r})") from error

    def _wait(self, engine: DmaEngine | MoverEngine, frames: int) -> None:
        begin = time.monotonic()
        planned = frames * self._model.frame_clocks / (1e6 * self._model.clock_mhz)
        limit = self._timeout + 10 * planned
        while not engine.done():
            waited = time.monotonic() - begin
            if waited > limit:
                raise AcceleratorError(
                    f"{self._model.name}: {frames} frames did not come back within {limit:.3g} s: "
                    f"{engine.why_hanging()}",
                    engine.registers(),
                )
            if waited > SPINNING:
                time.sleep(0.0001)

    def _stop(self) -> None:
        """Ends what the hardware may still write, then frees the buffers."""
        if self._engine is not None and not self._engine.recover():
            self._engine = None
        self._free()

    def close(self) -> None:
        """Frees the buffers; the bitstream stays loaded."""
        self._free()
