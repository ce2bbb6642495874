"""What is measured on images instead of learned: before training, and after it.

Before it, what batch norm would do to the first batch is put into the parameters (Salimans and Kingma,
"Weight Normalization", arXiv 1602.07868, section 3): for networks without batch norm everything starts
centred and of unit variance, and training takes it from there. After it, running means and deviations: those
of the last steps, with some per cent of noise, would be in every threshold.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from bnn2fpga.training.fractional import FractionalConv2d, RPReLU
from bnn2fpga.training.layers import BinaryConv2d, BinaryLinear, follows

LEAST_DEVIATION = 1e-3


def calibrate(net: nn.Module, images: Tensor) -> None:
    """Sets gains, shifts and input scales from `images` (N, C, H, W), layer after layer.

    Every binary layer with a gain gets outputs of mean 0 and deviation 1 a channel, every RPReLU outputs of
    mean 0; a fractional convolution learns the deviation of its input. Running means and deviations become
    those of `images`. What layers with batch norm, folded or behind them, learn stays as it is.
    """
    handles = []
    for layer in net.modules():
        if isinstance(layer, FractionalConv2d):
            handles.append(layer.register_forward_pre_hook(_scale_input))
        if isinstance(layer, BinaryConv2d | BinaryLinear) and not _is_normed(layer):
            handles.append(layer.register_forward_hook(_standardize_output))
        if isinstance(layer, RPReLU) and layer.powers:
            handles.append(layer.register_forward_hook(_centre_output))
    settle(net, [images])
    for handle in handles:
        handle.remove()


def settle(net: nn.Module, batches: Iterable[Tensor]) -> None:
    """All running means and deviations, batch norm's too, become about those of all `batches` (N, C, H, W).

    Behind layers that follow theirs it takes many batches, as the first ones pass old means in front.
    """
    layers = [layer for layer in net.modules() if follows(layer) or isinstance(layer, nn.BatchNorm2d)]
    momenta = [layer.momentum for layer in layers]
    seen = 0
    net.train()
    with torch.no_grad():
        for images in batches:
            seen += len(images)
            for layer in layers:
                layer.momentum = len(images) / seen
            net(images)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum


def _is_normed(layer: BinaryConv2d | BinaryLinear) -> bool:
    return layer.folded_norm or layer.output_scale is not None


def _channels(y: Tensor) -> tuple[int, ...]:
    """All axes but the channels'."""
    return (0, *range(2, y.dim()))


def _scale_input(layer: FractionalConv2d, inputs: tuple[Tensor, ...]) -> None:
    (x,) = inputs
    if layer.tracked:
        layer.beta.data.fill_(1.0)
        layer.follow_deviation(x)
    elif layer.output_scale is None:
        centred = x - x.mean(_channels(x), keepdim=True)
        layer.beta.data.copy_(centred.square().mean().sqrt().clamp_min(LEAST_DEVIATION))


def _standardize_output(layer: Any, inputs: tuple[Tensor, ...], y: Tensor) -> Any:
    if layer.centred:
        y = layer.forward(*inputs)  # around the mean that making the first y has found
    weight, *folded = layer.fold()
    magnitude, (scale, shift, mean) = layer.magnitude(weight), (values.flatten() for values in folded)
    sums_deviation = (y.std(_channels(y)) / scale.abs()).clamp_min(LEAST_DEVIATION)
    sums_mean = (y.mean(_channels(y)) - shift) / scale
    layer.gain.data.copy_(1 / (magnitude * sums_deviation))
    layer.shift.data.copy_((mean - sums_mean) * magnitude)
    return layer.forward(*inputs)


def _centre_output(layer: RPReLU, inputs: tuple[Tensor, ...], y: Tensor) -> Any:
    if not layer.tracked:  # else the first pass has found it
        layer.behind.data.sub_(y.mean(_channels(y)))
    return layer.forward(*inputs)
