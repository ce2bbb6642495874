"""The longest path of a routed design in the names of kernels and signals, which synthesis leaves few of."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from bnn2fpga.tools.netlist import Netlist
from bnn2fpga.tools.nextpnr import Clock, Hop

_PINS = {"CE": "its clock enable", "SR": "its reset", "R": "its reset", "S": "its set"}
"""Pins of a flip-flop that its name alone does not tell; of others that end a path, the pin is named."""
_OWN = ("D", "Q", "O", "O5", "O6")


@dataclass(frozen=True)
class CriticalPath:
    """From where to where, nanoseconds in cells and wires, and the slowest wire with the pins it drives.

    `fanout` is None for a wire that place and route added.
    """

    start: str
    end: str
    logic_ns: float
    routing_ns: float
    wire: str
    wire_ns: float
    fanout: int | None

    @classmethod
    def of(cls, clock: Clock, netlist: Netlist) -> CriticalPath | None:
        """None where nextpnr printed no path."""
        wires = [hop for hop in clock.path if hop.kind == "wire"]
        if not wires or clock.path[0].kind != "cell":
            return None
        worst = max(wires, key=lambda hop: hop.ns)
        bit = netlist.bit(worst.name)
        return cls(
            _pin(clock.path[0].name, netlist),
            _pin(clock.path[-1].name, netlist),
            round(clock.logic_ns, 2),
            round(clock.routing_ns, 2),
            _wire(worst, clock.path, netlist),
            worst.ns,
            None if bit is None else netlist.fanouts[bit],
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def __str__(self) -> str:
        pins = "" if self.fanout is None else f", fan-out {self.fanout:,}"
        return (
            f"longest path from {self.start} to {self.end}: {self.logic_ns:g} ns logic, "
            f"{self.routing_ns:g} ns routing, {self.wire_ns:g} of them on {self.wire}{pins}"
        )


def signal(name: str) -> str:
    """A name of the netlist as kernel.signal: `core.Conv_0_.tile[1]` is Conv_0.tile[1]."""
    return re.sub(r"^(\w*[^\W_])_\.", r"\1.", name.removeprefix("core."))


def _pin(name: str, netlist: Netlist) -> str:
    """The signal that a cell drives, and the pin where that says more."""
    cell, _, pin = name.rpartition(".")
    cell = cell.partition("/")[0]  # of a memory that is packed in parts
    bit = netlist.output(cell)
    what = (bit is not None and netlist.name(bit)) or cell
    if pin in _PINS:
        return f"{signal(what)} ({_PINS[pin]})"
    return signal(what) if pin in _OWN else f"{signal(cell)} ({pin})"


def _wire(worst: Hop, path: tuple[Hop, ...], netlist: Netlist) -> str:
    """A wire's name or, as synthesis makes most of them, what lies before and after it on the path."""
    bit = netlist.bit(worst.name)
    if found := bit is not None and netlist.name(bit):
        return signal(found)
    names = [
        bit and netlist.name(bit) for hop in path if hop.kind == "wire" for bit in (netlist.bit(hop.name),)
    ]
    place = [hop for hop in path if hop.kind == "wire"].index(worst)
    before = next((name for name in reversed(names[:place]) if name), "")
    after = next((name for name in names[place + 1 :] if name), "")
    source = signal(before) if before else _pin(path[0].name, netlist)
    sink = signal(after) if after else _pin(path[-1].name, netlist)
    return f"a wire between {source} and {sink}"
