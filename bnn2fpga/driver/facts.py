"""What a file of a deployment folder says, by type and range; a ValueError says what it should."""

from __future__ import annotations

from math import isfinite, prod
from typing import Any, Mapping

import numpy as np

MOST_ELEMENTS = 1 << 26
"""Of one frame, or of one array that a layer makes of it."""
LARGEST_NUMBER = 1 << 62


def whole(value: Any, what: str, low: int = -LARGEST_NUMBER, high: int = LARGEST_NUMBER) -> int:
    """An integer from `low` to `high`."""
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{what} of {_short(value)}; legal: integers from {low} to {high}")
    return int(value)


def wholes(value: Any, what: str, low: int = -LARGEST_NUMBER, high: int = LARGEST_NUMBER) -> tuple[int, ...]:
    """Integers from `low` to `high`."""
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{what} of {_short(value)}; legal: a list of integers")
    return tuple(whole(one, what, low, high) for one in value)


def extents(value: Any, what: str) -> tuple[int, ...]:
    """The shape of a frame."""
    shape = wholes(value, what, 1, MOST_ELEMENTS)
    if prod(shape) > MOST_ELEMENTS:
        raise ValueError(f"{what} of {prod(shape):.1e} elements; legal: up to {MOST_ELEMENTS:.1e}")
    return shape


def finite(value: Any, what: str) -> float:
    """A finite number."""
    if type(value) not in (int, float) or not isfinite(value):
        raise ValueError(f"{what} of {_short(value)}; legal: finite numbers")
    return float(value)


def number(value: Any, what: str) -> float:
    """A finite number, not 0."""
    if not finite(value, what):
        raise ValueError(f"{what} of {_short(value)}; legal: finite numbers but 0")
    return float(value)


def text(value: Any, what: str) -> str:
    """A text."""
    if not isinstance(value, str):
        raise ValueError(f"{what} of {_short(value)}; legal: a text")
    return value


def file_name(value: Any, what: str) -> str:
    """The name of a file in the folder, or in a folder of it."""
    parts = text(value, what).split("/")
    if not all(parts) or ".." in parts or "\0" in value:
        raise ValueError(f"{what} of {_short(value)}; legal: a file within the folder")
    return str(value)


def switch(value: Any, what: str) -> bool:
    """True or False."""
    if not isinstance(value, bool):
        raise ValueError(f"{what} of {_short(value)}; legal: true, false")
    return value


def array(value: Any, what: str) -> Any:
    """An array of numbers, none of them NaN."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf":
        raise ValueError(f"{what} is no array of numbers")
    if value.dtype.kind == "f" and np.isnan(value).any():
        raise ValueError(f"{what} holds values that are no numbers (nan)")
    return value


FIELDS: Mapping[str, Any] = {
    "int": whole,
    "tuple[int, ...]": wholes,
    "float": finite,
    "str": text,
    "bool": switch,
    "NDArray[Any]": array,
}
"""How a field of an operation is checked, by its annotation."""


def _short(value: Any) -> str:
    said = repr(value)
    return said if len(said) <= 60 else f"{said[:60]}…"
