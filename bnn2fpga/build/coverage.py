"""What frames show of a design: thresholds seen from both sides, and weight bits whose flip would be seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any

import numpy as np

from bnn2fpga.design.graph import Design
from bnn2fpga.design.integers import Ints, IntType
from bnn2fpga.design.step_functions import Steps
from bnn2fpga.packed.library import load_library

SAMPLES = 200
"""Weight bits that are flipped, one at a time."""


@dataclass(frozen=True)
class Share:
    """`found` of `total`."""

    found: int
    total: int

    @property
    def percent(self) -> float:
        """100 where there is nothing to find."""
        return 100 * self.found / self.total if self.total else 100.0

    @property
    def error(self) -> float:
        """Percentage points that a sample of so many may be off: 95 % (Agresti and Coull, 1998)."""
        size = self.total + 4
        part = (self.found + 2) / size
        return 100 * 1.96 * sqrt(part * (1 - part) / size)


@dataclass(frozen=True)
class Coverage:
    """Of all frames together.

    `thresholds`: those that some sum reaches and some other one does not. `functions`: step functions (of a
    channel each) of which every level came out. `flips`: of sampled weight bits those whose flip changes an
    output of the design; None without g++, which the packed engine needs.
    """

    thresholds: Share
    functions: Share
    flips: Share | None


def cover(design: Design, frames: Ints, samples: int = SAMPLES, seed: int = 0) -> Coverage:
    """The coverage of integer `frames` (N, *input shape)."""
    both = functions = full = thresholds = 0
    for steps, sums in step_functions(design, frames):
        used = steps.signs != 0
        low, high = sums.min(axis=0)[:, None], sums.max(axis=0)[:, None]
        both += int(((low < steps.thresholds) & (steps.thresholds <= high) & used).sum())
        thresholds += int(used.sum())
        seen = steps(sums)
        for channel in range(steps.channels):
            base, _, signs = steps.of_channel(channel)
            levels = np.unique(base + np.concatenate([[0], np.cumsum(signs)]))
            full += len(np.unique(seen[:, channel])) == len(levels)
        functions += steps.channels
    flips = flipped(design, frames, samples, seed)
    return Coverage(Share(both, thresholds), Share(full, functions), flips)


def step_functions(design: Design, frames: Ints) -> Iterator[tuple[Steps, Ints]]:
    """Each kernel's step functions, and what they take: (values of all frames in order, channels)."""
    passing = dict(design.trace(frames))
    for node in design.nodes:
        found = node.kernel.before_steps(*design.arriving(node, passing))
        if found is not None:
            steps, values = found
            yield steps, values.reshape(-1, steps.channels)


def flipped(design: Design, frames: Ints, samples: int = SAMPLES, seed: int = 0) -> Share | None:
    """Of so many weight bits, drawn at random from all, those whose flip changes an output for some frame."""
    library = load_library()
    weighted = [place for place, node in enumerate(design.nodes) if hasattr(node.kernel, "weights")]
    if library is None or not weighted:
        return None
    random = np.random.default_rng(seed)
    kernels: list[Any] = [design.nodes[place].kernel for place in weighted]
    sizes = np.array([kernel.weights.size * kernel.weight_type.bits for kernel in kernels], float)
    run, taken = design.packed_run(library), design.checked(frames)
    expected = np.concatenate(run.outputs(taken))
    found = 0
    for _ in range(samples):
        place = weighted[int(random.choice(len(weighted), p=sizes / sizes.sum()))]
        kernel = flip(run.stops[place].kernel, random)
        stops = (*run.stops[:place], replace(run.stops[place], kernel=kernel), *run.stops[place + 1 :])
        outputs = np.concatenate(replace(run, stops=stops).outputs(taken))
        found += bool(np.any(outputs != expected))
    return Share(found, samples)


def flip(kernel: Any, random: np.random.Generator) -> Any:
    """The kernel with one bit of one weight flipped, of those that leave a weight of its type."""
    kind: IntType = kernel.weight_type
    while True:
        place = tuple(int(random.integers(extent)) for extent in kernel.weights.shape)
        weight = int(kernel.weights[place])
        bit = 1 << int(random.integers(kind.bits))
        top = -bit if kind.signed and bit == 1 << (kind.bits - 1) else bit
        other = -weight if kind.bipolar else weight + (-top if weight & bit else top)
        if kind.low <= other <= kind.high:
            weights = kernel.weights.copy()
            weights[place] = other
            return replace(kernel, weights=weights)
