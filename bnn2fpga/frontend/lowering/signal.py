"""What `lower` knows of a tensor of the graph while it walks over it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from bnn2fpga.design.graph import Port
from bnn2fpga.design.integers import Ints, IntType
from bnn2fpga.design.stream import Stream
from bnn2fpga.frontend.graph.execute import Array


@dataclass(frozen=True)
class Span:
    """The integers low, low + step, …, `count` of them: an array that is not held in memory.

    Wide sums take hundreds of millions of values. An index, or an array of them, gives values; a slice
    gives an array.
    """

    low: int
    count: int
    step: int = 1

    @classmethod
    def between(cls, low: int, high: int, step: int = 1) -> Span:
        """From `low` up to `high`."""
        return cls(low, (high - low) // step + 1, step)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, places: Any) -> Any:
        if isinstance(places, slice):
            start, stop, step = places.indices(self.count)
            return self.low + self.step * np.arange(start, stop, step)
        if isinstance(places, np.ndarray):
            return self.low + self.step * places
        return range(self.low, self.low + self.step * self.count, self.step)[places]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Ints:
        return np.asarray(self[:], dtype)


@dataclass(frozen=True, eq=False)
class Parameter:
    """A constant tensor. Of a quantized one also the integers, their type and their scales.

    values = integers * scales, elementwise; all three have the same shape.
    """

    values: Array
    integers: Ints | None = None
    scales: Array | None = None
    type: IntType | None = None


@dataclass(frozen=True)
class HostTensor:
    """A float tensor before the first quantizer: the host computes it."""


@dataclass(frozen=True, eq=False)
class Segment:
    """Elementwise float nodes that start from `tensor`.

    `index` has the tensor's shape and holds, for each element, its place in the stream's raster order.
    """

    tensor: str
    index: Ints
    nodes: tuple[onnx.NodeProto, ...] = ()

    def extended(self, *nodes: onnx.NodeProto) -> Segment:
        """The segment with `nodes` behind those it has."""
        return replace(self, nodes=self.nodes + tuple(node for node in nodes if node not in self.nodes))


@dataclass(frozen=True)
class Pooled:
    """A max pool that waits, among elementwise nodes, for the quantizer behind it."""

    name: str
    kernel: tuple[int, int]
    stride: tuple[int, int]
    pads: tuple[int, int, int, int]
    dilation: tuple[int, int]


@dataclass(frozen=True)
class Padding:
    """A constant border around a feature map, in real values; waits for the convolution behind it."""

    pads: tuple[int, int, int, int]
    value: float


@dataclass(frozen=True, eq=False)
class Repeats:
    """A signal's stream is not what its port carries: that is `source`, whose channels[m] is channel m."""

    source: Stream
    channels: Ints


@dataclass(frozen=True, eq=False)
class Signal:
    """A tensor whose integers pass a port, and the float nodes that lead from them to the tensor.

    Before the first pending node, stream element n of channel c stands for the real number
    scale[c] * (multiplier * n + offset) + bias[c]. `points` are the integers that can occur. The graph's
    own float32 sum lies within `rounding` (a channel) plus `relative_rounding` times that number from it;
    both are 0 where the sum is exact.

    A trunk that was rounded (see `trunk`) has `grid_bits` fraction bits. `spread` is the standard deviation
    that n is expected to have, 0 if nothing is known; nothing but the approximation of slopes uses it.
    """

    port: Port
    stream: Stream
    scale: npt.NDArray[np.float64]
    points: Ints | Span
    pending: tuple[Segment | Pooled, ...]
    multiplier: int = 1
    offset: int = 0
    rounding: npt.NDArray[np.float64] | float = 0.0
    relative_rounding: float = 0.0
    bias: npt.NDArray[np.float64] | float = 0.0
    grid_bits: int = 0
    spread: float = 0.0
    padding: Padding | None = None
    repeats: Repeats | None = None

    @property
    def segment(self) -> Segment:
        """The last segment; there always is one, maybe without nodes."""
        last = self.pending[-1]
        assert isinstance(last, Segment)
        return last

    @property
    def index(self) -> Ints:
        """Where each element of the tensor lies in the stream."""
        return self.segment.index

    @property
    def bare(self) -> bool:
        """Whether nothing stands between the integers and the tensor but the scale and the layout."""
        return all(
            isinstance(item, Segment) and all(node.op_type == "Identity" for node in item.nodes)
            for item in self.pending
        )

    def reals(self, points: Ints) -> npt.NDArray[np.float64]:
        """What integers (R,), or (R, C) with a column a channel, stand for: (R, C)."""
        columns = points.astype(np.float64).reshape(len(points), -1)
        values: npt.NDArray[np.float64] = (self.multiplier * columns + self.offset) * np.broadcast_to(
            self.scale, self.stream.channels
        ) + self.bias
        return values

    @property
    def inexact(self) -> bool:
        """Whether the graph's own float32 sum may differ from the exact one."""
        return bool(np.any(self.rounding)) or self.relative_rounding > 0

    @property
    def pools(self) -> tuple[Pooled, ...]:
        """The pending max pools."""
        return tuple(item for item in self.pending if isinstance(item, Pooled))

    def with_segment(self, segment: Segment) -> Signal:
        """The signal with its last segment exchanged."""
        return replace(self, pending=(*self.pending[:-1], segment))


@dataclass(frozen=True)
class Result:
    """A tensor that the host computes from the integers of `signals`, the last ones in the fabric."""

    signals: tuple[Signal, ...]


def raster_index(shape: tuple[int, ...], order: Ints | None = None) -> Ints:
    """The index of a graph tensor (1, C, …) whose stream is (…, C), channel c in place order[c]."""
    channels, rest = shape[1], shape[2:]
    pixels = np.arange(int(np.prod(rest))).reshape(1, 1, *rest)
    places = np.arange(channels) if order is None else order
    return pixels * channels + places.reshape(1, channels, *(1 for _ in rest))


def channel_order(index: Ints, channels: int) -> tuple[int, Ints] | None:
    """The axis of a tensor that counts the stream's channels, and which of them each of its places is.

    None where the tensor does not hold the stream's pixels in order, all with the same order of channels.
    """
    shape = index.shape
    for axis in range(1, len(shape)):
        if shape[axis] == channels:
            pixels = np.moveaxis(index[0], axis - 1, -1).reshape(-1, channels)
            order = pixels[0]
            if order.max() < channels and np.array_equal(
                pixels, np.arange(len(pixels))[:, None] * channels + order
            ):
                return axis, order
    return None
