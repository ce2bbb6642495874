"""The foldings of all kernels together as an integer program, solved by HiGHS.

One variable a folding of a kernel, of which each kernel takes one; one variable a pair of lane counts at the
ends of an edge, which follows from these. So the converters' cost is linear, too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from bnn2fpga.design.kernel import Kernel
from bnn2fpga.planning.folding.choices import KINDS, Amounts, Choices, joint

if TYPE_CHECKING:
    from scipy.optimize import LinearConstraint

SECONDS = 20.0
"""For one program; what is found until then is taken, with the gap to what may be possible."""
GAP = 1e-3
"""Part by which a plan may be dearer than the cheapest."""
ROUGH_GAP = 5e-3
"""The same where only what fits is asked for; the last tenths of a per cent take the most time."""
LUT_WEIGHT = 2.0
"""What a share of the LUTs costs; one of the block RAM costs 1. The fuller of logic a chip is, the longer its
wires, so weights better lie in block RAM while there is some."""


@dataclass(frozen=True)
class Solution:
    """The kernels at their foldings, and what they need with shallow FIFOs.

    `gap` is the part by which a better one could be cheaper at most.
    """

    kernels: Mapping[str, Kernel]
    needed: Amounts
    gap: float


@dataclass
class _Rows:
    """Constraints `low <= coefficients * variables <= high`, one after the other."""

    places: list[tuple[int, int, float]] = field(default_factory=list)
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)

    def add(self, coefficients: Mapping[int, float], low: float, high: float) -> None:
        self.places += [(len(self.low), place, value) for place, value in coefficients.items()]
        self.low.append(low)
        self.high.append(high)

    def constraint(self, variables: int) -> LinearConstraint:
        from scipy.optimize import LinearConstraint
        from scipy.sparse import coo_matrix

        rows, columns, values = zip(*self.places, strict=True)
        matrix = coo_matrix((values, (rows, columns)), (len(self.low), variables))
        return LinearConstraint(matrix.tocsr(), self.low, self.high)


def solve(
    choices: Choices, cycles: int, limits: Amounts, gap: float = GAP, beyond: Collection[str] = ()
) -> Solution | None:
    """The cheapest kernels of at most `cycles` cycles a frame within the limits; None if there are none.

    Cheap is what takes the least share of the limits, that of block RAM and LUT_WEIGHT times that of LUTs.
    Of the KINDS named `beyond` more than the limit may be taken. A part of `gap` may be saved still.
    """
    choices = choices.within(cycles)
    kernels = [(name, choice) for name, found in choices.of.items() for choice in found]
    used: list[Amounts] = [choice.amounts for _, choice in kernels]
    rows, whole = _Rows(), len(kernels)
    places: dict[str, list[int]] = defaultdict(list)
    for place, (name, _) in enumerate(kernels):
        places[name].append(place)
    for node in choices.nodes:
        rows.add(dict.fromkeys(places[node.name], 1.0), 1, 1)
    for edge in choices.inner:
        leaving: dict[int, dict[int, float]] = defaultdict(dict)
        entering: dict[int, dict[int, float]] = defaultdict(dict)
        for place in places[edge.source.node or ""]:
            leaving[kernels[place][1].lanes(0, edge.source.index)][place] = -1.0
        for place in places[edge.target.node or ""]:
            entering[kernels[place][1].lanes(1, edge.target.index)][place] = -1.0
        for have in choices.leaving(edge).values():
            for wanted in choices.entering(edge).values():
                between = joint(have, wanted)
                if between.cycles <= cycles:
                    leaving[have.lanes][len(used)] = entering[wanted.lanes][len(used)] = 1.0
                    used.append(between.amounts)
        for coefficients in (*leaving.values(), *entering.values()):
            rows.add(coefficients, 0, 0)
    needed = np.array(used).T
    for kind, amount, limit in zip(KINDS, needed, limits, strict=True):
        rows.add(dict(enumerate(amount)), 0, np.inf if kind in beyond else limit)
    luts, bram = KINDS.index("LUT"), KINDS.index("BRAM")
    # scipy takes a third of a second to import, which most commands do without
    from scipy.optimize import Bounds, milp

    found = milp(
        LUT_WEIGHT * needed[luts] / max(limits[luts], 1) + needed[bram] / max(limits[bram], 1),
        integrality=np.arange(len(used)) < whole,
        bounds=Bounds(0, 1),
        constraints=rows.constraint(len(used)),
        # the relaxed program is nearly integral already: presolving takes several times as long as solving
        options={"time_limit": SECONDS, "mip_rel_gap": gap, "presolve": False},
    )
    if found.x is None:
        return None
    taken = {name: choice.kernel for (name, choice), x in zip(kernels, found.x, strict=False) if x > 0.5}
    return Solution(taken, needed @ found.x, float(found.mip_gap))
