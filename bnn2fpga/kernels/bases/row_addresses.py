"""Where taps lie in a memory of rows, as steps that counters of the SystemVerilog add: nothing multiplies."""

from __future__ import annotations

from dataclasses import dataclass

from bnn2fpga.kernels.bases.window_geometry import WindowGeometry


@dataclass(frozen=True)
class RowAddresses:
    """A memory that holds row y of the image at y mod `buffer_rows`, a pixel in `channel_folds` beats."""

    geometry: WindowGeometry
    channel_folds: int

    @property
    def row_beats(self) -> int:
        """Beats of one input row."""
        return self.geometry.source_shape[1] * self.channel_folds

    @property
    def words(self) -> int:
        """Beats in the row memory."""
        return self.geometry.buffer_rows * self.row_beats

    @property
    def address_bits(self) -> int:
        """Of a place in the row memory."""
        return max(1, (self.words - 1).bit_length())

    @property
    def slot_bits(self) -> int:
        """Of a row's place among those kept."""
        return max(1, (self.geometry.buffer_rows - 1).bit_length())

    @property
    def row_bits(self) -> int:
        """Of a signed row of the padded image, and of steps between rows."""
        shape = self.geometry
        return 2 + (shape.source_shape[0] + sum(shape.pads[0::2]) + shape.reach[0]).bit_length()

    @property
    def beat_bits(self) -> int:
        """Of a signed beat in a row of the padded image, and of steps between them."""
        shape = self.geometry
        width = shape.source_shape[1] + sum(shape.pads[1::2]) + shape.reach[1] + shape.stride[1]
        return 2 + (width * self.channel_folds).bit_length()

    @property
    def first_beat(self) -> int:
        """The first tap's beat in its row."""
        return -self.geometry.pads[1] * self.channel_folds

    @property
    def tap_beats(self) -> int:
        """From a tap's last beat to the next tap's first one, in beats of a row."""
        return (self.geometry.dilation[1] - 1) * self.channel_folds + 1

    @property
    def tap_row_beats(self) -> int:
        """The same to the first tap of the window's next row."""
        return 1 - (self.geometry.reach[1] + 1) * self.channel_folds

    @property
    def pixel_beats(self) -> int:
        """The same to the next window."""
        return 1 + (self.geometry.stride[1] - self.geometry.reach[1] - 1) * self.channel_folds

    @property
    def line_beats(self) -> int:
        """The same to the first window of the next row of windows."""
        shape = self.geometry
        last = (shape.output_width - 1) * shape.stride[1] + shape.reach[1] + 1
        return 1 - last * self.channel_folds

    @property
    def pixel_y(self) -> int:
        """Rows from a window's last row to its first one."""
        return -self.geometry.reach[0]

    @property
    def line_y(self) -> int:
        """Rows from a window's last row to the first row of the windows below."""
        return self.geometry.stride[0] - self.geometry.reach[0]

    @property
    def first_row(self) -> int:
        """Where the first tap's row begins in the row memory."""
        return self._row_place(-self.geometry.pads[0])

    @property
    def tap_rows(self) -> int:
        """To the next row of the window, in the row memory."""
        return self._row_place(self.geometry.dilation[0])

    @property
    def pixel_rows(self) -> int:
        """Back to the window's first row."""
        return self._row_place(self.pixel_y)

    @property
    def line_rows(self) -> int:
        """On to the first row of the windows below."""
        return self._row_place(self.line_y)

    def _row_place(self, rows: int) -> int:
        return rows % self.geometry.buffer_rows * self.row_beats
