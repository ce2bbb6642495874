"""yosys' netlist in JSON, as far as a net or a cell of it is to be named in words."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bnn2fpga.errors import ToolError


@dataclass(frozen=True, eq=False)
class Netlist:
    """The cells and nets of one module; a bit is yosys' number of a wire."""

    cells: dict[str, Any]
    nets: dict[str, Any]

    @classmethod
    def read(cls, path: Path, top: str) -> Netlist:
        """The module `top` of a file that yosys' write_json wrote."""
        try:
            module = json.loads(path.read_text())["modules"][top]
            return cls(module["cells"], module["netnames"])
        except (OSError, ValueError, KeyError) as error:
            raise ToolError(f"{path} is no netlist of {top} by yosys: {error!r}") from error

    def bit(self, net: str) -> int | None:
        """Of a net as nextpnr calls it, `name` or `name[3]`; None for one that it added."""
        if net in self.nets:
            bits, place = self.nets[net]["bits"], 0
        elif found := re.fullmatch(r"(.+)\[(\d+)\]", net):
            facts = self.nets.get(found[1], {"bits": []})
            bits, place = facts["bits"], int(found[2]) - facts.get("offset", 0)
        else:
            return None
        return bits[place] if 0 <= place < len(bits) and isinstance(bits[place], int) else None

    def name(self, bit: int) -> str:
        """The shortest name that a person gave it, or empty."""
        return self._names.get(bit, "")

    def output(self, cell: str) -> int | None:
        """The first bit that a cell drives."""
        facts = self.cells.get(cell)
        if facts is None:
            return None
        outputs = (port for port, way in facts["port_directions"].items() if way == "output")
        bits = (bit for port in outputs for bit in facts["connections"][port])
        return next((bit for bit in bits if isinstance(bit, int)), None)

    def into_logic(self, kind: str) -> int:
        """How many bits that cells of a kind (RAMB…) drive go to LUTs or carry chains, not to registers."""
        logic = {
            bit
            for facts in self.cells.values()
            if facts["type"].startswith(("LUT", "INV", "CARRY", "MUXF"))
            for port, bits in facts["connections"].items()
            if facts["port_directions"][port] == "input"
            for bit in bits
        }
        driven = (
            bit
            for facts in self.cells.values()
            if facts["type"].startswith(kind)
            for port, bits in facts["connections"].items()
            if facts["port_directions"][port] == "output"
            for bit in bits
        )
        return sum(bit in logic for bit in driven)

    @cached_property
    def _names(self) -> dict[int, str]:
        found: dict[int, str] = {}
        for name, facts in self.nets.items():
            if facts["hide_name"] or "$" in name:
                continue
            for place, bit in enumerate(facts["bits"], facts.get("offset", 0)):
                own = f"{name}[{place}]" if len(facts["bits"]) > 1 else name
                if isinstance(bit, int) and (bit not in found or len(own) < len(found[bit])):
                    found[bit] = own
        return found

    @cached_property
    def fanouts(self) -> Counter[int]:
        """How many pins of cells each bit drives; constants are no bits."""
        return Counter(
            bit
            for facts in self.cells.values()
            for port, bits in facts["connections"].items()
            if facts["port_directions"][port] == "input"
            for bit in bits
            if isinstance(bit, int)
        )
