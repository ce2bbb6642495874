"""What the host computes before and behind the core, as small operations.

Each has one exact result on every machine: single IEEE operations on float32 or float64 arrays, moves of
elements, comparisons. The first axis of every array is the batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, ClassVar, Mapping

import numpy as np

from .facts import MOST_ELEMENTS, number, whole
from .fault import AcceleratorError

if TYPE_CHECKING:
    from numpy.typing import NDArray


Function = Callable[..., Any]

TYPES = (
    "float32",
    "float64",
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
)
"""What elements may be."""
TWO: Mapping[str, Function] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "maximum": np.maximum,
    "minimum": np.minimum,
}
"""Functions of two numbers: IEEE defines every bit."""
ONE: Mapping[str, Function] = {
    "abs": np.abs,
    "ceil": np.ceil,
    "floor": np.floor,
    "negative": np.negative,
    "rint": np.rint,
    "sqrt": np.sqrt,
    "trunc": np.trunc,
}
"""Functions of one number: IEEE defines every bit."""


class Operation:
    """One step of the host; subclasses are frozen dataclasses of numbers, texts, tuples and arrays.

    Called with one array or several, it gives one.
    """

    __call__: ClassVar[Callable[..., NDArray[Any]]]


def known(what: str, name: str, legal: Any) -> None:
    """A ValueError unless `name` is one of `legal`; the names come from a file."""
    if name not in legal:
        raise ValueError(f"{what} {name!r}; legal: {', '.join(legal)}")


@dataclass(frozen=True)
class Cast(Operation):
    """Elements of another numpy type, by its name."""

    dtype: str

    def __post_init__(self) -> None:
        known("type", self.dtype, TYPES)

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        return x.astype(self.dtype, copy=False)


@dataclass(frozen=True)
class WholeNumbers(Operation):
    """Nothing, where all elements are integers from `low` to `high`; else an AcceleratorError."""

    low: int
    high: int

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        if x.size and not (x.min() >= self.low and x.max() <= self.high and np.all(x == np.rint(x))):
            raise AcceleratorError(
                f"the network takes integers from {self.low} to {self.high}, the frames hold others"
            )
        return x


@dataclass(frozen=True, eq=False)
class Arithmetic(Operation):
    """A function of TWO with a constant that broadcasts; `reversed` puts it first."""

    function: str
    constant: NDArray[Any]
    reversed: bool = False

    def __post_init__(self) -> None:
        known("function", self.function, TWO)

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        function = TWO[self.function]
        return function(self.constant, x) if self.reversed else function(x, self.constant)


@dataclass(frozen=True)
class Together(Operation):
    """A function of TWO of two arrays that broadcast."""

    function: str

    def __post_init__(self) -> None:
        known("function", self.function, TWO)

    def __call__(self, x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
        return TWO[self.function](x, y)


@dataclass(frozen=True)
class Elementwise(Operation):
    """A function of ONE."""

    function: str

    def __post_init__(self) -> None:
        known("function", self.function, ONE)

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        return ONE[self.function](x)


@dataclass(frozen=True, eq=False)
class Slope(Operation):
    """x, or x * slope where x is negative; `slope` broadcasts."""

    slope: NDArray[Any]

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        return np.where(x < 0, x * self.slope, x)


@dataclass(frozen=True)
class Concatenate(Operation):
    """Any number of arrays behind one another along `axis`."""

    axis: int

    def __call__(self, *arrays: NDArray[Any]) -> NDArray[Any]:
        return np.concatenate(arrays, axis=self.axis)


@dataclass(frozen=True, eq=False)
class Select(Operation):
    """Frames of `shape`, whose element i (flat) is element index[i] of the frame (flat)."""

    index: NDArray[Any]
    shape: tuple[int, ...]

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        size = int(np.prod(x.shape[1:]))
        return x.reshape((len(x), size))[:, self.index].reshape((len(x), *self.shape))


@dataclass(frozen=True)
class Reshape(Operation):
    """Frames of another shape, the batch not counted."""

    shape: tuple[int, ...]

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        return x.reshape((len(x), *self.shape))


@dataclass(frozen=True)
class Transpose(Operation):
    """Axes in another order; the first stays."""

    axes: tuple[int, ...]

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        return x.transpose(self.axes)


@dataclass(frozen=True, eq=False)
class Bipolar(Operation):
    """BipolarQuant of QONNX: -1 or +1 times `scale`; zero gives +1."""

    scale: NDArray[Any]

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        one = np.ones_like(x)
        return np.where(x >= 0, one, -one) * self.scale


@dataclass(frozen=True, eq=False)
class Quantize(Operation):
    """Quant of QONNX: x / scale + zero, limited to low … high, rounded, and back to real numbers."""

    scale: NDArray[Any]
    zero: NDArray[Any]
    low: int
    high: int
    rounding: str

    def __post_init__(self) -> None:
        known("rounding", self.rounding, ONE)

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        y = x / self.scale + self.zero
        y = np.where(y > self.high, y.dtype.type(self.high), y)
        y = np.where(y < self.low, y.dtype.type(self.low), y)
        return (ONE[self.rounding](y) - self.zero) * self.scale


@dataclass(frozen=True, eq=False)
class Thresholds(Operation):
    """MultiThreshold of QONNX: how many thresholds are reached, times `scale`, plus `bias`.

    thresholds: (C, T), each row sorted, for the C places of `axis`; one row is for all of them.
    """

    thresholds: NDArray[Any]
    axis: int
    scale: float
    bias: float

    def __post_init__(self) -> None:
        number(float(self.scale), "scale")

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        places = np.moveaxis(x, self.axis, 0)
        places = places if len(self.thresholds) > 1 else places[None]
        counts = [np.searchsorted(row, part, "right") for row, part in zip(self.thresholds, places)]
        found = np.stack(counts) if len(self.thresholds) > 1 else counts[0]
        kind = x.dtype.type
        return np.moveaxis(found, 0, self.axis).astype(x.dtype) * kind(self.scale) + kind(self.bias)


@dataclass(frozen=True, eq=False)
class ToStream(Operation):
    """Real numbers in the graph's order as integers in the stream's: element i becomes number index[i].

    `index` is flat, a permutation of one frame's elements.
    """

    scale: float
    index: NDArray[Any]

    def __post_init__(self) -> None:
        number(float(self.scale), "scale")
        if not np.array_equal(np.sort(self.index, axis=None), np.arange(self.index.size)):
            raise ValueError("the places of a frame's elements are no permutation")

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        if not np.isfinite(x).all():
            raise AcceleratorError("a frame holds values that are no numbers (nan)")
        flat = np.rint(x.reshape(len(x), self.index.size) / self.scale).astype(np.int64)
        in_order = np.empty_like(flat)
        in_order[:, self.index] = flat
        return in_order


@dataclass(frozen=True, eq=False)
class FromStream(Operation):
    """Integers n in the stream's order as real numbers in the graph's, of `dtype`.

    real = scale * (multiplier * n + offset) + bias in float64; scale and bias have one element a channel,
    element i of the result (flat, a frame of `shape`) is number index[i] of the stream.
    """

    multiplier: int
    offset: int
    scale: NDArray[Any]
    bias: NDArray[Any]
    index: NDArray[Any]
    shape: tuple[int, ...]
    dtype: str

    def __call__(self, y: NDArray[Any]) -> NDArray[Any]:
        flat = y.reshape(len(y), self.index.size).astype(np.float64)
        pixels = flat.shape[1] // self.scale.size
        real = (flat * self.multiplier + self.offset) * np.tile(self.scale, pixels)
        real += np.tile(self.bias, pixels)
        return real[:, self.index].reshape((len(y), *self.shape)).astype(self.dtype)


@dataclass(frozen=True, eq=False)
class Table(Operation):
    """Integers 0 to len(values) - 1 through a table."""

    values: NDArray[Any]

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        return self.values[x]


@dataclass(frozen=True, eq=False)
class Linear(Operation):
    """x @ weight.T + bias in float64, the products added one input after the other, so exactly everywhere.

    weight: (outputs, inputs). bias: (outputs,).
    """

    weight: NDArray[Any]
    bias: NDArray[Any]

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        flat = x.reshape(len(x), self.weight.shape[1]).astype(np.float64)
        total = np.zeros((len(x), len(self.weight)))
        for place, weights in enumerate(self.weight.T.astype(np.float64)):
            total += flat[:, place, None] * weights
        return total + self.bias


@dataclass(frozen=True)
class Largest(Operation):
    """Where along `axis` the largest elements are, the first of equal ones first; frames of `shape`.

    `count` of them along the axis.
    """

    axis: int
    count: int
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        whole(self.count, "count", 1, MOST_ELEMENTS)

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        if self.count == 1:
            places = x.argmax(axis=self.axis)
        else:
            falling = np.argsort(-x, axis=self.axis, kind="stable")
            places = falling.take(range(self.count), axis=self.axis)
        return places.astype(np.int64).reshape((len(x), *self.shape))


@dataclass(frozen=True)
class LastPositive(Operation):
    """The place (N,) of the last positive element of each frame, 0 if there is none."""

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        flat = x.reshape(len(x), int(np.prod(x.shape[1:])))
        return np.where(flat > 0, np.arange(flat.shape[1]), 0).max(axis=1)
