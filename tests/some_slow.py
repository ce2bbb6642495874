"""Parameters of which the first are always tested, the others with the slow tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest


def some_slow(name: str, values: Sequence[Any], always: int = 1) -> pytest.MarkDecorator:
    """`pytest.mark.parametrize` with all but the first `always` values marked slow."""
    rest = [pytest.param(value, marks=pytest.mark.slow) for value in values[always:]]
    return pytest.mark.parametrize(name, [*values[:always], *rest])
