"""Where the windows of a feature map lie, and which of its rows they need."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bnn2fpga.design.integers import Ints


@dataclass(frozen=True)
class WindowGeometry:
    """Windows `kernel` high and wide over an image (H, W, C); `pads` is top, left, bottom, right."""

    source_shape: tuple[int, int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    pads: tuple[int, int, int, int]
    dilation: tuple[int, int]

    @property
    def output_height(self) -> int:
        """OH."""
        return self._positions(0)

    @property
    def output_width(self) -> int:
        """OW."""
        return self._positions(1)

    def _positions(self, axis: int) -> int:
        padded = self.source_shape[axis] + self.pads[axis] + self.pads[axis + 2]
        return (padded - self.dilation[axis] * (self.kernel[axis] - 1) - 1) // self.stride[axis] + 1

    @property
    def reach(self) -> tuple[int, int]:
        """From a window's first tap to its last one."""
        return (self.dilation[0] * (self.kernel[0] - 1), self.dilation[1] * (self.kernel[1] - 1))

    def rows_needed(self, output_row: int) -> int:
        """How many input rows must have arrived before `output_row` can be sent; at least 1."""
        last = output_row * self.stride[0] - self.pads[0] + self.reach[0]
        return min(max(last + 1, 1), self.source_shape[0])

    @property
    def buffer_rows(self) -> int:
        """Rows kept, a power of two: those of one output row's windows and those arriving for the next."""
        kept = 1
        for row in range(self.output_height):
            first = max(0, row * self.stride[0] - self.pads[0])
            following = self.rows_needed(min(row + 1, self.output_height - 1))
            kept = max(kept, following - min(first, following - 1))
        return 1 << (kept - 1).bit_length()

    def windows(self, images: Ints, pad_value: int) -> Ints:
        """The windows (N, OH, OW, KH*KW*C) of `images` (N, H, W, C), taps in raster order."""
        top, left, bottom, right = self.pads
        around = ((0, 0), (top, bottom), (left, right), (0, 0))
        padded = np.pad(images, around, constant_values=pad_value)
        taps = [
            padded[
                :,
                y * self.dilation[0] :: self.stride[0],
                x * self.dilation[1] :: self.stride[1],
            ][:, : self.output_height, : self.output_width]
            for y in range(self.kernel[0])
            for x in range(self.kernel[1])
        ]
        return np.concatenate(taps, axis=-1)
