"""Windows of neighbours in the stream: a pool over the channels of every pixel, or over all of a frame."""

from __future__ import annotations

import numpy as np

from bnn2fpga.design.integers import Ints
from bnn2fpga.design.stream import Stream
from bnn2fpga.frontend.lowering.signal import Signal


def neighbouring_windows(signal: Signal, kernel: tuple[int, int]) -> Stream | None:
    """The signal's stream as (windows, taps), if each window of its tensor (1, windows, *kernel) is one row.

    None where it is not, and where scales or biases differ within a window.
    """
    shape = signal.index.shape
    if len(shape) != 4 or shape[2:] != kernel or kernel == (1, 1) or signal.repeats or signal.padding:
        return None
    rows: Ints = np.sort(signal.index.reshape(shape[1], -1), axis=1)
    alike = all(
        np.size(part) == 1 or np.all(part == np.ravel(part)[0]) for part in (signal.scale, signal.bias)
    )
    if not alike or not np.array_equal(rows.ravel(), np.arange(rows.size)):
        return None
    return Stream(rows.shape, signal.stream.type)
