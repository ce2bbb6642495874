"""What a circuit costs on a 7-series chip: counted parts times what yosys was found to need for each.

A kernel counts the parts of its SystemVerilog (`Kernel.parts`) and its memories. `area.json` holds LUTs and
flip-flops of each part, fitted by `python -m benchmarks.area` to syntheses of every kind of kernel, how far
off fits to three quarters of those are on the others, and how long paths are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any

FITTED = Path(__file__).with_name("area.json")

Parts = Mapping[str, float]
"""How much there is of each kind of circuit, mostly in bits; the names are the kernel's own."""


@dataclass(frozen=True)
class Resources:
    """What a chip is asked for: `lutrams` are LUTs used as memory, on top of the `luts` of logic.

    `bram36` counts in halves (one 18 Kb block is 0.5).
    """

    luts: int = 0
    lutrams: int = 0
    flipflops: int = 0
    bram36: float = 0.0
    dsps: int = 0

    def __add__(self, other: Resources) -> Resources:
        return Resources(
            self.luts + other.luts,
            self.lutrams + other.lutrams,
            self.flipflops + other.flipflops,
            self.bram36 + other.bram36,
            self.dsps + other.dsps,
        )

    @property
    def all_luts(self) -> int:
        """LUTs of logic and memory."""
        return self.luts + self.lutrams


def total_parts(*parts: Parts) -> dict[str, float]:
    """All of them together."""
    names = dict.fromkeys(name for one in parts for name in one)
    return {name: sum(one.get(name, 0) for one in parts) for name in names}


def fitted(kind: str, parts: Parts) -> Resources:
    """LUTs and flip-flops of a kernel of class `kind`; of one that was never measured, one each a part.

    At least one: none is without handshakes.
    """
    fit = fits().get(kind)
    if fit is None:
        return Resources(luts=ceil(sum(parts.values())), flipflops=ceil(sum(parts.values())))

    def cost(what: str) -> int:
        return max(1, round(sum(fit[what].get(name, 0.0) * count for name, count in parts.items())))

    return Resources(luts=cost("luts"), flipflops=cost("flipflops"))


def median_error(kind: str) -> float | None:
    """Half of the kernels of a class are farther off a fit without them; a part, None if unknown."""
    fit = fits().get(kind)
    return None if fit is None else float(fit["error"]["median"])


def usual_path(kind: str) -> float | None:
    """Nanoseconds through cells, without wires, that nine of ten kernels of a class take at most."""
    fit = fits().get(kind)
    return None if fit is None else float(fit["path_ns"])


@cache
def fits() -> dict[str, Any]:
    """area.json."""
    found: dict[str, Any] = json.loads(FITTED.read_text()) if FITTED.is_file() else {}
    return found
