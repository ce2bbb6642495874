"""Frames through bnn2fpga's own data mover, as flows from RTL build it; no .hwh, raw registers."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

from .facts import text, whole
from .fault import AcceleratorError
from .model import Model

REGISTERS_FILE = "registers.json"
"""Offsets, bits and constants of the registers, beside the bitstream."""


NEEDED = {
    *("control", "status", "frames", "source_address", "source_bytes"),
    *("destination_address", "destination_bytes"),
}
"""Registers that are read or written, and the bits of them."""
NEEDED_BITS = {
    *("control.start", "control.soft_reset", "status.busy", "status.done"),
    *("status.read_error", "status.write_error", "status.last_error"),
}


@dataclass(frozen=True)
class RegisterMap:
    """Where the registers lie, in bytes from `base`; masks of bits; `constants` are what some must read."""

    base: int
    span: int
    offsets: dict[str, int]
    bits: dict[str, int]
    stalls: dict[str, int]
    constants: dict[str, int]
    alignment: int

    def __post_init__(self) -> None:
        missing = {*NEEDED, *self.constants} - set(self.offsets) or NEEDED_BITS - set(self.bits)
        if missing:
            raise ValueError(f"{', '.join(sorted(missing))} is missing")
        if self.base % 4096 or any(place % 4 for place in (*self.offsets.values(), *self.stalls.values())):
            raise ValueError("addresses that are not aligned")


def read_registers(model: Model) -> RegisterMap:
    """What registers.json says; an AcceleratorError if it is not that of a build."""
    path = model.path(REGISTERS_FILE)
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        span = whole(facts["span"], "span", 4, 1 << 16)
        place = partial(whole, what="offset", low=0, high=span - 4)
        frame = {name: facts[name]["frame_bytes"] for name in ("input", "output")}
        return RegisterMap(
            whole(facts["base_address"], "base_address", 0, 1 << 40),
            span,
            {text(one["name"], "name"): place(one["offset"]) for one in facts["registers"]},
            {
                f"{one['name']}.{name}": 1 << whole(bit, "bit", 0, 31)
                for one in facts["registers"]
                for name, bit in one.get("bits", {}).items()
            },
            {f"stalls {one['source']} to {one['target']}": place(one["offset"]) for one in facts["stalls"]},
            {
                "id": whole(facts["id"], "id"),
                "digest": whole(facts["digest"], "digest"),
                "input_frame_bytes": whole(frame["input"], "frame_bytes", 1),
                "output_frame_bytes": whole(frame["output"], "frame_bytes", 1),
            },
            whole(facts["memory_port"]["alignment"], "alignment", 1, 4096),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        said = " ".join(repr(error).split())[:300]
        raise AcceleratorError(f"{path}: not written by bnn2fpga ({said}); copy it again") from error


class MoverEngine:
    """The registers at a fixed address, and what they do."""

    most_bytes = 1 << 31

    def __init__(self, pynq: Any, registers: RegisterMap, bit: str) -> None:
        self._offsets, self._bits, self._stalls = registers.offsets, registers.bits, registers.stalls
        self._alignment = registers.alignment
        pynq.Bitstream(bit).download()
        self._mmio = pynq.MMIO(registers.base, registers.span)
        self._check(registers.constants, bit)

    def _check(self, constants: dict[str, int], bit: str) -> None:
        for name, value in constants.items():
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
