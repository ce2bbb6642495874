"""Frames through bnn2fpga's own data mover, as flows from RTL build it; no .hwh, raw registers."""

from __future__ import annotations

import json
import time
from typing import Any

from .fault import AcceleratorError
from .model import Model

REGISTERS_FILE = "registers.json"
"""Offsets, bits and constants of the registers, beside the bitstream."""


class MoverEngine:
    """The registers at a fixed address, and what they do."""

    most_bytes = 1 << 31

    def __init__(self, pynq: Any, model: Model, bit: str) -> None:
        facts = json.loads(model.path(REGISTERS_FILE).read_text(encoding="utf-8"))
        self._offsets = {register["name"]: int(register["offset"]) for register in facts["registers"]}
        self._bits = {
            f"{register['name']}.{name}": 1 << int(bit)
            for register in facts["registers"]
            for name, bit in register.get("bits", {}).items()
        }
        self._stalls = {
            f"stalls {stall['source']} to {stall['target']}": int(stall["offset"])
            for stall in facts["stalls"]
        }
        self._alignment = int(facts["memory_port"]["alignment"])
        pynq.Bitstream(bit).download()
        self._mmio = pynq.MMIO(int(facts["base_address"]), int(facts["span"]))
        self._check(facts, bit)

    def _check(self, facts: dict[str, Any], bit: str) -> None:
        expected = {
            "id": facts["id"],
            "digest": facts["digest"],
            "input_frame_bytes": facts["input"]["frame_bytes"],
            "output_frame_bytes": facts["output"]["frame_bytes"],
        }
        for name, value in expected.items():
            found = self._read(name)
            if found != value:
                raise AcceleratorError(
                    f"{bit}: register {name} reads 0x{found:08x}, not 0x{value:08x}: another design is in "
                    "the fabric; end what uses it, or copy the whole folder again"
                )

    def _read(self, name: str) -> int:
        return int(self._mmio.read(self._offsets[name]))

    def _write(self, name: str, value: int) -> None:
        self._mmio.write(self._offsets[name], value)

    def registers(self) -> dict[str, int]:
        """All registers and stall counters by name."""
        offsets = {**self._offsets, **self._stalls}
        return {name: int(self._mmio.read(offset)) for name, offset in offsets.items()}

    def start(self, source: Any, sink: Any) -> None:
        """Tells the mover both buffers, which hold whole frames; it receives and sends at once."""
        if self._read("status") & self._bits["status.busy"]:
            raise AcceleratorError(
                "the data mover is busy; another program or notebook may use it: end that, then try again",
                self.registers(),
            )
        for name, buffer in (("destination", sink), ("source", source)):
            address = int(buffer.physical_address)
            if address % self._alignment or address >= 1 << 32:
                raise AcceleratorError(
                    f"the {name} buffer is at 0x{address:x}; legal: multiples of {self._alignment} below "
                    "4 GiB"
                )
            self._write(f"{name}_address", address)
            self._write(f"{name}_bytes", int(buffer.nbytes))
        source.flush()
        self._write("control", self._bits["control.start"])

    def done(self) -> bool:
        """Whether the transfer has ended; an AcceleratorError if it has failed."""
        status = self._read("status")
        errors = {
            "read_error": "the memory refused a read",
            "write_error": "the memory refused a write",
            "last_error": "TLAST came early, late or never: the output is not as long as it must be",
        }
        for name, meaning in errors.items():
            if status & self._bits[f"status.{name}"]:
                raise AcceleratorError(f"the data mover reports {name}: {meaning}", self.registers())
        return bool(status & self._bits["status.done"])

    def finish(self, sink: Any) -> None:
        """Makes what was received visible."""
        sink.invalidate()

    def why_hanging(self) -> str:
        """What the registers say of a transfer that does not end."""
        return f"{self._read('frames')} frames have left the core since it was loaded"

    def recover(self) -> bool:
        """Resets mover and core; True if that came to its end, so that both can be used on."""
        self._write("control", self._bits["control.soft_reset"])
        deadline = time.monotonic() + 0.1
        while time.monotonic() < deadline:
            if not self._read("control") & self._bits["control.soft_reset"]:
                return True
        return False
