"""The largest value of every window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from bnn2fpga.design.integers import Ints, IntType
from bnn2fpga.design.layers import Layer, WindowMax
from bnn2fpga.design.packed_frames import PackedFrames
from bnn2fpga.kernels.bases.window_reducer import WindowReducer


@dataclass(frozen=True, eq=False)
class MaxPool(WindowReducer):
    """The maximum of every window and channel; behind a sliding window."""

    summary = "max pool over the windows of a sliding window"
    template = "max_pool"

    @classmethod
    def implements(cls, layer: Layer) -> Self | None:
        if not isinstance(layer, WindowMax):
            return None
        return cls(layer.source.shape, layer.source.type, layer.taps)

    @property
    def kept_type(self) -> IntType:
        return self.source_type

    def reduce(self, taps: Ints) -> Ints:
        return taps.max(axis=-2)

    def packed(self, *frames: PackedFrames) -> tuple[PackedFrames, ...]:
        (x,) = frames
        if self.source_type.bits == 1 and not self.source_type.signed:
            any_set = x.library.any_tap(x.planes, self.taps, self.channels)
            return (x.following(self.outputs[0], any_set),)
        largest = x.library.largest_tap(x.integers, self.taps)
        return (x.following(self.outputs[0], largest),)
