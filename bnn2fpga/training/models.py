"""The networks that can be trained by name; the baseline fracbnn has batch norms, the others need none."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from inspect import signature
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from bnn2fpga.errors import ConfigError, first_line
from bnn2fpga.training.bcmt import BinaryCmt
from bnn2fpga.training.csasml import Csasml
from bnn2fpga.training.layers import PIXEL_RMS, BinaryConv2d, BinaryLinear, Sign, SignPool, pixels
from bnn2fpga.training.resnet import FracResNet

Shape = tuple[int, int, int]


def _score_scale(inputs: int) -> float:
    """A power of two that makes sums of `inputs` signs into scores of a few units."""
    return 2.0 ** -round(math.log2(inputs) / 2 + 1)


class Mlp(nn.Module):  # type: ignore[misc]
    """(N, C, H, W) in [0, 1) to scores (N, classes): dense layers of `hidden` signs; LFC is 3 x 1024."""

    def __init__(
        self, shape: Shape, classes: int, hidden: Sequence[int] = (1024,) * 3, standardized: bool = True
    ) -> None:
        super().__init__()
        sizes = [math.prod(shape), *hidden]
        layers: list[nn.Module] = [pixels(), nn.Flatten()]
        for index, (inputs, outputs) in enumerate(pairwise(sizes)):
            gamma = 1.0 if index else 1 / PIXEL_RMS
            layers += [BinaryLinear(inputs, outputs, gamma, standardized=standardized), Sign()]
        scale = _score_scale(sizes[-1])
        layers.append(BinaryLinear(sizes[-1], classes, output_scale=scale, standardized=standardized))
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)


class ConvNet(nn.Module):  # type: ignore[misc]
    """(N, C, H, W) in [0, 1) to scores: blocks of zero-padded 3x3 convolutions, each ended by a 2x2 max pool.

    `blocks` are the channels of each block's convolutions, `dense` the hidden dense layers. BNN-PYNQ's CNV
    has blocks ((64, 64), (128, 128), (256, 256)) and dense (512, 512), but pads nothing.
    """

    def __init__(
        self,
        shape: Shape,
        classes: int,
        blocks: Sequence[Sequence[int]] = ((64, 64), (128, 128), (256, 256)),
        dense: Sequence[int] = (512, 512),
        standardized: bool = True,
    ) -> None:
        super().__init__()
        channels, height, width = shape
        layers: list[nn.Module] = [pixels()]
        for block in blocks:
            for place, outputs in enumerate(block):
                gamma = 1 / PIXEL_RMS if len(layers) == 1 else 1.0
                layers.append(
                    BinaryConv2d(channels, outputs, 3, padding=1, gamma=gamma, standardized=standardized)
                )
                layers.append(SignPool(2) if place == len(block) - 1 else Sign())
                channels = outputs
            height, width = height // 2, width // 2
        if not height * width:
            raise ConfigError(f"convnet: {len(blocks)} pools leave nothing of images {shape[1]}x{shape[2]}")
        layers.append(nn.Flatten())
        inputs = channels * height * width
        for outputs in dense:
            layers += [BinaryLinear(inputs, outputs, standardized=standardized), Sign()]
            inputs = outputs
        layers.append(
            BinaryLinear(inputs, classes, output_scale=_score_scale(inputs), standardized=standardized)
        )
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)


MODELS: dict[str, Callable[..., nn.Module]] = {
    "mlp": Mlp,
    "bcmt": BinaryCmt,
    "csasml": Csasml,
    "convnet": ConvNet,
    "fracbnn": partial(FracResNet, norm=True),
    "wsfracbnn": partial(FracResNet, norm=False),
}
"""By the name that configurations and `bnn2fpga count` use."""


BASELINES = {"wsfracbnn": "fracbnn"}
"""What a network is compared with."""

MOST_WEIGHTS = 100_000_000
"""Of a network to be trained; what fits a chip has a tenth of them at most."""

GIVEN = ("shape", "classes", "norm")
"""What follows from the images and the network's name, so that no configuration may say it."""


def build_model(name: str, shape: Shape, classes: int, parameters: Mapping[str, Any]) -> nn.Module:
    """The network `name` for images of `shape`; a ConfigError for an unknown name or parameter."""
    if name not in MODELS:
        raise ConfigError(f"model {name!r} is not known; legal: {', '.join(sorted(MODELS))}")
    legal = [parameter for parameter in signature(MODELS[name]).parameters if parameter not in GIVEN]
    for parameter in parameters:
        if parameter not in legal:
            raise ConfigError(f"model {name}: no parameter {parameter!r}; legal: {', '.join(legal)}")
    try:
        with torch.device("meta"):  # a network of no weights: sizes are checked before memory is taken
            size = sum(weights.numel() for weights in MODELS[name](shape, classes, **parameters).parameters())
        if size > MOST_WEIGHTS:
            raise ConfigError(f"model {name}: {size:,} weights; legal: up to {MOST_WEIGHTS:,}")
        return MODELS[name](shape, classes, **parameters)
    except (TypeError, ValueError, RuntimeError, ArithmeticError, IndexError) as error:
        raise ConfigError(f"model {name}: its parameters make no network ({first_line(error)})") from error
