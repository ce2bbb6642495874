"""Runs a Brevitas module as PyTorch does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from bnn2fpga.frontend.graph.execute import Array


def run_eagerly(module: Any, frames: Array, batch: int = 256) -> Any:
    """The module's output for frames (N, …), a tuple where it has several, in evaluation mode.

    The module's mode is left as it was.
    """
    import torch

    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with torch.no_grad():
            chunks = [
                module(torch.as_tensor(np.asarray(frames[at : at + batch], np.float32)))
                for at in range(0, len(frames), batch)
            ]
    finally:
        for part, training in modes:
            part.training = training
    if isinstance(chunks[0], tuple) and not hasattr(chunks[0], "value"):
        return tuple(_joined(parts) for parts in zip(*chunks, strict=True))
    return _joined(chunks)


def _joined(chunks: Iterable[Any]) -> Array:
    """Quantized layers may return Brevitas' QuantTensor, whose value is the plain tensor."""
    return np.concatenate([np.asarray(getattr(chunk, "value", chunk)) for chunk in chunks])
