"""A block RAM of 18 Kbit; one of 36 Kbit is two of them, whose even and odd bits take turns.

With ports of 9 bits, each half of one of 36 Kbit gives four, and the lower half gives the parity bit of both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bnn2fpga.bitstream.features import Configuration
from bnn2fpga.bitstream.netlist import (
    HIGH,
    LOW,
    WITH_SHARED,
    BlockMemory,
    ReadPort,
    WritePort,
    inverted,
)
from bnn2fpga.errors import BitstreamError

ROWS, PARITY_ROWS, ROW_BITS = 64, 8, 256
WIDTHS = (1, 2, 4, 9, 18)
_REFUSED = (
    "RAMB36.BRAM36_READ_WIDTH_A_1",
    "RAMB36.BRAM36_READ_WIDTH_B_1",
    "RAMB36.BRAM36_WRITE_WIDTH_A_1",
    "RAMB36.BRAM36_WRITE_WIDTH_B_1",
    "RAMB36.EN_ECC_READ",
    "RAMB36.EN_ECC_WRITE",
    "RAMB36.RAM_EXTENSION_A_LOWER",
    "RAMB36.RAM_EXTENSION_B_LOWER",
    "EN_SYN",
    "FIRST_WORD_FALL_THROUGH",
)
_PINS = {
    "A": ("ADDRARDADDR", "CLKARDCLK", "ENARDEN", "RSTRAMARSTRAM", "RSTREGARSTREG", "REGCEAREGCE", "WEA"),
    "B": ("ADDRBWRADDR", "CLKBWRCLK", "ENBWREN", "RSTRAMB", "RSTREGB", "REGCEB", "WEBWE"),
}


@dataclass(frozen=True)
class BlockRam:
    """A block RAM: `name` for its nets, the half of its tile (0, 1), and `wire`, the net on an input pin."""

    name: str
    half: int
    configuration: Configuration
    wire: Callable[[str], str]

    def memory(self) -> BlockMemory:
        """The memory with the ports that have a clock."""
        wrong = [feature for feature in _REFUSED if feature in self.configuration.set]
        if self._has("FIFO_MODE"):
            wrong.append("FIFO_MODE")
        if wrong or not self._has("IN_USE"):
            raise BitstreamError(f"{self.name}: {wrong[0] if wrong else 'not IN_USE'} is not read back")
        for vector in ("ZINIT_A", "ZINIT_B", "ZSRVAL_A", "ZSRVAL_B"):
            if self._value(vector) != 0x3FFFF:
                raise BitstreamError(f"{self.name}: {vector[1:]} is not 0, which is not read back")
        wide_read, wide_write = self._has("SDP_READ_WIDTH_36"), self._has("SDP_WRITE_WIDTH_36")
        return BlockMemory(
            self.name,
            self._rows("INIT", ROWS),
            self._rows("INITP", PARITY_ROWS),
            self._shared_parity(),
            (
                (self._reads("A", wide_read), None if wide_write else self._writes("A", False)),
                (None if wide_read else self._reads("B", False), self._writes("B", wide_write)),
            ),
        )

    def _has(self, feature: str) -> bool:
        return f"RAMB18_Y{self.half}.{feature}" in self.configuration.set

    def _value(self, vector: str, half: int | None = None) -> int:
        return self.configuration.values.get(f"RAMB18_Y{self.half if half is None else half}.{vector}", 0)

    def _rows(self, name: str, count: int, half: int | None = None) -> int:
        return sum(self._value(f"{name}_{row:02X}", half) << (ROW_BITS * row) for row in range(count))

    def _shared_parity(self) -> int:
        """The parity bits of both halves of the tile, which take turns."""
        count = PARITY_ROWS * ROW_BITS
        lower, upper = (f"{self._rows('INITP', PARITY_ROWS, half):0{count}b}"[::-1] for half in (0, 1))
        return int("".join(low + high for low, high in zip(lower, upper, strict=True))[::-1], 2)

    def _input(self, pin: str, invertible: str = "") -> str:
        """The net on a pin, inverted unless the bits say that it is not."""
        net = self.wire(pin)
        if self._has(f"ZINV_{invertible or pin}"):
            return net
        return inverted(net)

    def _width(self, name: str) -> int:
        width = next(width for width in (*WIDTHS[::-1],) if width == 1 or self._has(f"{name}_{width}"))
        return WITH_SHARED if width == 4 and self.half == 0 else width

    def _clock(self, side: str) -> str | None:
        """The clock of a side, None without one; the falling edge is not read back."""
        net = self._input(_PINS[side][1])
        if net in (LOW, HIGH):
            return None
        if net.startswith("!"):
            raise BitstreamError(f"{self.name}: clock {side} falls, which is not read back")
        return net

    def _address(self, side: str) -> tuple[str, ...]:
        return tuple(self.wire(f"{_PINS[side][0]}{index}") for index in range(14))

    def _reads(self, side: str, wide: bool) -> ReadPort | None:
        _, _, enable, reset, register_reset, register_enable, _ = _PINS[side]
        clock, net = self._clock(side), self._input(enable)
        if clock is None or net == LOW:
            return None
        width = 36 if wide else self._width(f"READ_WIDTH_{side}")
        modes = [mode for mode in ("READ_FIRST", "NO_CHANGE") if self._has(f"WRITE_MODE_{side}_{mode}")]
        registered = self._has(f"DO{side}_REG")
        return ReadPort(
            width,
            tuple(f"{self.name}_{pin}" for pin in _data_pins("DO", side, width)),
            self._address(side),
            clock,
            net,
            self._input(reset),
            modes[0] if modes else "WRITE_FIRST",
            registered,
            self.wire(register_enable) if registered else HIGH,
            self._input(register_reset) if registered else LOW,
        )

    def _writes(self, side: str, wide: bool) -> WritePort | None:
        clock, net = self._clock(side), self._input(_PINS[side][2])
        width = 36 if wide else self._width(f"WRITE_WIDTH_{side}")
        enables = self._enables(side, width)
        if clock is None or net == LOW or all(enable == LOW for enable in enables):
            return None
        data = tuple(self.wire(pin) for pin in _data_pins("DI", side, width))
        return WritePort(width, data, enables, self._address(side), clock, net)

    def _enables(self, side: str, width: int) -> tuple[str, ...]:
        """The write enable of each bit: every four bits of data have one, a parity bit one of its byte's two.

        In a RAM of 36 Kbit a byte is four bits of each half, and the halves share the parity bits.
        """
        bits = width // 9 * 8 if width >= 9 else min(width, 4)
        pins = [self.wire(f"{_PINS[side][6]}{group}") for group in range(max(1, bits // 4))]
        if width == WITH_SHARED:
            return tuple(pins * WITH_SHARED)
        parity = [pins[2 * byte + self.half] for byte in range(width // 9)]
        return (*(pins[bit // 4] for bit in range(bits)), *parity)


def _data_pins(kind: str, side: str, width: int) -> list[str]:
    """The pins of a port of `width`, parity after data; a port of 36 has those of both sides."""
    sides = "AB" if width == 36 else side
    each = min(width, 18)
    bits, parity = (each // 9 * 8, each // 9) if each >= 9 else (min(each, 4), each // WITH_SHARED)
    data = [f"{kind}{own}{kind}{bit}" for own in sides for bit in range(bits)]
    return data + [f"{kind[0]}{kind[1]}P{own}{kind}P{bit}" for own in sides for bit in range(parity)]
