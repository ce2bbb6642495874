"""What a network does, layer by layer, before it is decided which kernel does it.

The frontend describes a graph in these; a kernel answers to the ones it implements
(`Kernel.implements`), so a new kernel for an old layer changes nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bnn2fpga.design.integers import Ints, IntType
from bnn2fpga.design.step_functions import Steps
from bnn2fpga.design.stream import Stream
from bnn2fpga.design.two_slopes import TwoSlopes
from bnn2fpga.errors import BuildError


@dataclass(frozen=True, eq=False)
class Dot:
    """Matrix times vector at every pixel: (…, K) to (…, M).

    `weights` (M, K) are integers of `weight_type`; the result is the exact integer sum, or an affine
    image of it that the kernel names (see `MatrixVector.dot_affine`). Inputs k * tap to k * tap + tap - 1 are
    the channels of one pixel: where one of them is a padded zero, all are.
    """

    source: Stream
    weights: Ints
    weight_type: IntType
    tap: int = 1


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
class Enlarge:
    """(H, W, C) to (H * factors[0], W * factors[1], C): every pixel so many times along each axis.

    With `sparse` it is there once, where its block begins, and zeros stand in the other places.
    """

    source: Stream
    factors: tuple[int, int]
    sparse: bool = False


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


@dataclass(frozen=True, eq=False)
class Bend:
    """Two straight lines that meet, per channel: (…, C) to (…, C).

    `output` is a type that holds every result that occurs; None for those that the source's type allows.
    """

    source: Stream
    slopes: TwoSlopes
    output: IntType | None = None


@dataclass(frozen=True, eq=False)
class Shift:
    """(x + offsets[c]) >> shift, limited to the range of `output`: (…, C) to (…, C)."""

    source: Stream
    offsets: Ints
    shift: int
    output: IntType


@dataclass(frozen=True, eq=False)
class Spread:
    """(…, C) to (…, M): output channel m is step function m of input channel channels[m].

    A thermometer code is of this kind: some bits for every number, each with a threshold of its own.
    """

    source: Stream
    channels: Ints
    steps: Steps


@dataclass(frozen=True, eq=False)
class GatedDot:
    """A dot product of 2-bit codes whose low bits count only where their high bits' sum is large.

    A code 0 to 3 is two signs, high and low, and stands for 2 * high + low, that is -3, -1, 1, 3; -1 is
    the border of an image and stands for 0. With M and L the dot products of the high and of the low
    signs with `weights` (outputs, inputs) of -1 and +1, the result is 2 * M + (L where M >= gates, else 0).
    `tap` is as in `Dot`. FracBNN's precision-gated convolution: Zhang et al., FPGA 2021, arXiv 2012.12206.
    """

    source: Stream
    weights: Ints
    gates: Ints
    tap: int = 1


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
    """left * 2**shifts[0] + right * 2**shifts[1] + offset, elementwise.

    `output` is a type that holds every sum that occurs; None for those that the two types allow.
    """

    source: Stream
    other: Stream
    shifts: tuple[int, int] = (0, 0)
    offset: int = 0
    output: IntType | None = None


@dataclass(frozen=True, eq=False)
class Gate:
    """source * 2**shift + offset where other >= thresholds[c], else 0: (…, C) and (…, C) to (…, C)."""

    source: Stream
    other: Stream
    thresholds: Ints
    shift: int = 0
    offset: int = 0


@dataclass(frozen=True)
class Concat:
    """(…, A) and (…, B) to (…, A+B), channels behind one another."""

    source: Stream
    other: Stream


@dataclass(frozen=True)
class Split:
    """(…, A+B) to (…, A) and (…, B), where A is `at`."""

    source: Stream
    at: int


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


@dataclass(frozen=True)
class Product:
    """Matrix times matrix of two streams, in windows and `heads` of their own.

    `source` is (windows, rows, heads * inner). With `transposed`, `other` is (windows, columns, heads *
    inner) and each row is multiplied with each of its rows, as queries with keys; otherwise it is (windows,
    inner, heads * columns), as values are. The result is (windows, rows, heads * columns): the dot product,
    or an affine image of it that the kernel names (`affine`).
    """

    source: Stream
    other: Stream
    heads: int
    transposed: bool


@dataclass(frozen=True)
class BelowMax:
    """How far each value lies below the largest of its row, 0 or less: (rows, C) to (rows, C)."""

    source: Stream


Layer = (
    Dot
    | GatedDot
    | ChannelDot
    | Windows
    | Enlarge
    | WindowMax
    | WindowSum
    | Map
    | Bend
    | Shift
    | Spread
    | Top1
    | Copies
    | Regroup
    | Sum
    | Gate
    | Concat
    | Split
    | Product
    | BelowMax
)


def dot_range(weights: Ints, source: IntType) -> tuple[int, int]:
    """The exact smallest and largest of `weights` (M, K) times any vector of `source` values."""
    positive = np.maximum(weights, 0).sum(axis=1, dtype=np.int64)
    negative = np.minimum(weights, 0).sum(axis=1, dtype=np.int64)
    low = int((positive * source.low + negative * source.high).min())
    high = int((positive * source.high + negative * source.low).max())
    if max(-low, high) >= 1 << 31:
        raise BuildError(f"a sum over {weights.shape[1]} inputs of {source} needs more than 32 bits")
    return low, high


def partial_sum_type(low: int, high: int) -> IntType:
    """A type for a sum of `low` to `high` at every step: each partial one lies between 0 and an end of it."""
    return IntType.holding(min(low, 0), max(high, 0))
