"""The insides of a slice: what drives each of its output pins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bnn2fpga.bitstream.features import Configuration
from bnn2fpga.bitstream.netlist import HIGH, LOW, FlipFlop, Table, TableMemory, inverted
from bnn2fpga.errors import BitstreamError

LETTERS = "ABCD"
XOR, MULTIPLEXER = 0x6, 0xCA
"""Tables of two inputs, and of a choice: input 2 chooses input 1 over input 0."""
Cell = Table | FlipFlop | TableMemory


@dataclass(frozen=True)
class Slice:
    """A slice: `name` for its nets, its site's name in features, and `wire`, the net on an input pin.

    Its outputs and the nets inside are named by what drives them: AO6, AO5 (tables), AQ, A5Q (flip-flops),
    ACY, AXOR (carry chain), AF7, BF8 (multiplexers).
    """

    name: str
    site: str
    configuration: Configuration
    wire: Callable[[str], str]

    def pin(self, pin: str) -> str:
        """The inner net behind an output pin."""
        if pin == "COUT":
            return "DCY"
        letter, rest = pin[0], pin[1:]
        if rest == "":
            return f"{letter}O6"
        return f"{letter}Q" if rest == "Q" else self._inner(letter, f"{letter}OUTMUX")

    def cell(self, inner: str) -> tuple[Cell, tuple[str, ...]]:
        """The cell that drives an inner net, and the inner nets that it reads."""
        letter, kind = inner[0], inner[1:]
        if kind in ("O5", "O6"):
            return self._table(letter, kind), ()
        if kind in ("Q", "5Q"):
            return self._flipflop(letter, kind)
        if kind in ("CY", "XOR"):
            return self._carry(letter, kind)
        return self._multiplexer(inner)

    def net(self, inner: str) -> str:
        """The name of an inner net in the netlist."""
        return inner if inner in (LOW, HIGH) else f"{self.name}_{inner}"

    def _has(self, feature: str) -> bool:
        return f"{self.site}.{feature}" in self.configuration.set

    def _chosen(self, multiplexer: str, options: tuple[str, ...]) -> str:
        """Which option a multiplexer is set to."""
        chosen = [option for option in options if self._has(f"{multiplexer}.{option}")]
        if len(chosen) != 1:
            what = " and ".join(chosen) or "nothing"
            raise BitstreamError(f"{self.name}: {multiplexer} chooses {what}, its output is used")
        return chosen[0]

    def _inner(self, letter: str, multiplexer: str) -> str:
        """The inner net that an output multiplexer, or that of a flip-flop, takes; a pin starts with '@'."""
        options = (f"{letter}5Q", f"{letter}X", "CY", "XOR", "F7", "F8", "O5", "O6", "MC31")
        chosen = self._chosen(multiplexer, options)
        if chosen == "MC31":
            raise BitstreamError(f"{self.name}: is a shift register, which is not read back; use -nosrl")
        if chosen == f"{letter}X":
            return f"@{chosen}"
        return chosen if chosen == f"{letter}5Q" else f"{letter}{chosen}"

    def _read(self, inner: str) -> tuple[str, tuple[str, ...]]:
        """The net of an inner one or of a pin, and the inner nets that it needs."""
        return (self.wire(inner[1:]), ()) if inner.startswith("@") else (self.net(inner), (inner,))

    def _table(self, letter: str, kind: str) -> Cell:
        init = self.configuration.values.get(f"{self.site}.{letter}LUT.INIT", 0)
        count = 6 if kind == "O6" else 5
        output = self.net(f"{letter}{kind}")
        if self._has(f"{letter}LUT.SRL"):
            raise BitstreamError(f"{self.name}: {letter}LUT is a shift register, which is not read back")
        if self._has(f"{letter}LUT.RAM"):
            return self._memory(letter, kind, init, output)
        pins = tuple(f"{letter}{index}" for index in range(1, count + 1))
        return reduced(output, init & ((1 << (1 << count)) - 1), tuple(map(self.wire, pins)))

    def _memory(self, letter: str, kind: str, init: int, output: str) -> TableMemory:
        """A table as memory: of 64 bits, or of two times 32. All of a slice have the address pins of D."""
        small = self._has(f"{letter}LUT.SMALL")
        count = 5 if small or kind == "O5" else 6
        bits = 1 << count
        upper = small and kind == "O6"
        data = self.wire(f"{letter}X") if upper else self._data(letter)
        enables = [self._write_enable()]
        for pin, used, low in (("CX", "WA7USED", letter in "BD"), ("BX", "WA8USED", letter in "CD")):
            if self._has(used):
                enables.append(inverted(self.wire(pin)) if low else self.wire(pin))
        return TableMemory(
            output,
            (init >> 32 if upper else init) & ((1 << bits) - 1),
            tuple(self.wire(f"{letter}{index}") for index in range(1, count + 1)),
            tuple(self.wire(f"D{index}") for index in range(1, count + 1)),
            data,
            tuple(enables),
            self._clock(),
        )

    def _data(self, letter: str) -> str:
        """What is written to the first data input of a table: its own pin, or that of the next one."""
        if letter == "D" or self._has(f"{letter}LUT.DI1MUX.{letter}I"):
            return self.wire("DI" if letter == "D" else f"{letter}I")
        if letter == "A":
            return self._data("B")
        return self.wire("DI")

    def _write_enable(self) -> str:
        return self.wire("CE" if self._has("WEMUX.CE") else "WE")

    def _clock(self) -> str:
        if self._has("CLKINV"):
            raise BitstreamError(f"{self.name}: a memory at the falling edge of the clock is not read back")
        return self.wire("CLK")

    def _flipflop(self, letter: str, kind: str) -> tuple[Cell, tuple[str, ...]]:
        if self._has("LATCH"):
            raise BitstreamError(f"{self.name}: holds a latch, which is not read back")
        own = f"{letter}FF" if kind == "Q" else f"{letter}5FF"
        if kind == "Q":
            inner = self._inner(letter, f"{own}MUX")
        else:
            first = self._chosen(f"{own}MUX", ("IN_A", "IN_B")) == "IN_A"
            inner = f"{letter}O5" if first else f"@{letter}X"
        data, needs = self._read(inner)
        return (
            FlipFlop(
                self.net(f"{letter}{kind}"),
                data,
                self.wire("CLK"),
                self._has("CLKINV"),
                self.wire("CE") if self._has("CEUSEDMUX") else HIGH,
                self.wire("SR") if self._has("SRUSEDMUX") else LOW,
                0 if self._has(f"{own}.ZINI") else 1,
                0 if self._has(f"{own}.ZRST") else 1,
                self._has("FFSYNC"),
            ),
            needs,
        )

    def _carry(self, letter: str, kind: str) -> tuple[Cell, tuple[str, ...]]:
        """A bit of the chain: its sum, or the carry, which is the one before or the table's other input."""
        if letter == "A":
            before, needs = self._start(), list[str]()
        else:
            inner = f"{LETTERS[LETTERS.index(letter) - 1]}CY"
            before, needs = self.net(inner), [inner]
        output, choice = self.net(f"{letter}{kind}"), f"{letter}O6"
        if kind == "XOR":
            return Table(output, XOR, (self.net(choice), before)), (*needs, choice)
        other = f"{letter}O5" if self._has(f"CARRY4.{letter}CY0") else f"@{letter}X"
        data, more = self._read(other)
        return Table(output, MULTIPLEXER, (data, before, self.net(choice))), (*needs, choice, *more)

    def _start(self) -> str:
        if self._has("PRECYINIT.CIN"):
            return self.wire("CIN")
        if self._has("PRECYINIT.AX"):
            return self.wire("AX")
        return HIGH if self._has("PRECYINIT.C1") else LOW

    def _multiplexer(self, inner: str) -> tuple[Cell, tuple[str, ...]]:
        choices = {"AF7": ("BO6", "AO6", "AX"), "CF7": ("DO6", "CO6", "CX"), "BF8": ("CF7", "AF7", "BX")}
        if inner not in choices:
            raise BitstreamError(f"{self.name}: has no {inner}")
        low, high, choice = choices[inner]
        nets = (self.net(low), self.net(high), self.wire(choice))
        return Table(self.net(inner), MULTIPLEXER, nets), (low, high)


def reduced(output: str, init: int, nets: tuple[str, ...]) -> Table:
    """A table without constant inputs and those that it does not depend on; the first counts least."""
    used: list[str] = []
    for constants in (True, False):
        left, nets, used = nets, (), []
        for net in left:
            size = 1 << len(used)
            halves = [_half(init, size, which) for which in (0, 1)]
            if constants and net in (LOW, HIGH):
                init = halves[net == HIGH]
            elif not constants and halves[0] == halves[1]:
                init = halves[0]
            else:
                used.append(net)
        nets = tuple(used)
    return Table(output, init, nets)


def _half(init: int, size: int, which: int) -> int:
    """Every second group of `size` bits of a table, of up to 64 bits, joined."""
    result, at = 0, 0
    mask = (1 << size) - 1
    for start in range(which * size, 64, 2 * size):
        result |= (init >> start & mask) << at
        at += size
    return result
