"""Numbers as the bits of a table of constants."""

from __future__ import annotations

import numpy as np

from bnn2fpga.circuits.rom import Bits, Rom
from bnn2fpga.design.integers import Ints, IntType


def field_bits(values: Ints, width: int) -> Bits:
    """The lowest `width` bits of every value, two's complement: (…, width), bit 0 first."""
    return ((values[..., None].astype(np.int64) >> np.arange(width)) & 1).astype(np.uint8)


def type_bits(values: Ints, kind: IntType) -> Bits:
    """Values of `kind` as a stream carries them: (…, kind.bits), bit 0 first."""
    return field_bits((values + 1) // 2 if kind.bipolar else values, kind.bits)


def lanes_rom(lanes: int, *fields: Bits) -> Rom:
    """Fields (channels, …, bits) of each channel behind one another, `lanes` channels a word."""
    together = np.concatenate([field.reshape(len(field), -1) for field in fields], axis=1)
    return Rom.of_bits(together.reshape(len(together) // lanes, -1))


def threshold_type(source: IntType) -> IntType:
    """Of thresholds for numbers of type `source`: one that is never reached lies just above them."""
    return IntType.holding(source.low, source.high + 1)
