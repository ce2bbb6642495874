"""What a network does, layer by layer, before it is decided which kernel does it.

The frontend describes a graph in these; a kernel answers to the ones it implements
(`Kernel.implements`), so a new kernel for an old layer changes nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bnn2fpga.errors import BuildError
from bnn2fpga.ir import Ints, IntType, Stream
from bnn2fpga.steps import Steps


@dataclass(frozen=True, eq=False)
class Dot:
    """Matrix times vector at every pixel: (…, K) to (…, M).

    `weights` (M, K) are integers of `weight_type`; the result is the exact integer sum, or an affine
    image of it that the kernel names (see `MatrixVector.dot_affine`).
    """

    source: Stream
    weights: Ints
    weight_type: IntType


@dataclass(frozen=True)
class Windows:
    """Sliding windows: (H, W, C) to (OH, OW, KH*KW*C), taps in raster order, channels fastest.

    `pads` is top, left, bottom, right. Positions outside the image hold `pad_value`, which need not
    be a value of the source's type: the output's type then is wider (bipolar padded with 0 is ternary).
    """

    source: Stream
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    pad_value: int = 0


@dataclass(frozen=True)
class WindowMax:
    """The largest of `taps` in every window and channel: (…, taps*C) to (…, C)."""

    source: Stream
    taps: int


@dataclass(frozen=True, eq=False)
class Map:
    """A step function per channel: (…, C) to (…, C)."""

    source: Stream
    steps: Steps


@dataclass(frozen=True)
class Top1:
    """The place of the largest of C scores, the first one of equals: (C,) to (1,)."""

    source: Stream


@dataclass(frozen=True)
class Copies:
    """The same stream `count` times."""

    source: Stream
    count: int


@dataclass(frozen=True)
class Regroup:
    """The same integers in beats of `lanes`; one of the two lane counts divides the other."""

    source: Stream
    lanes: int


@dataclass(frozen=True)
class Sum:
    """left * 2**shifts[0] + right * 2**shifts[1] + offset, elementwise."""

    source: Stream
    other: Stream
    shifts: tuple[int, int] = (0, 0)
    offset: int = 0


@dataclass(frozen=True)
class Concat:
    """(…, A) and (…, B) to (…, A+B), channels behind one another."""

    source: Stream
    other: Stream


@dataclass(frozen=True)
class WindowSum:
    """The sum of `taps` in every window and channel: (…, taps*C) to (…, C)."""

    source: Stream
    taps: int


@dataclass(frozen=True, eq=False)
class ChannelDot:
    """A dot product of its own for every channel: (…, taps*C) to (…, C), `weights` (C, taps)."""

    source: Stream
    weights: Ints
    weight_type: IntType


Layer = Dot | Windows | WindowMax | Map | Top1 | Copies | Regroup | Sum | Concat | WindowSum | ChannelDot


def dot_range(weights: Ints, source: IntType) -> tuple[int, int]:
    """The exact smallest and largest of `weights` (M, K) times any vector of `source` values."""
    positive = np.maximum(weights, 0).sum(axis=1, dtype=np.int64)
    negative = np.minimum(weights, 0).sum(axis=1, dtype=np.int64)
    low = int((positive * source.low + negative * source.high).min())
    high = int((positive * source.high + negative * source.low).max())
    if max(-low, high) >= 1 << 31:
        raise BuildError(f"a sum over {weights.shape[1]} inputs of {source} needs more than 32 bits")
    return low, high
