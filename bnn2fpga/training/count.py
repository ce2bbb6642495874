"""What a network costs, counted on the network itself: one image through it, every layer's own shapes.

Binary operations (BOPs) are one XNOR and one count each. The paper convention adds 1/64 of them to the
floating-point operations, as a 64-bit word does 64 at once (Liu et al., Bi-Real Net, arXiv 1808.00278).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import nn

from bnn2fpga.training.attention import ThresholdAttention
from bnn2fpga.training.fractional import FractionalConv2d, RPReLU
from bnn2fpga.training.layers import BinaryConv2d, BinaryLinear, two_powers
from bnn2fpga.training.observe import observe

WORD = 64
"""Binary operations that count as one floating-point operation."""

ROUNDED_TERMS = 2
"""Powers of two in a slope that was trained as a real number; see `fracnet_trunk`."""


@dataclass(frozen=True)
class Counts:
    """Of one image: `high` and `low` are the BOPs of fractional layers' two phases, `binary` all others.

    `norm_elements` and `rprelu_elements` are numbers that pass batch norms and RPReLUs, `trunk_elements`
    those of residual sums, `shifts` the powers of two that branches are made of, `linear`
    multiply-accumulates of layers in floating point. `attention` are products of two streams, of a bit each.
    """

    binary: int = 0
    high: int = 0
    low: int = 0
    norm_elements: int = 0
    rprelu_elements: int = 0
    trunk_elements: int = 0
    shifts: int = 0
    attention: int = 0
    linear: int = 0
    weight_bits: int = 0
    float_parameters: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


@dataclass(frozen=True)
class Convention:
    """How a paper counts: which binary operations, and floating-point operations an element."""

    name: str
    first: bool
    low_share: float
    norm_flops: int
    rprelu_flops: int
    linear: bool

    def bops(self, counts: Counts) -> float:
        """Binary operations."""
        return counts.high + self.low_share * counts.low + (counts.binary if self.first else 0)

    def flops(self, counts: Counts) -> int:
        """Floating-point operations."""
        elements = self.norm_flops * counts.norm_elements + self.rprelu_flops * counts.rprelu_elements
        return elements + (counts.linear if self.linear else 0)

    def operations(self, counts: Counts) -> float:
        """BOPs / 64 + FLOPs."""
        return self.bops(counts) / WORD + self.flops(counts)


GATED = 0.404
"""Share of FracBNN's outputs whose second phase counts, measured on its trained CIFAR-10 network."""

CONVENTIONS = (
    Convention("first phase, batch norm 2", False, 0.0, 2, 0, True),
    Convention("first phase, batch norm 2, no last layer", False, 0.0, 2, 0, False),
    Convention("both phases, batch norm 4", False, 1.0, 4, 0, True),
    Convention("gated phases and first layer, batch norm 2", True, GATED, 2, 0, True),
    Convention("gated phases and first layer, batch norm 4", True, GATED, 4, 0, True),
    Convention("first phase and first layer, batch norm 2", True, 0.0, 2, 0, True),
)
"""Those under which published figures have been read; which one the thesis on WSFracBNN used is not known."""


@dataclass(frozen=True)
class Hardware:
    """What the emitted hardware does for one image: nothing is multiplied."""

    xnors: int
    additions: int
    shifts: int
    multiplications: int

    @classmethod
    def of(cls, counts: Counts) -> Hardware:
        """Both phases are always computed; a branch is shifted and added up, and joins the trunk.

        Batch norms and shifts of RPReLU are constants of the branch and of thresholds. The last layer, if it
        is in floating point, is the host's.
        """
        xnors = counts.binary + counts.high + counts.low + counts.attention
        return cls(xnors, xnors + counts.shifts + counts.trunk_elements, counts.shifts, 0)


def count_operations(net: nn.Module, shape: tuple[int, int, int]) -> Counts:
    """The counts of `net` for an image of `shape` (C, H, W)."""
    found: list[Counts] = []

    def hook(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if isinstance(layer, ThresholdAttention):
            queries, keys = inputs[0][0].numel(), inputs[1][0, 0].numel()
            found.append(Counts(attention=2 * queries * keys))
        else:
            found.append(_count(layer, output[0].numel()))

    kinds = (ThresholdAttention, BinaryConv2d, BinaryLinear, nn.BatchNorm2d, RPReLU, nn.Linear)
    observe(net, torch.zeros(1, *shape), kinds, hook)
    return sum(found, Counts())


def _count(layer: nn.Module, outputs: int) -> Counts:
    """One layer that gives so many numbers."""
    if isinstance(layer, nn.BatchNorm2d):
        return Counts(norm_elements=outputs, float_parameters=2 * layer.num_features)
    if isinstance(layer, RPReLU):
        floats = 3 * len(layer.slope)
        terms = 1 if layer.powers else ROUNDED_TERMS
        return Counts(
            rprelu_elements=outputs,
            trunk_elements=outputs,
            shifts=terms * outputs,
            float_parameters=floats,
        )
    weights = layer.weight
    if isinstance(layer, BinaryConv2d | BinaryLinear):
        products = outputs * (weights.numel() // len(weights))
        floats = 0 if layer.output_scale is not None else 2 * len(weights)
        size = Counts(weight_bits=weights.numel(), float_parameters=floats)
        if isinstance(layer, FractionalConv2d):
            # the second power of two of a scale is one more in the slopes behind it
            second = layer.output_scale is None and layer.snap is two_powers
            return size + Counts(high=products, low=products, shifts=second * outputs)
        if isinstance(layer, BinaryConv2d) and 1 < layer.groups == layer.in_channels:
            return size + Counts(trunk_elements=products)  # numbers of the trunk, added or subtracted
        return size + Counts(binary=products)
    return Counts(linear=outputs * weights.shape[1], float_parameters=weights.numel() + outputs)
