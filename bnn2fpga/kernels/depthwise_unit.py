"""Depthwise convolution: every channel has a kernel of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from bnn2fpga.circuits.memory import Memory, counter_bits, rom
from bnn2fpga.circuits.resources import Parts
from bnn2fpga.circuits.rom import Rom
from bnn2fpga.design.integers import BIPOLAR, Ints, IntType
from bnn2fpga.design.layers import ChannelDot, Layer, dot_range, partial_sum_type
from bnn2fpga.design.packed_frames import PackedFrames
from bnn2fpga.kernels.bases.rom_fields import type_bits
from bnn2fpga.kernels.bases.window_reducer import WindowReducer


@dataclass(frozen=True, eq=False)
class DepthwiseUnit(WindowReducer):
    """The dot product of every window with `weights` (C, taps) of 1 or 2 bits, channel by channel."""

    weights: Ints = field(default_factory=lambda: np.ones((1, 1), np.int8))
    weight_type: IntType = BIPOLAR

    summary = "depthwise convolution: a 1 or 2 bit kernel of its own for every channel"
    template = "depthwise_unit"

    @classmethod
    def implements(cls, layer: Layer) -> Self | None:
        if not isinstance(layer, ChannelDot) or layer.weight_type.bits > 2:
            return None
        taps = layer.weights.shape[1]
        return cls(layer.source.shape, layer.source.type, taps, 1, layer.weights, layer.weight_type)

    @property
    def kept_type(self) -> IntType:
        return partial_sum_type(*self.accumulator_range)

    @property
    def dot_affine(self) -> tuple[int, int]:
        """The output is the dot product itself."""
        return (1, 0)

    @property
    def accumulator_range(self) -> tuple[int, int]:
        """The exact smallest and largest dot product."""
        return dot_range(self.weights, self.source_type)

    def reduce(self, taps: Ints) -> Ints:
        return (taps.astype(np.int64) * self.weights.T).sum(axis=-2)

    def packed(self, *frames: PackedFrames) -> tuple[PackedFrames, ...]:
        (x,) = frames
        weights = np.ascontiguousarray(self.weights.T, np.int32)
        return (x.following(self.outputs[0], x.library.weighted_taps(x.integers, weights)),)

    @property
    def roms(self) -> Mapping[str, Rom]:
        bits = type_bits(self.rom_weights, self.weight_type)
        return {"weights": Rom.of_bits(bits.reshape(len(bits), -1))}

    @property
    def parts(self) -> Parts:
        terms = self.lanes * self.weight_type.bits * self.source_type.bits
        return {**super().parts, "places": counter_bits(self.taps * self.channel_folds), "terms": terms}

    @property
    def memories(self) -> tuple[Memory, ...]:
        weights = rom(self.taps * self.channel_folds, self.lanes * self.weight_type.bits)
        return (*super().memories, weights)

    @property
    def rom_weights(self) -> Ints:
        """The tiles as the memory of the SystemVerilog holds them."""
        return self.tiles

    @property
    def tiles(self) -> Ints:
        """(taps * channel folds, lanes): the weights in the order of the beats."""
        return self.weights.T.reshape(self.taps * self.channel_folds, self.lanes)
