"""What the hybrids share: a stem, what lies between stages, and the scores of a trunk's averages."""

import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from bnn2fpga.training.attention import MovedSign
from bnn2fpga.training.fractional import OnGrid
from bnn2fpga.training.layers import PIXEL_RMS, BinaryConv2d, pixels
from bnn2fpga.training.resnet import FEATURE_GAIN


def stem(inputs: int, outputs: int, fraction_bits: int) -> list[nn.Module]:
    """Images (N, inputs, H, W) in [0, 1) to the trunk, half as wide and high."""
    conv = BinaryConv2d(inputs, outputs, 3, padding=1, gamma=1 / PIXEL_RMS, stride=2)
    return [pixels(), conv, OnGrid(fraction_bits)]


def embedding(inputs: int, outputs: int, variance: float, fraction_bits: int) -> list[nn.Module]:
    """The trunk of one stage to that of the next, half as wide and high, of variance 1 again."""
    conv = BinaryConv2d(inputs, outputs, 2, stride=2)
    return [MovedSign(inputs, math.sqrt(variance)), conv, OnGrid(fraction_bits)]


class Hybrid(nn.Module):  # type: ignore[misc]
    """`layers` to a trunk of `channels` and `variance`, whose averages a float layer makes scores of."""

    def __init__(self, layers: Sequence[nn.Module], channels: int, variance: float, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.feature_gain = 2.0 ** round(math.log2(FEATURE_GAIN / math.sqrt(variance)))
        self.linear = nn.Linear(channels, classes)

    def forward(self, images: Tensor) -> Tensor:
        features = F.adaptive_avg_pool2d(self.layers(images), 1).flatten(1)
        return self.linear(self.feature_gain * features)
