"""Lowers slices of positions: some rows and columns of an image, evenly apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx

from bnn2fpga.design.integers import TERNARY, Ints
from bnn2fpga.design.layers import ChannelDot, Windows
from bnn2fpga.errors import ModelError
from bnn2fpga.frontend.lowering.builder import Builder
from bnn2fpga.frontend.lowering.dot_product import as_image
from bnn2fpga.frontend.lowering.signal import Segment, Signal, raster_index


def lower_crop(build: Builder, node: onnx.NodeProto, signal: Signal, index: Ints) -> Signal:
    """All channels at some pixels: windows that are as far apart, of which one tap is taken.

    `index` holds the places of the tensor that `node` gives. Raises ModelError for any other choice.
    """
    shape = signal.index.shape
    image, order = as_image(node, signal) if len(shape) == 4 else (None, None)
    if image is None or order is None or index.ndim != 4 or index.shape[1] != shape[1]:
        raise _uneven(node)
    rows = _axis(index[0, 0, :, 0] // (shape[3] * shape[1]), shape[2])
    columns = _axis(index[0, 0, 0, :] // shape[1] % shape[3], shape[3])
    if rows is None or columns is None:
        raise _uneven(node)
    (top, down, tall), (left, right, wide) = rows, columns
    if not np.array_equal(
        index, signal.index[:, :, top::down, left::right][..., : index.shape[2], : index.shape[3]]
    ):
        raise _uneven(node)
    kernel = (tall, wide)
    port, window = build.add(f"{node.name}_window", Windows(image, kernel, (down, right)), signal.port)
    stream = window.outputs[0]
    if kernel != (1, 1):
        weights = np.zeros((shape[1], tall * wide), np.int64)
        weights[:, top * wide + left] = 1
        port, kernel_taken = build.add(node.name, ChannelDot(stream, weights, TERNARY), port)
        stream = kernel_taken.outputs[0]
    build.say(f"one tap of windows of {tall}x{wide}, every {down} rows and {right} columns")
    segment = Segment(node.output[0], raster_index(index.shape, order))
    return replace(signal, port=port, stream=stream, pending=(segment,))


def _axis(places: Ints, size: int) -> tuple[int, int, int] | None:
    """Start, step and the smallest window that gives as many positions as there are `places`."""
    count, start = len(places), int(places[0])
    step = int(places[1]) - start if count > 1 else size
    if step < 1 or not np.array_equal(places, start + step * np.arange(count)):
        return None
    return start, step, max(start + 1, size - count * step + 1)


def _uneven(node: onnx.NodeProto) -> ModelError:
    return ModelError(
        f"{node.name}: takes some positions of an image and not others; legal: rows and columns evenly "
        "apart, or the same channels at every position; crop the frames before the network instead"
    )
