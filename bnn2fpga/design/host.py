"""What the host computer does before and after the integer core."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bnn2fpga.design.integers import Ints
from bnn2fpga.driver.program import Program
from bnn2fpga.errors import BuildError


@dataclass(frozen=True)
class HostWork:
    """What a node costs the host for one frame; `before` the core or behind it.

    `parameters` are its float constants, `results` the numbers that it gives.
    """

    name: str
    operation: str
    before: bool
    parameters: int
    multiply_accumulates: int
    results: int


@dataclass(frozen=True)
class HostShare:
    """A host as programs of the driver, which need no graph.

    `encode` leads from frames of the graph's input to the core's integers (N, size), `decode` from these to
    the graph's outputs, whose names are `outputs`. One is None where a node has no form in the driver; its
    reason says which and why. They give the same bits on every machine; these are the graph's where
    `encode_exact` or `decode_exact`, else the graph adds floats in another order.
    """

    encode: Program | None
    decode: Program | None
    encode_reason: str | None = None
    decode_reason: str | None = None
    encode_exact: bool = True
    decode_exact: bool = True
    outputs: tuple[str, ...] = ("output",)
    work: tuple[HostWork, ...] = ()


class Host(Protocol):
    """Turns the graph's input into the core's integers, and the core's integers into the graph's outputs."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one frame of the original graph's input, without the batch."""

    def encode(self, x: npt.NDArray[Any]) -> Ints:
        """The core's input (N, …) for the graph's input (N, *input_shape)."""

    def decode(self, y: Ints) -> Any:
        """The graph's output for the core's output (N, …); a tuple where it has several."""

    def share(self) -> HostShare:
        """The same as programs of the driver."""


def check_pixels(x: npt.NDArray[Any]) -> None:
    """A BuildError unless `x` holds integers 0 to 255."""
    if not np.issubdtype(x.dtype, np.integer) or (x.size and (x.min() < 0 or x.max() > 255)):
        raise BuildError("pixels must be integers 0 to 255")


@dataclass(frozen=True)
class IntegerHost:
    """A host that does nothing: the graph itself takes and gives the core's integers."""

    input_shape: tuple[int, ...]

    def encode(self, x: npt.NDArray[Any]) -> Ints:
        return x

    def decode(self, y: Ints) -> npt.NDArray[Any]:
        return y

    def share(self) -> HostShare:
        return HostShare(Program((), (0,)), Program((), (0,)))
