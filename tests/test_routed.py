"""What was routed for real, and what the planner makes of it."""

from __future__ import annotations

import json

import pytest

from benchmarks.routed import KEPT, fit, table
from bnn2fpga.planning.limits import FRAME, MAX_BEAT, PLACES

ROWS = json.loads(KEPT.read_text())


def test_the_planner_counts_with_what_was_routed() -> None:
    slope, frame = fit(ROWS)
    assert pytest.approx(slope, abs=0.005) == PLACES
    assert pytest.approx(frame, abs=1) == FRAME
    for row in ROWS:
        planned = PLACES * (row["planned_luts"] + FRAME)
        assert row["places"] == pytest.approx(planned, rel=0.08), row["design"]
        assert row["widest_beat"] <= MAX_BEAT and row["mhz"] >= 80
    assert table(ROWS).count("\n") == len(ROWS) + 1
