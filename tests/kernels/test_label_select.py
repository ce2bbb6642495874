"""Top-1: contract, meaning, ties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn2fpga.design.integers import BIPOLAR, TERNARY, IntType
from bnn2fpga.design.layers import Top1
from bnn2fpga.design.stream import Stream
from bnn2fpga.kernels import implement
from bnn2fpga.kernels.label_select import LabelSelect
from tests.contract import KernelContract, int_types, random_values, run_cpp, side_by_side


def tops(classes: tuple[int, ...]) -> st.SearchStrategy[Top1]:
    return st.builds(lambda kind, count: Top1(Stream((count,), kind)), int_types(), st.sampled_from(classes))


class TestContract(KernelContract):
    layers = tops((1, 6, 12, 24))
    # of the two types with few values most scores are ties
    always = tuple(Top1(Stream((12,), kind)) for kind in (BIPOLAR, TERNARY, IntType(7, True), IntType(7)))


@settings(max_examples=100, deadline=None)
@given(tops((1, 2, 10, 300)), st.integers(0, 999))
def test_label_is_the_first_of_the_largest(layer: Top1, seed: int) -> None:
    scores = random_values(layer.source.type, (4, *layer.source.shape), seed)
    expected = [[frame.index(max(frame))] for frame in scores.tolist()]
    assert implement(layer).compute(scores)[0].tolist() == expected


def test_ties_and_negative_scores_in_cpp() -> None:
    """All equal, all at the bottom, the largest twice; also the first score alone is not 0."""
    scores = np.array([[-8] * 6, [7] * 6, [-1, -3, -1, -8, -1, -2], [-8, -8, -8, -8, -8, -7], [0] * 6])
    kernels = [LabelSelect(6, IntType(4, True), pe) for pe in (1, 2, 3, 6)]
    for found in run_cpp(side_by_side(list(kernels)), *[scores] * 4):
        assert found.tolist() == [[0], [0], [0], [5], [0]]


@pytest.mark.parametrize(
    ("classes", "bits"), [(1, 1), (2, 1), (3, 2), (10, 4), (16, 4), (17, 5), (256, 8), (257, 9)]
)
def test_label_type_is_the_smallest(classes: int, bits: int) -> None:
    assert LabelSelect(classes, BIPOLAR).outputs[0].type == IntType(bits)
