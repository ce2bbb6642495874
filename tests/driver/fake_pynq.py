"""A stand-in for pynq 3.0.1 and the board below it; the accelerator core in it is a function on bytes.

Memory is not coherent: a buffer's bytes reach the board with `flush`, and come back with `invalidate`. The
DMA channels check and write what pynq's do; the data mover has the registers of registers.json. Faults are
switched on by name. numpy only, Python 3.8 or newer, as it goes to old Pythons with the driver.
"""

from __future__ import annotations

import json
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

FAULTS = {
    "short": "the core loses a frame, TLAST comes early",
    "no_tlast": "TLAST never comes",
    "hang": "the core takes no input",
    "busy": "another program has started a transfer",
    "memory": "the memory refuses an access",
    "interrupt": "Ctrl-C while waiting",
    "no_cma": "no contiguous memory for more than one buffer",
    "clock": "the clock stays at 50 MHz",
    "narrow_port": "the memory port is 32 bits wide",
    "other_design": "another bitstream answers",
}
PAGE = 4096
Core = "Callable[[Any], Any]"


class Buffer(np.ndarray):
    """pynq.buffer.PynqBuffer: a cache above the board's memory."""

    board: Board
    device_address: int

    def __array_finalize__(self, obj: Any) -> None:
        if isinstance(obj, Buffer) and hasattr(obj, "board"):
            offset = self.__array_interface__["data"][0] - obj.__array_interface__["data"][0]
            self.board, self.device_address = obj.board, obj.device_address + offset

    @property
    def physical_address(self) -> int:
        return self.device_address

    def flush(self) -> None:
        self.board.memory(self.device_address, self.nbytes)[:] = self.view(np.ndarray)

    def invalidate(self) -> None:
        self.view(np.ndarray)[:] = self.board.memory(self.device_address, self.nbytes)

    def freebuffer(self) -> None:
        self.board.buffers.pop(self.device_address, None)


class Registers:
    """An MMIO object over functions."""

    def __init__(self, read: Callable[[int], int], write: Callable[[int, int], None]) -> None:
        self._read, self._write = read, write

    def read(self, offset: int = 0, length: int = 4) -> int:
        return self._read(offset)

    def write(self, offset: int, value: int) -> None:
        assert type(value) is int, f"pynq takes int, not {type(value)}"
        self._write(offset, value)


