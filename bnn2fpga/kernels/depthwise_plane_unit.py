"""Depthwise convolution with weights of 3 to 8 bits: bit planes, as in `PlaneMvu`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from bnn2fpga.circuits.plane_products import PlaneProducts
from bnn2fpga.circuits.resources import Parts
from bnn2fpga.design.integers import Ints
from bnn2fpga.design.layers import ChannelDot, Layer
from bnn2fpga.kernels.bases.weight_planes import MOST_BITS, flipped, is_planes, plane_products, weight_type
from bnn2fpga.kernels.depthwise_unit import DepthwiseUnit


@dataclass(frozen=True, eq=False)
class DepthwisePlaneUnit(DepthwiseUnit):
    """The dot product of every window with `weights` (C, taps) of 3 to 8 bits, channel by channel."""

    summary = f"depthwise convolution: a 3 to {MOST_BITS} bit kernel of its own for every channel"
    template = "depthwise_plane_unit"

    @classmethod
    def implements(cls, layer: Layer) -> Self | None:
        if not isinstance(layer, ChannelDot) or not is_planes(layer.weight_type):
            return None
        source, kind = layer.source, weight_type(layer.source.type, layer.weight_type)
        return cls(source.shape, source.type, layer.weights.shape[1], 1, layer.weights, kind)

    @property
    def popcounts(self) -> tuple[PlaneProducts, ...]:
        return (plane_products(1, self.source_type, self.weight_type),)

    @property
    def product_stages(self) -> int:
        return self.popcounts[0].stages

    @property
    def sum_start(self) -> int:
        """What a window's sum starts from: every product is larger by the excess."""
        return -self.popcounts[0].excess * self.taps

    @property
    def rom_weights(self) -> Ints:
        return flipped(self.tiles, self.source_type, self.weight_type)

    @property
    def parts(self) -> Parts:
        (product,) = self.popcounts
        return {
            **super().parts,
            "terms": 0,
            "products": self.lanes * product.luts,
            "product registers": self.lanes * product.registers,
        }
