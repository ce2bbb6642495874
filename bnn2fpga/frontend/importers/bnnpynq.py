"""Imports the parameters of Xilinx' BNN-PYNQ networks (LFC and CNV), kept in a neutral .npz file.

The file holds, for each layer in the order of `meta/layer_order`:

- `<layer>/weight_bits`: uint8, 1 for +1 and 0 for -1; (out, in) for a dense layer, (out, in, kh, kw)
  for a convolution without padding, stride 1.
- `<layer>/threshold`: integers (out,), absent for the last layer of scores. The output bit is
  popcount > threshold, where the popcount counts equal bits; behind 8-bit pixels it is
  2 * sum > threshold (BNN-PYNQ keeps these in half units).
- `<layer>/maxpool_after`: 2 for a 2x2 max pool behind the layer, 0 or absent for none.

and `meta/input_lut_uint8_to_int8`, int8 (256,), where the first layer takes pixels; without it the
first layer takes the bit pixel >= 128.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from pathlib import Path

import numpy as np

from bnn2fpga.design.graph import Design, Port
from bnn2fpga.design.host import HostShare, check_pixels
from bnn2fpga.design.integers import BIPOLAR, Ints, IntType
from bnn2fpga.design.layers import Dot, Map, WindowMax, Windows
from bnn2fpga.design.step_functions import Steps
from bnn2fpga.design.stream import Stream
from bnn2fpga.driver.operations import Cast, Largest, LastPositive, Operation, Table, WholeNumbers
from bnn2fpga.driver.program import Program
from bnn2fpga.errors import BuildError, ModelError
from bnn2fpga.files.arrays import read_arrays
from bnn2fpga.frontend.graph.execute import Array
from bnn2fpga.frontend.lowering.builder import Builder
from bnn2fpga.frontend.lowering.threshold_fusion import fuse_thresholds


@dataclass(frozen=True, eq=False)
class PixelHost:
    """Pixels 0..255 through a table of 256 integers; labels out.

    With `one_hot` the label is the place of the highest set output bit, 0 if there is none (the
    original driver's rule), otherwise the place of the first largest score.
    """

    input_shape: tuple[int, ...]
    table: Ints
    one_hot: bool

    def encode(self, x: Array) -> Ints:
        if x.shape[1:] != self.input_shape:
            raise BuildError(
                f"images of shape {x.shape} do not fit; legal: (N, {', '.join(map(str, self.input_shape))})"
            )
        check_pixels(x)
        return self.table[x]

    def decode(self, y: Ints) -> Array:
        scores = y.reshape(len(y), -1)
        if not self.one_hot:
            return scores.argmax(axis=1)
        return np.where(scores > 0, np.arange(scores.shape[1]), 0).max(axis=1)

    def share(self) -> HostShare:
        label: Operation = LastPositive() if self.one_hot else Largest(axis=1, count=1, shape=())
        pixels = Program.chain(WholeNumbers(0, 255), Cast("int64"), Table(self.table))
        return HostShare(pixels, Program.chain(label), outputs=("label",))


def import_bnnpynq(path: str | Path, fuse: bool = True) -> Design:
    """The Design of a BNN-PYNQ parameter file; its `run` takes images (N, H, W[, C]) of 0..255.

    With `fuse=False` thresholds stay kernels of their own, so that `trace` shows the popcounts.
    Raises ModelError for a file that is not of the format above.
    """
    arrays = read_arrays(Path(path), ModelError)
    try:
        design = _build(arrays, Path(path).stem)
    except KeyError as error:
        raise ModelError(f"{path}: array {error} is missing") from error
    except (BuildError, ValueError, IndexError) as error:
        raise ModelError(f"{path}: {error}") from error
    return fuse_thresholds(design) if fuse else design


def _build(arrays: Mapping[str, Array], name: str) -> Design:
    layers = [str(layer) for layer in arrays["meta/layer_order"]]
    first = arrays[f"{layers[0]}/weight_bits"]
    build = Builder()
    kind = IntType(8, signed=True) if "meta/input_lut_uint8_to_int8" in arrays else BIPOLAR
    table = np.asarray(
        arrays.get("meta/input_lut_uint8_to_int8", np.where(np.arange(256) >= 128, 1, -1)), np.int64
    )
    stream = Stream(_input_shape(first.shape), kind)
    image_shape = stream.shape if first.ndim == 4 else (isqrt(first.shape[1]),) * 2
    port = build.open_input(stream)
    for layer in layers:
        port, stream = _layer(build, arrays, layer, port, stream)
    host = PixelHost(image_shape, table, one_hot=f"{layers[-1]}/threshold" in arrays)
    return build.finish(name, [port], host)


def _input_shape(weights: tuple[int, ...]) -> tuple[int, ...]:
    """A dense layer takes a vector; BNN-PYNQ's convolutional networks take 32x32 images."""
    return (32, 32, weights[1]) if len(weights) == 4 else (weights[1],)


def _layer(
    build: Builder, arrays: Mapping[str, Array], layer: str, port: Port, stream: Stream
) -> tuple[Port, Stream]:
    bits = arrays[f"{layer}/weight_bits"].astype(np.int64)
    if np.any((bits != 0) & (bits != 1)):
        raise ModelError(f"{layer}: weight bits other than 0 and 1")
    weights = 2 * bits - 1
    pixels = stream.type != BIPOLAR
    if weights.ndim == 4:
        port, window = build.add(f"{layer}_window", Windows(stream, weights.shape[2:]), port)
        stream = window.outputs[0]
        weights = weights.transpose(0, 2, 3, 1).reshape(len(weights), -1)
    elif stream.size == weights.shape[1]:
        stream = Stream((stream.size,), stream.type)
    if stream.channels != weights.shape[1]:
        raise ModelError(f"{layer}: takes {weights.shape[1]} inputs, {stream.channels} arrive")
    port, kernel = build.add(layer, Dot(stream, weights, BIPOLAR), port)
    (stream,) = kernel.outputs
    if f"{layer}/threshold" in arrays:
        thresholds = arrays[f"{layer}/threshold"].astype(np.int64)
        if thresholds.shape != weights.shape[:1]:
            raise ModelError(f"{layer}: {thresholds.size} thresholds for {len(weights)} channels")
        # x > t, and 2x > t, for integers x
        first_above = thresholds // 2 + 1 if pixels else thresholds + 1
        ones = np.ones((len(thresholds), 1), np.int64)
        steps = Steps(np.zeros(len(thresholds), np.int64), first_above[:, None], ones, BIPOLAR)
        port, kernel = build.add(f"{layer}_threshold", Map(stream, steps), port)
        (stream,) = kernel.outputs
    if int(arrays.get(f"{layer}/maxpool_after", np.zeros(1)).item()):
        port, window = build.add(f"{layer}_pool_window", Windows(stream, (2, 2), (2, 2)), port)
        port, kernel = build.add(f"{layer}_pool", WindowMax(window.outputs[0], 4), port)
        (stream,) = kernel.outputs
    return port, stream
