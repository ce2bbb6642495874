"""Float layers of the host: sums in float64, one product after the other, rounded to float32 at the end.

So each has one result on every machine. A graph's own float32 sums are added in another order: they
differ from these by their rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, Iterator

import numpy as np

from .elementary import TRANSCENDENT, exponential, logarithm
from .facts import MOST_ELEMENTS, whole, wholes
from .operations import Operation, known

if TYPE_CHECKING:
    from numpy.typing import NDArray

REDUCTIONS = ("mean", "sum", "max", "min")
WINDOW = (("kernel", 2, 1), ("strides", 2, 1), ("dilations", 2, 1), ("pads", 4, 0), ("places", 2, 1))
"""Of the numbers of a window: which, how many, and the least."""
MOST_TAPS = 1 << 20
"""Elements of a window."""


@dataclass(frozen=True)
class Curve(Operation):
    """A function of TRANSCENDENT, rounded to the type of its argument."""

    function: str

    def __post_init__(self) -> None:
        known("function", self.function, TRANSCENDENT)

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        return TRANSCENDENT[self.function](x).astype(x.dtype)


@dataclass(frozen=True, eq=False)
class Affine(Operation):
    """x * scale + offset; both float64 that broadcast."""

    scale: NDArray[Any]
    offset: NDArray[Any]

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        return (x.astype(np.float64) * self.scale + self.offset).astype(x.dtype)


@dataclass(frozen=True, eq=False)
class MatMul(Operation):
    """x @ weight: (N, …, inputs) and (inputs, outputs) to (N, …, outputs)."""

    weight: NDArray[Any]

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        columns = np.moveaxis(x.astype(np.float64), -1, 0)
        total = np.zeros((*x.shape[:-1], self.weight.shape[1]))
        for column, weights in zip(columns, self.weight.astype(np.float64)):
            total += column[..., None] * weights
        return total.astype(x.dtype)


@dataclass(frozen=True)
class Window:
    """Where a window of a picture's two axes stands; pads are top, left, bottom, right.

    `places` is how many windows there are along each axis.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]
    places: tuple[int, ...]

    def __post_init__(self) -> None:
        for name, count, low in WINDOW:
            if len(wholes(getattr(self, name), name, low, MOST_ELEMENTS)) != count:
                raise ValueError(f"{name} of {getattr(self, name)}; legal: {count} numbers")
        taps, places = prod(self.kernel), prod(self.places)
        if taps > MOST_TAPS or places > MOST_ELEMENTS or prod(self._reach) > MOST_ELEMENTS:
            raise ValueError(f"windows of {taps:,} elements at {places:,} places are too large")

    @property
    def _reach(self) -> list[int]:
        """Along each axis, the elements from the first that a window sees to the last."""
        return [
            (p - 1) * s + (k - 1) * d + 1
            for p, s, k, d in zip(self.places, self.strides, self.kernel, self.dilations)
        ]

    def taps(self, x: NDArray[Any], border: float) -> Iterator[NDArray[Any]]:
        """Of (C, H, W), each element of the windows in raster order: (C, *places)."""
        top, left, _, _ = self.pads
        rows, columns = self._reach
        height, width = max(rows, top + x.shape[1]), max(columns, left + x.shape[2])
        padded = np.full((len(x), height, width), border, x.dtype)
        padded[:, top : top + x.shape[1], left : left + x.shape[2]] = x
        for row in range(self.kernel[0]):
            for column in range(self.kernel[1]):
                places = [
                    slice(at * d, at * d + (p - 1) * s + 1, s)
                    for at, d, p, s in zip((row, column), self.dilations, self.places, self.strides)
                ]
                yield padded[:, places[0], places[1]]


