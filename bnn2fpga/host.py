"""What the host computer does before and after the integer core."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bnn2fpga.errors import BuildError
from bnn2fpga.ir import Ints


class Host(Protocol):
    """Turns the original graph's input into the core's integers, and its integers into the graph's output."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one frame of the original graph's input, without the batch."""

    def encode(self, x: npt.NDArray[Any]) -> Ints:
        """The core's input (N, …) for the graph's input (N, *input_shape)."""

    def decode(self, y: Ints) -> npt.NDArray[Any]:
        """The graph's output for the core's output (N, …)."""


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
