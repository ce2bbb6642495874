"""Any function of a small integer as a sum of signed unit steps: the one form of activation.

A quantized activation of an integer accumulator takes few values, so it is `base` plus one for every
threshold passed going up and minus one for every threshold passed going down. Rising, falling and
V-shaped (PReLU with a negative slope) activations are all of this kind, each channel on its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bnn2fpga.design.integers import Ints, IntType
from bnn2fpga.errors import BuildError

MOST_STEPS = 1023


@dataclass(frozen=True, eq=False)
class Steps:
    """level(x) = base[c] + sum over i of (signs[c, i] where x >= thresholds[c, i], else 0).

    base: (C,) levels. thresholds: (C, S) rising integers. signs: (C, S) of -1, 0, +1; 0 fills up
    channels with fewer steps. A level L of the `output` type stands for the value low + L * step.
    """

    base: Ints
    thresholds: Ints
    signs: Ints
    output: IntType

    @classmethod
    def read(cls, levels: Ints, points: Ints, output: IntType) -> Steps:
        """The steps of a table: levels (R, C) at the rising integers `points` (R,)."""
        rises = np.diff(levels.astype(np.int64), axis=0)
        steps = int(np.abs(rises).sum(axis=0).max(initial=0))
        if steps > MOST_STEPS:
            raise BuildError(f"an activation with {steps} steps is too wild; at most {MOST_STEPS} are built")
        channels = levels.shape[1]
        thresholds = np.full((channels, steps), points[-1] + 1, np.int64)
        signs = np.zeros((channels, steps), np.int64)
        for channel in range(channels):
            at = np.flatnonzero(rises[:, channel])
            height = rises[at, channel]
            count = int(np.abs(height).sum())
            thresholds[channel, :count] = np.repeat(points[at + 1], np.abs(height))
            signs[channel, :count] = np.repeat(np.sign(height), np.abs(height))
        return cls(levels[0].astype(np.int64), thresholds, signs, output)

    @classmethod
    def joined(cls, parts: Sequence[Steps]) -> Steps:
        """The functions of all `parts`, which have one output type, behind one another."""
        count = max(part.count for part in parts)

        def filled(table: Ints) -> Ints:
            return np.pad(table, ((0, 0), (0, count - table.shape[1])), mode="edge")

        signs = [np.pad(part.signs, ((0, 0), (0, count - part.count))) for part in parts]
        return cls(
            np.concatenate([part.base for part in parts]),
            np.concatenate([filled(part.thresholds) for part in parts]),
            np.concatenate(signs),
            parts[0].output,
        )

    @property
    def channels(self) -> int:
        """C, the number of step functions."""
        return len(self.base)

    @property
    def count(self) -> int:
        """S, the thresholds of one channel."""
        return self.thresholds.shape[1]

    @property
    def rising(self) -> bool:
        """Whether every step of every channel goes up by one."""
        return bool(np.all(self.signs == 1))

    def of_channel(self, channel: int) -> tuple[int, list[int], list[int]]:
        """Base, thresholds and signs of one function, without what fills it up."""
        used = self.signs[channel] != 0
        thresholds, signs = self.thresholds[channel][used], self.signs[channel][used]
        return int(self.base[channel]), thresholds.tolist(), signs.tolist()

    def __call__(self, x: Ints) -> Ints:
        """The output values for integers x (…, C)."""
        passed: npt.NDArray[np.int64] = np.zeros(x.shape, np.int64)
        if self.count <= 3:
            for step in range(self.count):
                passed += np.where(x >= self.thresholds[:, step], self.signs[:, step], 0)
        else:
            heights = np.concatenate([np.zeros_like(self.base[:, None]), self.signs.cumsum(axis=1)], axis=1)
            for channel in range(self.channels):
                place = np.searchsorted(self.thresholds[channel], x[..., channel], side="right")
                passed[..., channel] = heights[channel, place]
        values = self.output.low + self.output.step * (self.base + passed)
        return values.astype(self.output.dtype)
