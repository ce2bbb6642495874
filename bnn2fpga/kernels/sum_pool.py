"""Average pooling without the division: the sum of every window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from bnn2fpga.design.integers import Ints, IntType
from bnn2fpga.design.layers import Layer, WindowSum
from bnn2fpga.design.packed_frames import PackedFrames
from bnn2fpga.kernels.bases.window_reducer import WindowReducer


@dataclass(frozen=True, eq=False)
class SumPool(WindowReducer):
    """The sum of every window and channel: an average whose 1/taps goes into the scale.

    A global pool is the sum over one window as large as the image.
    """

    summary = "sum pool: average pooling, over windows or the whole image, without a division"
    template = "sum_pool"

    @classmethod
    def implements(cls, layer: Layer) -> Self | None:
        if not isinstance(layer, WindowSum):
            return None
        return cls(layer.source.shape, layer.source.type, layer.taps)

    @property
    def kept_type(self) -> IntType:
        return IntType.holding(min(0, self.taps * self.source_type.low), self.taps * self.source_type.high)

    def reduce(self, taps: Ints) -> Ints:
        return taps.sum(axis=-2, dtype=self.kept_type.dtype)

    def packed(self, *frames: PackedFrames) -> tuple[PackedFrames, ...]:
        (x,) = frames
        ones = np.ones((self.taps, self.channels), np.int32)
        return (x.following(self.outputs[0], x.library.weighted_taps(x.integers, ones)),)
