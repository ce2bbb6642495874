"""Frames through AMD's AXI DMA engine, as the flow `vivado` builds it from HLS; simple mode, no interrupts.

Registers and bits as in PG021.
"""

from __future__ import annotations

import time
from typing import Any

from .fault import AcceleratorError

DMA_IP = "dma"
"""The engine's name in the block design."""


class DmaEngine:
    """One DMA engine with a channel to the core and one back."""

    _REGISTERS = (
        ("MM2S_DMACR", 0x00),
        ("MM2S_DMASR", 0x04),
        ("MM2S_LENGTH", 0x28),
        ("S2MM_DMACR", 0x30),
        ("S2MM_DMASR", 0x34),
        ("S2MM_LENGTH", 0x58),
    )
    _RESET = 0x4
    _HALTED, _IDLE = 0x1, 0x2
    _ERRORS = (
        (0x10, "an internal error: a length of 0, or a packet longer than the buffer (TLAST came late)"),
        (0x20, "a slave error: the memory refused an access"),
        (0x40, "a decode error: an address that does not exist"),
    )

    def __init__(self, pynq: Any, bit: str) -> None:
        overlay = pynq.Overlay(bit)
        try:
            self._dma = getattr(overlay, DMA_IP)
            self._send, self._receive = self._dma.sendchannel, self._dma.recvchannel
            self._mmio = self._dma.mmio
            self.most_bytes = int(self._dma.buffer_max_size)
        except AttributeError as error:
            raise AcceleratorError(
                f"{bit}: its .hwh names no DMA engine {DMA_IP!r} with two channels ({error}); "
                "copy the .bit and the .hwh of one build"
            ) from error

    def registers(self) -> dict[str, int]:
        """The engine's registers by name."""
        return {name: int(self._mmio.read(offset)) for name, offset in self._REGISTERS}

    def start(self, source: Any, sink: Any) -> None:
        """Arms the receiving channel, then sends; both are buffers of whole frames."""
        try:
            self._receive.transfer(sink)
            self._send.transfer(source)
        except (RuntimeError, ValueError) as error:
            busy = "is busy" if "not idle" in str(error) else "did not start"
            raise AcceleratorError(
                f"the DMA engine {busy} ({error}); another program or notebook may use it: end that, then "
                "try again",
                self.registers(),
            ) from error

    def done(self) -> bool:
        """Whether both channels have ended; an AcceleratorError if one has failed."""
        ended = True
        for channel, offset in (("sending", 0x04), ("receiving", 0x34)):
            status = int(self._mmio.read(offset))
            for bit, meaning in self._ERRORS:
                if status & bit:
                    raise AcceleratorError(f"the DMA's {channel} channel reports {meaning}", self.registers())
            if status & self._HALTED:
                raise AcceleratorError(f"the DMA's {channel} channel has halted", self.registers())
            ended = ended and bool(status & self._IDLE)
        return ended

    def finish(self, sink: Any) -> None:
        """Makes what was received visible; an AcceleratorError if TLAST came early."""
        self._send.wait()
        self._receive.wait()
        received = int(self._mmio.read(0x58))
        if received != sink.nbytes:
            raise AcceleratorError(
                f"a short transfer: {received} of {sink.nbytes} bytes came back before TLAST; the bitstream "
                "is not of this model, or the core has lost frames",
                self.registers(),
            )

    def why_hanging(self) -> str:
        """What the registers say of a transfer that does not end."""
        if not int(self._mmio.read(0x04)) & self._IDLE:
            return "the core does not take all of its input"
        return "all input was taken, but the output does not end (fewer frames, or no TLAST)"

    def recover(self) -> bool:
        """Resets the engine, so that it writes no memory any more; False: the core must be loaded again."""
        self._mmio.write(0x00, self._RESET)
        deadline = time.monotonic() + 0.1
        while int(self._mmio.read(0x00)) & self._RESET and time.monotonic() < deadline:
            pass
        return False
