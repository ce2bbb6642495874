"""Adaptive gradient clipping: what batch norm did to keep steps small, for networks without it."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

LEAST_NORM = 1e-3
"""Smallest norm of a unit that counts."""


def clip_gradients(weights: Iterable[nn.Parameter], limit: float) -> None:
    """Scales every unit's gradient G down to `limit` times the norm of its weights W where it is larger.

    A unit is one output channel (first axis) of a weight (out, in, ...). `limit` is 0.001 (A&B BNN, arXiv
    2403.03739) to 0.16 in the literature; the last layer is to be left out (Brock et al., arXiv 2102.06171).
    They limit biases and gains, too; here these are near 0, and a limit as small keeps them there.
    """
    with torch.no_grad():
        for weight in weights:
            if weight.grad is not None:
                allowed = limit * weight.flatten(1).norm(dim=1).clamp_min(LEAST_NORM)
                norms = weight.grad.flatten(1).norm(dim=1).clamp_min(1e-12)
                factors = (allowed / norms).clamp_max(1.0)
                weight.grad.mul_(factors.view(-1, *(1,) * (weight.dim() - 1)))
