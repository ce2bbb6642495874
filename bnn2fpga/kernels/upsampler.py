"""Larger images: pixels repeated, or zeros put between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from bnn2fpga.circuits.memory import Memory, counter_bits, ram
from bnn2fpga.circuits.resources import Parts
from bnn2fpga.design.folding import check_folding, lane_counts
from bnn2fpga.design.integers import BIPOLAR, TERNARY, Ints, IntType
from bnn2fpga.design.kernel import Cycles, Kernel, Pattern
from bnn2fpga.design.layers import Enlarge, Layer
from bnn2fpga.design.stream import Stream


@dataclass(frozen=True)
class Upsampler(Kernel):
    """(H, W, C) to (H * FY, W * FX, C), `lanes` channels a beat.

    A pixel is read when it is sent for the first time; its row waits in a memory for the other times. With
    `sparse` these are zeros, and there is no memory.
    """

    source_shape: tuple[int, int, int]
    source_type: IntType
    factors: tuple[int, int]
    sparse: bool
    lanes: int = 1

    summary = "enlarges an image: repeats its pixels, or puts zeros between them"
    template = "upsampler"
    folding_fields = ("lanes",)

    @classmethod
    def implements(cls, layer: Layer) -> Self | None:
        if not isinstance(layer, Enlarge) or min(layer.factors) < 1:
            return None
        height, width, channels = layer.source.shape
        return cls((height, width, channels), layer.source.type, layer.factors, layer.sparse)

    def __post_init__(self) -> None:
        check_folding("lanes", self.lanes, self.source_shape[2], "channels")

    @property
    def inputs(self) -> tuple[Stream, ...]:
        return (Stream(self.source_shape, self.source_type, self.lanes),)

    @property
    def outputs(self) -> tuple[Stream, ...]:
        height, width, channels = self.source_shape
        shape = (height * self.factors[0], width * self.factors[1], channels)
        return (Stream(shape, self.output_type, self.lanes),)

    @property
    def output_type(self) -> IntType:
        """The source's, which with zeros is ternary if it is bipolar."""
        return TERNARY if self.sparse and self.source_type == BIPOLAR else self.source_type

    def compute(self, *arrays: Ints) -> tuple[Ints, ...]:
        source = arrays[0].astype(self.output_type.dtype)
        rows, columns = self.factors
        enlarged = source.repeat(rows, axis=-3).repeat(columns, axis=-2)
        if self.sparse:
            once = np.zeros_like(enlarged)
            once[..., ::rows, ::columns, :] = source
            return (once,)
        return (enlarged,)

    @property
    def channel_folds(self) -> int:
        """Beats of one pixel."""
        return self.source_shape[2] // self.lanes

    @property
    def row_beats(self) -> int:
        """Beats of one row of the source."""
        return self.source_shape[1] * self.channel_folds

    @property
    def cycles(self) -> Cycles:
        return Cycles(self.outputs[0].beats, 1)

    @property
    def pattern(self) -> Pattern:
        trips = np.arange(self.cycles.interval)
        height, width, _ = self.source_shape
        places = trips.reshape(height, self.factors[0], width, self.factors[1], self.channel_folds)
        return Pattern((places[:, 0, :, 0].ravel(),), (trips,))

    @property
    def stages(self) -> int:
        return 2 if self.sparse else 3

    @property
    def buffer_style(self) -> str:
        """The ram_style of the row memory."""
        return self.memories[0].style

    @property
    def memories(self) -> tuple[Memory, ...]:
        return () if self.sparse else (ram(self.row_beats, self.inputs[0].bits),)

    @property
    def parts(self) -> Parts:
        counted = counter_bits(self.channel_folds, self.factors[1], self.source_shape[1], self.factors[0])
        if self.sparse:
            return {"counters": counted, "arrived": self.inputs[0].bits}
        kept = counter_bits(self.row_beats)
        read = self.inputs[0].bits if self.buffer_style != "block" else 0
        return {"counters": counted, "arrived": 2 * self.inputs[0].bits, "places": 2 * kept, "read": read}

    def foldings(self) -> Iterator[Self]:
        widest = max(self.source_type.bits, self.output_type.bits)
        for lanes in lane_counts(self.source_shape[2], widest):
            yield replace(self, lanes=lanes)
