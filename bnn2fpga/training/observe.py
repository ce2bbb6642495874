"""One pass of a network, seen layer by layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Hook = Callable[[Any, tuple[Any, ...], Tensor], None]
"""Told of a layer, its inputs and its output."""


def observe(net: nn.Module, images: Tensor, kinds: tuple[type[nn.Module], ...], hook: Hook) -> None:
    """Passes `images` through `net` in evaluation; `hook` sees all of `kinds`. The mode is as before then."""
    layers: list[Any] = [layer for layer in net.modules() if isinstance(layer, kinds)]
    handles = [layer.register_forward_hook(hook) for layer in layers]
    training = net.training
    try:
        with torch.no_grad():
            net.eval()(images)
    finally:
        for handle in handles:
            handle.remove()
        net.train(training)
