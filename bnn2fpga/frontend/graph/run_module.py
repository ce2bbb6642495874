"""Runs a Brevitas module as PyTorch does."""

from __future__ import annotations

from typing import Any

import numpy as np

from bnn2fpga.frontend.graph.execute import Array


def run_eagerly(module: Any, frames: Array, batch: int = 256) -> Array:
    """The module's outputs for frames (N, …), in evaluation mode; the module's mode is left as it was."""
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
    # quantized layers may return Brevitas' QuantTensor, whose value is the plain tensor
    return np.concatenate([np.asarray(getattr(chunk, "value", chunk)) for chunk in chunks])
