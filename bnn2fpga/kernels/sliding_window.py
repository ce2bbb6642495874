"""Convolution's memory: keeps the rows that the windows need and sends the windows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from math import prod
from typing import Self

import numpy as np

from bnn2fpga.circuits.memory import Memory, counter_bits, ram
from bnn2fpga.circuits.resources import Parts
from bnn2fpga.design.folding import WIDEST_BEAT, check_folding, lane_counts
from bnn2fpga.design.integers import BIPOLAR, TERNARY, Ints, IntType
from bnn2fpga.design.kernel import Cycles, Kernel, Pattern, Trips
from bnn2fpga.design.layers import Layer, Windows
from bnn2fpga.design.packed_frames import PackedFrames, packs
from bnn2fpga.design.stream import Stream
from bnn2fpga.errors import BuildError, FoldingError
from bnn2fpga.kernels.bases.row_addresses import RowAddresses
from bnn2fpga.kernels.bases.window_geometry import WindowGeometry
from bnn2fpga.packed.library import Geometry


@dataclass(frozen=True)
class SlidingWindow(Kernel):
    """(H, W, C) to (OH, OW, KH*KW*C), `lanes` channels of one tap a beat, or all of `taps` KH*KW.

    The work is cut into OH + 1 phases. Phase 0 reads the rows of the first output row; phase p sends
    the windows of output row p-1 while it reads what row p needs in addition; the last phase also
    drains the rows that no window uses. A phase takes as long as the longer of its two jobs. Tap by tap
    the second one takes a trip a beat, for whole windows one a column of pixels, which shifts the window on.
    """

    source_shape: tuple[int, int, int]
    source_type: IntType
    kernel: tuple[int, int]
    stride: tuple[int, int]
    pads: tuple[int, int, int, int]
    dilation: tuple[int, int]
    pad_value: int
    lanes: int = 1
    taps: int = 1

    summary = "sliding window of any kernel, stride, dilation and explicit padding value, by taps or whole"
    template = "sliding_window"
    folding_fields = ("lanes", "taps")

    @classmethod
    def implements(cls, layer: Layer) -> Self | None:
        if not isinstance(layer, Windows):
            return None
        height, width, channels = layer.source.shape
        return cls(
            (height, width, channels),
            layer.source.type,
            layer.kernel,
            layer.stride,
            layer.pads,
            layer.dilation,
            layer.pad_value if any(layer.pads) else layer.source.type.low,
        )

    def __post_init__(self) -> None:
        channels, taps = self.source_shape[2], prod(self.kernel)
        check_folding("lanes", self.lanes, channels, "channels")
        check_folding("taps", self.taps, taps, "taps")
        if self.taps > 1 and (self.taps, self.lanes) != (taps, channels):
            raise FoldingError(
                f"taps={self.taps} and lanes={self.lanes} are no whole window; "
                f"legal: taps=1, or taps={taps} and lanes={channels}"
            )
        if min(self.geometry.output_height, self.geometry.output_width) < 1:
            raise BuildError(
                f"a {self.kernel[0]}x{self.kernel[1]} window does not fit into "
                f"{self.source_shape[0]}x{self.source_shape[1]} with padding {self.pads}"
            )

    @cached_property
    def geometry(self) -> WindowGeometry:
        """Where the windows lie."""
        return WindowGeometry(self.source_shape, self.kernel, self.stride, self.pads, self.dilation)

    @property
    def addresses(self) -> RowAddresses:
        """Where their taps lie in the memory of rows."""
        return RowAddresses(self.geometry, self.channel_folds)

    @property
    def inputs(self) -> tuple[Stream, ...]:
        return (Stream(self.source_shape, self.source_type, self.lanes),)

    @property
    def outputs(self) -> tuple[Stream, ...]:
        height, width = self.geometry.output_height, self.geometry.output_width
        shape = (height, width, prod(self.kernel) * self.source_shape[2])
        return (Stream(shape, self.output_type, self.taps * self.lanes),)

    @property
    def output_type(self) -> IntType:
        """The source's type if it holds the padding value, otherwise the smallest that does."""
        kind, pad = self.source_type, self.pad_value
        if kind.low <= pad <= kind.high and (pad - kind.low) % kind.step == 0:
            return kind
        if kind == BIPOLAR and pad == 0:
            return TERNARY
        return IntType.holding(min(kind.low, pad), max(kind.high, pad))

    def compute(self, *arrays: Ints) -> tuple[Ints, ...]:
        return (self.geometry.windows(arrays[0].astype(self.output_type.dtype), self.pad_value),)

    def packed(self, *frames: PackedFrames) -> tuple[PackedFrames, ...]:
        (x,) = frames
        shape, stream = self.geometry, self.outputs[0]
        where = Geometry(
            shape.source_shape[:2],
            shape.kernel,
            shape.stride,
            shape.pads[:2],
            shape.dilation,
            (shape.output_height, shape.output_width),
        )
        if x.kept.dtype == np.uint64 or packs(self.source_type):
            planes = x.planes_as(self.output_type)
            border = -(self.pad_code >> np.arange(self.output_type.bits) & 1)
            images = planes.reshape(x.count, -1, *planes.shape[1:])
            bits = x.library.window_planes(images, x.channels, border.astype(np.uint64), where)
            return (x.following(stream, bits),)
        pixels = x.integers.reshape(x.count, -1)
        windows = x.library.window_integers(pixels, x.channels, self.pad_value, where)
        return (x.following(stream, windows),)

    @property
    def reads(self) -> list[int]:
        """Input beats of each phase."""
        rows = (self.geometry.rows_needed(row) for row in range(self.geometry.output_height))
        needed = [0, *rows, self.source_shape[0]]
        return [(after - before) * self.addresses.row_beats for before, after in pairwise(needed)]

    @property
    def row_writes(self) -> int:
        """Output beats of every phase but the first."""
        return self.geometry.output_width * prod(self.kernel) // self.taps * self.channel_folds

    @property
    def row_trips(self) -> int:
        """Trips in which they are made."""
        columns = self.geometry.reach[1] + (self.geometry.output_width - 1) * self.stride[1] + 1
        return self.row_writes if self.taps == 1 else columns

    @property
    def lengths(self) -> list[int]:
        """Trips of each phase."""
        return [max(read, self.row_trips if phase else 0) for phase, read in enumerate(self.reads)]

    @property
    def writing_trips(self) -> Trips:
        """The trips of a phase with output beats."""
        if self.taps == 1:
            return np.arange(self.row_writes)
        return np.arange(self.geometry.reach[1], self.row_trips, self.stride[1])

    @property
    def channel_folds(self) -> int:
        """Beats of one pixel."""
        return self.source_shape[2] // self.lanes

    @property
    def cycles(self) -> Cycles:
        first = self.lengths[0] + (self.geometry.reach[1] if self.taps > 1 else 0) + 1
        return Cycles(sum(self.lengths), first)

    @property
    def pattern(self) -> Pattern:
        lengths = np.array(self.lengths)
        starts = np.cumsum(lengths) - lengths
        reads = [start + np.arange(count) for start, count in zip(starts, self.reads, strict=True)]
        return Pattern((np.concatenate(reads),), ((starts[1:, None] + self.writing_trips).ravel(),))

    # what the SystemVerilog reads

    @property
    def stages(self) -> int:
        return 3

    @property
    def phases(self) -> int:
        """OH + 1."""
        return self.geometry.output_height + 1

    @property
    def count_bits(self) -> int:
        """Of a phase's reads and of `row_trips`."""
        return max(*self.reads, self.row_trips).bit_length()

    @property
    def following_reads(self) -> int:
        """`reads` of the phase behind each, of the first one last; each of count_bits, the lowest first."""
        following = [*self.reads[1:], self.reads[0]]
        return sum(count << self.count_bits * phase for phase, count in enumerate(following))

    @property
    def buffer_style(self) -> str:
        """The ram_style of the row memory, or of each of its rows."""
        return self.memories[0].style

    @property
    def parts(self) -> Parts:
        shape, places = self.geometry, self.addresses
        counted = {
            "phases": self.count_bits * self.phases,
            "steps": 2 * self.count_bits,
            "arrived": self.inputs[0].bits,
            "read": self.inputs[0].bits * len(self.memories) if self.buffer_style != "block" else 0,
        }
        if self.taps > 1:
            column = self.kernel[0] * self.lanes
            return counted | {
                "counters": counter_bits(self.source_shape[1], self.phases, shape.buffer_rows),
                "places": places.row_bits + places.beat_bits,
                "rows": self.kernel[0] * places.row_bits if any(self.pads) else 0,
                "picked": column * self.source_type.bits * (shape.buffer_rows - 1) / 3,
                "padded columns": column * self.output_type.bits if any(self.pads) else 0,
                "window registers": column * shape.reach[1] * self.output_type.bits,
            }
        return counted | {
            "counters": counter_bits(self.channel_folds, *self.kernel, shape.output_width, self.phases),
            "places": places.row_bits + places.beat_bits + places.address_bits,
            # other borders are the output register's set or reset
            "padded": self.lanes if self.source_type.bipolar and not self.output_type.bipolar else 0,
            "wrapped": places.address_bits if places.words & (places.words - 1) else 0,
        }

    @property
    def memories(self) -> tuple[Memory, ...]:
        if self.taps > 1:
            return (ram(self.addresses.row_beats, self.inputs[0].bits),) * self.geometry.buffer_rows
        return (ram(self.addresses.words, self.inputs[0].bits),)

    def foldings(self) -> Iterator[Self]:
        channels, taps = self.source_shape[2], prod(self.kernel)
        widest = max(self.source_type.bits, self.output_type.bits)
        for lanes in lane_counts(channels, widest):
            yield replace(self, lanes=lanes, taps=1)
        if 1 < taps <= WIDEST_BEAT // (channels * widest):
            yield replace(self, lanes=channels, taps=taps)

    @property
    def pad_code(self) -> int:
        """The padding value as the output type's bits."""
        if self.output_type.bipolar:
            return (self.pad_value + 1) // 2
        return self.pad_value & ((1 << self.output_type.bits) - 1)
