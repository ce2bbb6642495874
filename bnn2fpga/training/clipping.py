"""Adaptive gradient clipping: what batch norm did to keep steps small, for networks without it."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

LEAST_NORM = 1e-3
"""Smallest weight norm that counts; weights that start at 0 could not move otherwise."""


def clip_gradients(parameters: Iterable[nn.Parameter], limit: float) -> None:
    """Scales every unit's gradient G down to `limit` times the norm of its weights W where it is larger.

    A unit is one output channel (first axis) of a weight, or the whole of a vector. limit is 0.001 to 0.16
    in the literature; the last layer is to be left out. Brock et al., arXiv 2102.06171.
    """
    with torch.no_grad():
        for parameter in parameters:
            if parameter.grad is not None:
                allowed = limit * _norms(parameter).clamp_min(LEAST_NORM)
                gradient = _norms(parameter.grad).clamp_min(1e-12)
                parameter.grad.mul_((allowed / gradient).clamp_max(1.0))


def _norms(values: Tensor) -> Tensor:
    """Norm of every unit, of a shape that broadcasts over the values."""
    if values.dim() < 2:
        return values.norm()
    return values.flatten(1).norm(dim=1).view(-1, *(1,) * (values.dim() - 1))