@dataclass(frozen=True, eq=False)
class Convolution(Operation):
    """A 2-D convolution: (N, C, H, W) to (N, O, *places), weight (O, C / groups, *kernel); bias (O,).

    `window` is kernel, strides, dilations, pads and places, two, two, two, four and two numbers.
    """

    weight: NDArray[Any]
    bias: NDArray[Any]
    groups: int
    window: tuple[int, ...]

    def __post_init__(self) -> None:
        groups = whole(self.groups, "groups", 1, len(self.weight))
        if len(self.weight) % groups or self.weight.shape[2:] != _window(self.window).kernel:
            raise ValueError(f"weights of shape {self.weight.shape} in {groups} groups, {self.window}")

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        window = _window(self.window)
        found = np.empty((len(x), len(self.weight), *window.places), x.dtype)
        for frame, result in zip(x, found):
            result[...] = self._frame(frame.astype(np.float64), window)
        return found

    def _frame(self, x: NDArray[Any], window: Window) -> NDArray[Any]:
        """One frame at a time, which a processor's cache holds."""
        outputs, inputs = len(self.weight) // self.groups, self.weight.shape[1]
        weight = self.weight.astype(np.float64).reshape((self.groups, outputs, inputs, -1))
        total = np.zeros((self.groups, outputs, *window.places))
        for tap, seen in enumerate(window.taps(x, 0.0)):
            columns = seen.reshape((self.groups, inputs, 1, *window.places))
            for channel in range(inputs):
                total += columns[:, channel] * weight[:, :, channel, tap, None, None]
        return total.reshape((len(self.weight), *window.places)) + self.bias[:, None, None]


@dataclass(frozen=True)
class Pool(Operation):
    """The mean or the max of windows: (N, C, H, W) to (N, C, *places).

    `counts_border` says whether a mean divides by the whole window or by what of it lies in the picture.
    """

    function: str
    counts_border: bool
    window: tuple[int, ...]

    def __post_init__(self) -> None:
        known("function", self.function, ("mean", "max"))
        _window(self.window)

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        window = _window(self.window)
        found = np.empty((*x.shape[:2], *window.places), x.dtype)
        for frame, result in zip(x, found):
            result[...] = self._frame(frame, window)
        return found

    def _frame(self, x: NDArray[Any], window: Window) -> NDArray[Any]:
        if self.function == "max":
            largest = np.full((len(x), *window.places), -np.inf, x.dtype)
            for seen in window.taps(x, -np.inf):
                largest = np.maximum(largest, seen)
            return largest
        total = np.zeros((len(x), *window.places))
        for seen in window.taps(x.astype(np.float64), 0.0):
            total += seen
        if self.counts_border:
            return total / (window.kernel[0] * window.kernel[1])
        inside = np.zeros((1, *window.places))
        for seen in window.taps(np.ones((1, *x.shape[1:])), 0.0):
            inside += seen
        return total / inside


@dataclass(frozen=True)
class Reduce(Operation):
    """Mean, sum, max or min over `axes` (none of them the batch); frames of `shape`."""

    function: str
    axes: tuple[int, ...]
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        known("function", self.function, REDUCTIONS)

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        kept = [axis for axis in range(x.ndim) if axis not in self.axes]
        count = int(np.prod([x.shape[axis] for axis in self.axes]))
        rows = x.transpose([*self.axes, *kept]).reshape((count, *(x.shape[axis] for axis in kept)))
        if self.function in ("max", "min"):
            found = rows.max(axis=0) if self.function == "max" else rows.min(axis=0)
        else:
            found = np.zeros(rows.shape[1:])
            for row in rows:
                found += row
            found = found / count if self.function == "mean" else found
        return found.astype(x.dtype).reshape((len(x), *self.shape))


@dataclass(frozen=True)
class Softmax(Operation):
    """exp(x) over its sum along `axis`, or the `logarithm` of that."""

    axis: int
    logarithm: bool = False

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        moved = np.moveaxis(x.astype(np.float64), self.axis, 0)
        shifted = moved - moved.max(axis=0)
        powers, total = exponential(shifted), np.zeros(moved.shape[1:])
        for power in powers:
            total = total + power
        found = shifted - logarithm(total) if self.logarithm else powers / total
        return np.moveaxis(found, 0, self.axis).astype(x.dtype)


def _window(numbers: tuple[int, ...]) -> Window:
    return Window(numbers[0:2], numbers[2:4], numbers[4:6], numbers[6:10], numbers[10:12])