class Board:
    """The hardware: memory, clock, what is in the fabric; counters and a log of what was done to it."""

    def __init__(self, core: Core, in_bytes: int, out_bytes: int, folder: Path) -> None:
        self.core, self.in_bytes, self.out_bytes, self.folder = core, in_bytes, out_bytes, folder
        self.faults: set[str] = set()
        self.buffers: dict[int, Any] = {}
        self.next_address = 0x1000_0000
        self.clock = 50.0
        self.downloads = 0
        self.longest = (1 << 26) - 1
        self.log: list[str] = []

    def memory(self, address: int, size: int) -> Any:
        """A view of `size` bytes; they must lie in one live buffer."""
        for start, data in self.buffers.items():
            if start <= address and address + size <= start + len(data):
                return data[address - start : address - start + size]
        raise AssertionError(f"0x{address:x} is in no buffer: freed, or never allocated")

    def allocate(self, shape: Any, dtype: Any = "u4", target: Any = None) -> Buffer:
        if "no_cma" in self.faults and self.buffers:
            raise RuntimeError("Allocate failed: 4294967295")
        array = np.zeros(shape, dtype).view(Buffer)
        array.board, array.device_address = self, self.next_address
        self.buffers[self.next_address] = np.full(array.nbytes, 0xA5, np.uint8)
        self.next_address += -(-array.nbytes // PAGE) * PAGE
        return array

    def answer(self, data: Any) -> Any:
        """What the core gives for the bytes of whole frames."""
        assert len(data) and len(data) % self.in_bytes == 0, "not whole frames"
        found = self.core(data.reshape(-1, self.in_bytes)).reshape(-1)
        return found[: -self.out_bytes] if "short" in self.faults else found

    def mmio(self, address: int, length: int = 4, device: Any = None) -> Registers:
        if address >= 0xF800_0000:
            return Registers(lambda offset: int("narrow_port" in self.faults), lambda offset, value: None)
        return Mover(self, json.loads((self.folder / "registers.json").read_text())).mmio

    def module(self) -> types.ModuleType:
        """`import pynq` on this board."""
        board = self

        class Clocks:
            @property
            def fclk0_mhz(self) -> float:
                return board.clock

            @fclk0_mhz.setter
            def fclk0_mhz(self, value: float) -> None:
                if "clock" not in board.faults:
                    board.clock = 1000 / round(1000 / value)

        class Bitstream:
            def __init__(self, name: str) -> None:
                assert isinstance(name, str) and Path(name).is_absolute() and Path(name).is_file()

            def download(self) -> None:
                board.downloads += 1

        class Overlay(Bitstream):
            def __init__(self, name: str) -> None:
                super().__init__(name)
                assert Path(name).with_suffix(".hwh").is_file(), "pynq needs the .hwh"
                self.download()
                if not board.faults & {"other_design"}:
                    self.dma = Dma(board)

        module: Any = types.ModuleType("pynq")
        module.Clocks, module.Bitstream, module.Overlay = Clocks(), Bitstream, Overlay
        module.MMIO, module.allocate = board.mmio, board.allocate
        module.Device = types.SimpleNamespace(devices=[board])
        return module


class Dma:
    """pynq.lib.dma.DMA and AXI DMA in simple mode; registers as in PG021."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.registers = dict.fromkeys((0x00, 0x18, 0x28, 0x30, 0x48, 0x58), 0)
        self.status = {0x00: 1, 0x30: 1}
        self.armed: dict[int, int] = {}
        self.mmio = Registers(self._read, self._write)
        self.buffer_max_size = board.longest
        self.sendchannel, self.recvchannel = Channel(self, 0x00), Channel(self, 0x30)
        if "busy" in board.faults:
            for channel in (self.sendchannel, self.recvchannel):
                channel.first = False

    def _read(self, offset: int) -> int:
        if offset % 0x30 == 4:
            if "interrupt" in self.board.faults and self.armed:
                raise KeyboardInterrupt
            return self.status[offset - 4]
        return self.registers[offset]

    def _write(self, offset: int, value: int) -> None:
        base = offset // 0x30 * 0x30
        if offset == base and value & 4:
            self.board.log.append("reset")
            self.status, self.armed = {0x00: 1, 0x30: 1}, {}
        elif offset == base:
            self.registers[offset], self.status[base] = value, 0 if value & 1 else 1
        elif offset - base in (0x18, 0x28):
            self.registers[offset] = value
            if offset - base == 0x28:
                self._arm(base, value)

    def _arm(self, base: int, length: int) -> None:
        self.board.log.append("receive" if base else "send")
        self.armed[base], self.status[base] = length, 0
        if len(self.armed) < 2 or "hang" in self.board.faults:
            return
        if "memory" in self.board.faults:
            self.status[0x30] = 0x41
            return
        sent, size = self.board.memory(self.registers[0x18], self.armed[0x00]), self.armed[0x30]
        self.status[0x00] = 2
        found = self.board.answer(sent)
        assert len(found) <= size, "more than the buffer takes"
        self.board.memory(self.registers[0x48], len(found))[:] = found
        if "no_tlast" not in self.board.faults:
            self.registers[0x58], self.status[0x30] = len(found), 2
        self.armed = {}


class Channel:
    """pynq.lib.dma._SDMAChannel without interrupts; the checks are pynq's."""

    def __init__(self, dma: Dma, offset: int) -> None:
        self.dma, self.offset, self.first, self.active = dma, offset, True, None
        dma.mmio.write(offset, 1)

    def transfer(self, array: Any, start: int = 0, nbytes: int = 0) -> None:
        status = self.dma.mmio.read(self.offset + 4)
        if status & 1:
            raise RuntimeError("DMA channel not started")
        if not status & 2 and not self.first:
            raise RuntimeError("DMA channel not idle")
        nbytes = nbytes or array.nbytes - start
        if nbytes > self.dma.buffer_max_size:
            raise ValueError(f"Transfer size is {nbytes} bytes, which exceeds the maximum DMA buffer size")
        if (array.physical_address + start) % 8:
            raise RuntimeError("DMA does not support unaligned transfers")
        if self.offset == 0:
            array.flush()
        self.dma.mmio.write(self.offset + 0x18, array.physical_address + start)
        self.dma.mmio.write(self.offset + 0x28, nbytes)
        self.active, self.first = array, False

    def wait(self) -> None:
        while not self.dma.mmio.read(self.offset + 4) & 2:
            pass
        if self.offset:
            assert self.active is not None
            self.active.invalidate()


class Mover:
    """zynq/registers.sv and zynq/mover.sv, as registers.json describes them."""

    def __init__(self, board: Board, facts: Any) -> None:
        self.board = board
        self.offsets = {register["name"]: register["offset"] for register in facts["registers"]}
        self.names = {offset: name for name, offset in self.offsets.items()}
        bits = {register["name"]: register.get("bits", {}) for register in facts["registers"]}
        self.control, self.status = bits["control"], bits["status"]
        self.values = dict.fromkeys(self.offsets, 0)
        self.values["id"] = facts["id"]
        self.values["digest"] = facts["digest"] ^ ("other_design" in board.faults)
        self.values["input_frame_bytes"] = facts["input"]["frame_bytes"]
        self.values["output_frame_bytes"] = facts["output"]["frame_bytes"]
        self.values["status"] = self._bits("busy") if "busy" in board.faults else 0
        self.mmio = Registers(self._read, self._write)

    def _bits(self, *names: str) -> int:
        return sum(1 << self.status[name] for name in names)

    def _read(self, offset: int) -> int:
        name = self.names.get(offset, "")
        if "interrupt" in self.board.faults and name == "status" and self.values["status"]:
            raise KeyboardInterrupt
        return self.values.get(name, 0)

    def _write(self, offset: int, value: int) -> None:
        name = self.names[offset]
        if name != "control":
            self.values[name] = value
        elif value & 1 << self.control["soft_reset"]:
            self.board.log.append("reset")
            self.values["status"] = 0
        elif value & 1 << self.control["start"]:
            self.board.log += ["receive", "send"]
            self.values["status"] = self._bits(*self._transfer())

    def _transfer(self) -> list[str]:
        faults, values = self.board.faults, self.values
        if faults & {"hang", "interrupt"}:
            return ["busy"]
        if "memory" in faults:
            return ["done", "read_error"]
        source = self.board.memory(values["source_address"], values["source_bytes"])
        found = self.board.answer(source)
        self.board.memory(values["destination_address"], len(found))[:] = found
        if len(found) != values["destination_bytes"]:
            return ["busy", "last_error"]
        return ["done", "last_error"] if "no_tlast" in faults else ["done"]
