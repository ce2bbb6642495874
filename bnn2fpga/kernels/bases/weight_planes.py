"""Weights of several bits as the circuits of bit planes take them."""

from __future__ import annotations

import numpy as np

from bnn2fpga.circuits.plane_products import PlaneProducts, Sign
from bnn2fpga.design.integers import Ints, IntType

MOST_BITS = 8
"""Of a weight."""


def is_planes(weights: IntType) -> bool:
    """Whether such weights are more than additions and subtractions of the inputs."""
    return 2 < weights.bits <= MOST_BITS


def weight_type(source: IntType, weights: IntType) -> IntType:
    """Of weights in their memory: inputs of -1 and +1 take signed ones."""
    unsigned = source.bipolar and not weights.signed
    return IntType(weights.bits + 1, signed=True) if unsigned else weights


def plane_products(lanes: int, source: IntType, weights: IntType) -> PlaneProducts:
    """The circuit for `lanes` inputs of type `source` and their weights."""
    sign: Sign = "bipolar" if source.bipolar else "signed" if source.signed else ""
    return PlaneProducts(lanes, source.bits, sign, weights.bits, weights.signed)


def flipped(values: Ints, source: IntType, weights: IntType) -> Ints:
    """Weights as the circuit takes them: for inputs of -1 and +1 with their top bits inverted."""
    excess = plane_products(1, source, weights).excess
    return values.astype(np.int64) + excess if source.bipolar else values
