"""A host share as a program: operations, each of which takes results of earlier ones."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Callable, Mapping

import numpy as np

from .facts import FIELDS, wholes
from .fault import AcceleratorError
from .layers import Affine, Convolution, Curve, MatMul, Pool, Reduce, Softmax
from .operations import (
    Arithmetic,
    Bipolar,
    Cast,
    Concatenate,
    Elementwise,
    FromStream,
    Largest,
    LastPositive,
    Linear,
    Operation,
    Quantize,
    Reshape,
    Select,
    Slope,
    Table,
    Thresholds,
    Together,
    ToStream,
    Transpose,
    WholeNumbers,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

KINDS: Mapping[str, Any] = {
    kind.__name__: kind
    for kind in (
        *(Arithmetic, Bipolar, Cast, Concatenate, Elementwise, FromStream, Largest, LastPositive, Linear),
        *(Quantize, Reshape, Select, Slope, Table, Thresholds, Together, ToStream),
        *(Transpose, WholeNumbers),
        *(Affine, Convolution, Curve, MatMul, Pool, Reduce, Softmax),
    )
}
"""Every operation that a program may hold, by the name that its file says."""


@dataclass(frozen=True)
class Step:
    """An operation on values of the program: 0 is its input, k what step number k gave, counted from 1."""

    operation: Operation
    sources: tuple[int, ...]


@dataclass(frozen=True)
class Program:
    """Steps in order; `results` are the values that the program gives."""

    steps: tuple[Step, ...]
    results: tuple[int, ...]

    def __post_init__(self) -> None:
        for number, step in enumerate(self.steps):
            if not step.sources or not all(0 <= source <= number for source in step.sources):
                raise ValueError(f"step {number + 1} of the host takes values {step.sources}")
        if not self.results or not all(0 <= result <= len(self.steps) for result in self.results):
            raise ValueError(f"the host gives values {self.results} of {len(self.steps)} steps")

    @classmethod
    def chain(cls, *operations: Operation) -> Program:
        """One operation behind the other."""
        steps = tuple(Step(operation, (number,)) for number, operation in enumerate(operations))
        return cls(steps, (len(steps),))

    def run(self, x: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """The results for an array whose first axis is the batch."""
        values = [x]
        for number, step in enumerate(self.steps, 1):
            try:
                with np.errstate(all="ignore"):
                    values.append(step.operation(*(values[source] for source in step.sources)))
            except (ValueError, TypeError, LookupError, ArithmeticError, MemoryError) as error:
                kind = type(step.operation).__name__
                raise AcceleratorError(f"step {number} of the host, {kind}: {error}") from error
        return tuple(values[result] for result in self.results)

    def written(self, prefix: str, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
        """The program as JSON; its arrays go into `arrays`, under names that begin with `prefix`."""
        facts = []
        for number, step in enumerate(self.steps):
            operation = step.operation
            entry: dict[str, Any] = {"operation": type(operation).__name__, "sources": list(step.sources)}
            for field in fields(operation):  # type: ignore[arg-type]
                value = getattr(operation, field.name)
                if isinstance(value, np.ndarray):
                    name = f"{prefix}_{number}_{field.name}"
                    arrays[name] = value
                    value = {"array": name}
                entry[field.name] = list(value) if isinstance(value, tuple) else value
            facts.append(entry)
        return {"steps": facts, "results": list(self.results)}


def read_program(facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Program:
    """The inverse of `written`; raises ValueError, KeyError or TypeError for anything else."""
    steps = []
    for entry in facts["steps"]:
        values = dict(entry)
        kind: Callable[..., Operation] = KINDS[values.pop("operation")]
        sources = wholes(values.pop("sources"), "sources")
        checks = {field.name: FIELDS[field.type] for field in fields(kind)}  # type: ignore[arg-type, index]
        for name, value in values.items():
            given = arrays[value["array"]] if isinstance(value, dict) else value
            values[name] = checks[name](given, f"{kind.__name__}: {name}")
        steps.append(Step(kind(**values), sources))
    return Program(tuple(steps), wholes(facts["results"], "results"))
