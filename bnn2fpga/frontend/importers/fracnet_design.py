"""The folded FracBNN network as kernels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bnn2fpga.design.graph import Design, Port
from bnn2fpga.design.host import HostShare, HostWork, check_pixels
from bnn2fpga.design.integers import BIPOLAR, Ints, IntType
from bnn2fpga.design.layers import Bend, Concat, Dot, GatedDot, Map, Shift, Spread, Sum, Windows, WindowSum
from bnn2fpga.design.step_functions import Steps
from bnn2fpga.design.stream import Stream
from bnn2fpga.driver.operations import Cast, Linear, WholeNumbers
from bnn2fpga.driver.program import Program
from bnn2fpga.errors import ModelError
from bnn2fpga.frontend.graph.execute import Array
from bnn2fpga.frontend.importers.fracnet import COLOR_LEVELS, IMAGE, Floats, channels_last, load_fracnet
from bnn2fpga.frontend.importers.fracnet_trunk import FoldedStage, FoldedTrunk, fold_trunk
from bnn2fpga.frontend.lowering.builder import Builder

PIXEL = IntType(8)
CODE = IntType(2)
BORDER = -1
"""What stands outside of an image among 2-bit codes; see `layers.GatedDot`."""
PADS = (1, 1, 1, 1)


@dataclass(frozen=True, eq=False)
class LinearHost:
    """Pixels in; the linear layer behind the global pool, in floating point and one order of addition."""

    weight: Floats
    bias: Floats
    input_shape: tuple[int, ...] = IMAGE

    def encode(self, x: Array) -> Ints:
        """Pixels 0 to 255, (N, 32, 32, 3) or (N, 3, 32, 32), with their colors last."""
        check_pixels(x)
        return channels_last(x.astype(np.uint8)).astype(np.int16)

    def decode(self, y: Ints) -> Array:
        """Logits (N, 10)."""
        return Linear(self.weight, self.bias)(y)

    def share(self) -> HostShare:
        products = self.weight.size
        linear = HostWork("linear", "Gemm", False, products + self.bias.size, products, self.bias.size)
        return HostShare(
            Program.chain(WholeNumbers(0, 255), Cast("int64")),
            Program.chain(Linear(self.weight, self.bias)),
            work=(linear,),
        )


def import_fracnet(path: str | Path) -> Design:
    """The Design of a FracBNN parameter file; its `run` takes images of 0..255 and gives logits.

    Raises ModelError for a file that `load_fracnet` does not take.
    """
    return fracnet_design(fold_trunk(load_fracnet(path)), Path(path).stem)


def fracnet_design(net: FoldedTrunk, name: str) -> Design:
    """The integer design: what `net.pooled` computes, in kernels; the host adds the linear layer.

    Raises ModelError if the thermometer code falls somewhere.
    """
    if np.any(np.diff(net.counts) < 0):
        raise ModelError(f"{name}: a brighter pixel has fewer thermometer bits; the code must not fall")
    build = Builder()
    stream = Stream(IMAGE, PIXEL)
    port = build.open_input(stream)
    port, kernel = build.add("thermometer", _thermometer(stream, net.counts), port)
    port, kernel = build.add("conv1_window", Windows(kernel.outputs[0], (3, 3), pads=PADS), port)
    flat, channels = _flat(net.first_weights), net.first_weights.shape[1]
    port, kernel = build.add("conv1", Dot(kernel.outputs[0], flat, BIPOLAR, channels), port)
    # the first trunk is the sums themselves; the first addition puts them on the grid
    grid_bits, trunk = net.grid_bits, kernel.outputs[0]
    for number, (stage, kind) in enumerate(zip(net.stages, net.trunk_types[1:], strict=True), 1):
        port, trunk = _stage(build, f"stage{number}", stage, port, trunk, kind, grid_bits)
        grid_bits = 0
    pooled = Stream((trunk.size,), trunk.type)
    port, _ = build.add("pool", WindowSum(pooled, trunk.pixels), port)
    return build.finish(name, [port], LinearHost(net.linear_weight, net.linear_bias))


def _thermometer(image: Stream, counts: Ints) -> Spread:
    """Bit after bit of a color, the next color's behind them; a bit is set from some pixel value on."""
    brightness = np.searchsorted(counts, np.arange(COLOR_LEVELS), side="right")
    channels = np.repeat(np.arange(image.channels), COLOR_LEVELS)
    thresholds = np.tile(brightness, image.channels)[:, None]
    return Spread(image, channels, Steps(0 * channels, thresholds, np.ones_like(thresholds), BIPOLAR))


def _stage(
    build: Builder,
    name: str,
    stage: FoldedStage,
    trunk_port: Port,
    trunk: Stream,
    kind: IntType,
    grid_bits: int,
) -> tuple[Port, Stream]:
    """One stage, from a trunk that is 2**grid_bits coarser than the stage's own to one of type `kind`."""
    thresholds = -(-stage.activation >> grid_bits)
    steps = Steps(np.zeros(len(thresholds), np.int64), thresholds, np.ones_like(thresholds), CODE)
    port, kernel = build.add(f"{name}_code", Map(trunk, steps), trunk_port)
    windows = Windows(kernel.outputs[0], (3, 3), (stage.stride, stage.stride), PADS, pad_value=BORDER)
    port, kernel = build.add(f"{name}_window", windows, port)
    gated = GatedDot(kernel.outputs[0], _flat(stage.weights), stage.gate, stage.weights.shape[1])
    port, kernel = build.add(f"{name}_conv", gated, port)
    port, kernel = build.add(f"{name}_rprelu", Bend(kernel.outputs[0], stage.branch, stage.branch_type), port)
    (branch,) = kernel.outputs
    if stage.stride == 2:
        trunk_port, trunk = _shortcut(build, name, trunk_port, trunk)
    total = Sum(trunk, branch, (grid_bits, 0), output=kind)
    port, kernel = build.add(f"{name}_add", total, trunk_port, port)
    return port, kernel.outputs[0]


def _shortcut(build: Builder, name: str, port: Port, trunk: Stream) -> tuple[Port, Stream]:
    """The mean of 2x2 positions, halves rounded up, twice along the channels."""
    port, kernel = build.add(f"{name}_pool_window", Windows(trunk, (2, 2), (2, 2)), port)
    port, kernel = build.add(f"{name}_pool", WindowSum(kernel.outputs[0], 4), port)
    (sums,) = kernel.outputs
    mean = Shift(sums, np.full(sums.channels, 2), 2, trunk.type)
    port, kernel = build.add(f"{name}_mean", mean, port)
    port, kernel = build.add(f"{name}_twice", Concat(kernel.outputs[0], kernel.outputs[0]), port, port)
    return port, kernel.outputs[0]


def _flat(weights: Array) -> Ints:
    """(out, in, 3, 3) as (out, 9 * in), taps in raster order."""
    return weights.transpose(0, 2, 3, 1).reshape(len(weights), -1)
