"""Step functions: exactly the table that they were read from, and flat beyond it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn2fpga.design.integers import BIPOLAR, TERNARY, Ints, IntType
from bnn2fpga.design.step_functions import MOST_STEPS, Steps
from bnn2fpga.errors import BuildError

FEW = 3
"""Up to this many steps one code path of `Steps.__call__` is taken, above it the other."""
PROPERTY = settings(max_examples=200, deadline=None)


@st.composite
def tables(draw: st.DrawFn, rough: bool) -> tuple[Ints, Ints, IntType]:
    """Levels (R, C) at rising points (R,), with many steps or with at most FEW a channel."""
    points = np.array(sorted(draw(st.sets(st.integers(-50, 50), min_size=1, max_size=12))))
    output = draw(st.sampled_from([BIPOLAR, TERNARY, IntType(2), IntType(4, True), IntType(6)]))
    channels = draw(st.integers(1, 4))
    top = output.levels - 1
    if rough:
        level = st.integers(0, top)
        columns = [draw(st.lists(level, min_size=len(points), max_size=len(points))) for _ in range(channels)]
    else:
        columns = []
        for _ in range(channels):
            rises = [0] * len(points)
            for place in draw(st.lists(st.integers(0, len(points) - 1), max_size=FEW)):
                rises[place] += 1
            column = np.minimum(np.cumsum(rises), top)
            columns.append((column if draw(st.booleans()) else top - column).tolist())
    return np.array(columns).T, points, output


def check(levels: Ints, points: Ints, output: IntType) -> Steps:
    """Evaluates at every integer of the range and beyond: the level is that of the last point reached."""
    steps = Steps.read(levels, points, output)
    reach = np.arange(points[0] - 3, points[-1] + 4)
    last = np.maximum(np.searchsorted(points, reach, side="right") - 1, 0)
    expected = output.low + output.step * levels[last]
    everywhere = steps(np.repeat(reach[:, None], levels.shape[1], axis=1))
    assert everywhere.tolist() == expected.tolist()
    assert everywhere.dtype == output.dtype
    assert (
        steps(points[:, None] + np.zeros_like(levels)).tolist()
        == (output.low + output.step * levels).tolist()
    )
    return steps


@PROPERTY
@given(tables(rough=True))
def test_any_table_is_met_at_every_point(table: tuple[Ints, Ints, IntType]) -> None:
    steps = check(*table)
    assert steps.count == np.abs(np.diff(table[0], axis=0)).sum(axis=0).max(initial=0)
    assert steps.channels == table[0].shape[1]


@PROPERTY
@given(tables(rough=False))
def test_a_table_of_few_steps_is_met_at_every_point(table: tuple[Ints, Ints, IntType]) -> None:
    assert check(*table).count <= FEW


@PROPERTY
@given(tables(rough=True), st.integers(1, 4))
def test_both_code_paths_agree(table: tuple[Ints, Ints, IntType], more: int) -> None:
    """Steps that are never taken lead to the path for many steps and change nothing."""
    steps = Steps.read(*table)
    unused = np.zeros((steps.channels, FEW + more), np.int64)
    longer = Steps(
        steps.base,
        np.concatenate([steps.thresholds, unused + table[1][-1] + 1], axis=1),
        np.concatenate([steps.signs, unused], axis=1),
        steps.output,
    )
    x = np.random.default_rng(more).integers(-60, 60, (5, 2, steps.channels))
    assert longer(x).tolist() == steps(x).tolist()


@PROPERTY
@given(tables(rough=True))
def test_thresholds_rise_and_fillers_do_not_count(table: tuple[Ints, Ints, IntType]) -> None:
    steps = Steps.read(*table)
    assert np.all(np.diff(steps.thresholds, axis=1) >= 0)
    assert np.all(steps.thresholds[steps.signs == 0] > table[1][-1])
    assert set(np.unique(steps.signs)) <= {-1, 0, 1}
    assert steps.rising == bool(np.all(steps.signs == 1))


@pytest.mark.parametrize(
    ("column", "rising"), [([0, 1, 3], True), ([3, 1, 0], False), ([0, 2, 1], False), ([2, 2, 2], True)]
)
def test_rising(column: list[int], rising: bool) -> None:
    assert Steps.read(np.array(column)[:, None], np.arange(3), IntType(2)).rising is rising


def test_one_channel_that_is_flat_makes_the_others_not_rising() -> None:
    """Its fillers have sign 0, so the generated code needs the table of signs."""
    assert not Steps.read(np.array([[0, 1], [1, 1]]), np.arange(2), IntType(1)).rising


def test_a_single_point_is_a_constant() -> None:
    assert check(np.array([[2, 0]]), np.array([5]), IntType(2)).count == 0


def test_wild_activations_are_refused() -> None:
    zigzag = np.arange(MOST_STEPS + 1)[:, None] % 2
    assert check(zigzag, np.arange(MOST_STEPS + 1), IntType(1)).count == MOST_STEPS
    wilder = np.arange(MOST_STEPS + 2)[:, None] % 2
    with pytest.raises(BuildError) as caught:
        Steps.read(wilder, np.arange(MOST_STEPS + 2), IntType(1))
    assert str(caught.value) == "an activation with 1024 steps is too wild; at most 1023 are built"
