"""What the host computer does before and after the integer core."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bnn2fpga.design.integers import Ints
from bnn2fpga.driver.operations import Operation
from bnn2fpga.errors import BuildError


@dataclass(frozen=True)
class HostShare:
    """A host as operations of the driver, which needs no graph.

    `encode` leads from frames of the graph's input to the core's integers (N, size), `decode` from these to
    the graph's output. One is None where a node has no form that is exact on every machine; its reason says
    which and why.
    """

    encode: tuple[Operation, ...] | None
    decode: tuple[Operation, ...] | None
    encode_reason: str | None = None
    decode_reason: str | None = None


class Host(Protocol):
    """Turns the original graph's input into the core's integers, and its integers into the graph's output."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one frame of the original graph's input, without the batch."""

    def encode(self, x: npt.NDArray[Any]) -> Ints:
        """The core's input (N, …) for the graph's input (N, *input_shape)."""

    def decode(self, y: Ints) -> npt.NDArray[Any]:
        """The graph's output for the core's output (N, …)."""

    def share(self) -> HostShare:
        """The same as operations of the driver."""


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
        return HostShare((), ())
