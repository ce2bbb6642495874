"""What the host computes before and behind the core, as a list of small operations.

Each has one exact result on every machine: single IEEE operations on float32 or float64 arrays, moves of
elements, comparisons. The first axis of every array is the batch.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Callable, ClassVar, Mapping

import numpy as np

from .fault import AcceleratorError

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Operation:
    """One step of the host; subclasses are frozen dataclasses of numbers, texts, tuples and arrays."""

    kinds: ClassVar[dict[str, type[Operation]]] = {}

    def __init_subclass__(cls) -> None:
        Operation.kinds[cls.__name__] = cls

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        raise NotImplementedError


@dataclass(frozen=True)
class Cast(Operation):
    """Elements of another numpy type, by its name."""

    dtype: str

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
    """add, subtract, multiply or divide with a constant that broadcasts; `reversed` puts it first."""

    function: str
    constant: NDArray[Any]
    reversed: bool = False

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        function: Callable[..., NDArray[Any]] = getattr(np, self.function)
        return function(self.constant, x) if self.reversed else function(x, self.constant)


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

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        y = x / self.scale + self.zero
        y = np.where(y > self.high, y.dtype.type(self.high), y)
        y = np.where(y < self.low, y.dtype.type(self.low), y)
        rounded: NDArray[Any] = getattr(np, self.rounding)(y)
        return (rounded - self.zero) * self.scale


@dataclass(frozen=True, eq=False)
class ToStream(Operation):
    """Real numbers in the graph's order as integers in the stream's: element i becomes number index[i].

    `index` is flat, a permutation of one frame's elements.
    """

    scale: float
    index: NDArray[Any]

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


def written(operations: tuple[Operation, ...], prefix: str, arrays: dict[str, NDArray[Any]]) -> list[Any]:
    """The operations as JSON; their arrays go into `arrays`, under names that begin with `prefix`."""
    facts = []
    for number, operation in enumerate(operations):
        entry: dict[str, Any] = {"operation": type(operation).__name__}
        for field in fields(operation):  # type: ignore[arg-type]
            value = getattr(operation, field.name)
            if isinstance(value, np.ndarray):
                name = f"{prefix}_{number}_{field.name}"
                arrays[name] = value
                value = {"array": name}
            entry[field.name] = list(value) if isinstance(value, tuple) else value
        facts.append(entry)
    return facts


def read_operations(facts: list[Any], arrays: Mapping[str, NDArray[Any]]) -> tuple[Operation, ...]:
    """The inverse of `written`."""
    operations = []
    for entry in facts:
        values: dict[str, Any] = {}
        for name, value in entry.items():
            if isinstance(value, dict):
                value = arrays[value["array"]]
            values[name] = tuple(value) if isinstance(value, list) else value
        kind: Callable[..., Operation] = Operation.kinds[values.pop("operation")]
        operations.append(kind(**values))
    return tuple(operations)


def apply(operations: tuple[Operation, ...], x: NDArray[Any]) -> NDArray[Any]:
    """All operations, one after the other."""
    for operation in operations:
        x = operation(x)
    return x
