"""A bounded part of what `python -m tests.fuzz` does without bound."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.campaign import campaign, counted
from tests.fuzz.seeds import make_seeds


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small networks of every kind, and a parameter file."""
    return make_seeds(tmp_path_factory.mktemp("seeds"))


@pytest.mark.slow
def test_changed_files_are_built_or_refused(seeds: Path, tmp_path: Path) -> None:
    counts, faults = counted(campaign(seeds, tmp_path, 0, 150))
    print(dict(counts))
    assert not faults
    assert counts["refused"] and counts["built"], "some changes do no harm"
