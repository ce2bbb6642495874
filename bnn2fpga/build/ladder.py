"""The ladder: the levels of a network, and how equal each is to the one above."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bnn2fpga.build.dataset import predicted_labels
from bnn2fpga.design.integers import Ints

Array = npt.NDArray[Any]

RELATIVE = 1e-5
"""Float outputs count as equal within this part of the largest one: scales may round differently."""


@dataclass(frozen=True)
class Difference:
    """The first place where a level leaves the reference; `place` is the index within the frame."""

    frame: int
    place: tuple[int, ...]
    expected: float
    found: float

    def __str__(self) -> str:
        return f"frame {self.frame}, place {list(self.place)}: {self.found:g} instead of {self.expected:g}"


@dataclass(frozen=True)
class Level:
    """A level of the ladder compared with `reference`: how many of `frames` are equal in every value.

    A `tolerated` level may differ: the user has allowed it to be rounded.
    """

    name: str
    reference: str
    compared: str
    frames: int
    equal: int
    difference: Difference | None = None
    tolerated: bool = False

    @property
    def ok(self) -> bool:
        """Whether every frame is equal, or need not be."""
        return self.tolerated or self.equal == self.frames


@dataclass(frozen=True)
class Ladder:
    """The levels from the model down to the generated C++ and SystemVerilog."""

    levels: tuple[Level, ...]

    @property
    def ok(self) -> bool:
        """Whether all levels agree."""
        return all(level.ok for level in self.levels)

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {"equal": self.ok, "levels": [asdict(level) for level in self.levels]}


def compare_integers(name: str, reference: str, expected: Ints, found: Ints) -> Level:
    """A level whose every integer must be equal; frames (N, …)."""
    return _level(name, reference, "integers", expected, found, expected != found)


def compare_outputs(name: str, reference: str, expected: Array, found: Array) -> Level:
    """A level whose outputs must be equal."""
    return _level(name, reference, "outputs", expected, found, differing(expected, found))


def differing(expected: Array, found: Array) -> Array:
    """Where outputs are not equal: integers to the bit, floats within RELATIVE."""
    if np.issubdtype(expected.dtype, np.integer):
        return expected != found
    return ~(np.abs(expected - found) <= RELATIVE * np.abs(expected).max(initial=0))


def compare_labels(name: str, reference: str, expected: Array, found: Array) -> Level:
    """A tolerated level: whose outputs name the same label."""
    labels = [predicted_labels(outputs) for outputs in (expected, found)]
    return replace(
        _level(name, reference, "labels, trunk rounded", labels[0], labels[1], labels[0] != labels[1]),
        tolerated=True,
    )


def _level(name: str, reference: str, what: str, expected: Array, found: Array, differs: Array) -> Level:
    frames = len(expected)
    wrong = np.argwhere(differs.reshape(expected.shape))
    if not len(wrong):
        return Level(name, reference, what, frames, frames)
    first = tuple(int(index) for index in wrong[0])
    place = Difference(first[0], first[1:], float(expected[first]), float(found[first]))
    return Level(name, reference, what, frames, frames - len(np.unique(wrong[:, 0])), place)
