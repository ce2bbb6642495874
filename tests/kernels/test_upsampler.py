"""Pixels repeated, or zeros between them: contract and meaning."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn2fpga.design.integers import BIPOLAR, IntType
from bnn2fpga.design.layers import Enlarge
from bnn2fpga.design.stream import Stream
from bnn2fpga.kernels import implement
from tests.contract import KernelContract, int_types, random_values


def enlarged(channels: tuple[int, ...]) -> st.SearchStrategy[Enlarge]:
    factor = st.integers(1, 3)
    return st.builds(
        lambda kind, width, count, rows, columns, sparse: Enlarge(
            Stream((2, width, count), kind), (rows, columns), sparse
        ),
        int_types(),
        st.integers(1, 4),
        st.sampled_from(channels),
        factor,
        factor,
        st.booleans(),
    )


class TestContract(KernelContract):
    layers = enlarged((1, 4, 6))
    always = (
        Enlarge(Stream((3, 5, 8), BIPOLAR), (2, 2)),
        Enlarge(Stream((3, 5, 8), BIPOLAR), (2, 2), sparse=True),
        Enlarge(Stream((2, 1, 1), IntType(4)), (2, 3)),
        Enlarge(Stream((2, 40, 12), IntType(6, True)), (2, 2)),
    )


@settings(max_examples=60, deadline=None)
@given(enlarged((1, 2, 5)), st.integers(0, 999))
def test_images_are_those_of_torch(layer: Enlarge, seed: int) -> None:
    source = random_values(layer.source.type, (2, *layer.source.shape), seed)
    (found,) = implement(layer).compute(source)
    image = torch.from_numpy(source.astype(np.float64)).permute(0, 3, 1, 2)
    if layer.sparse:
        channels = layer.source.channels
        point = torch.zeros(channels, 1, *layer.factors, dtype=torch.float64)
        point[:, :, 0, 0] = 1
        wanted = torch.nn.functional.conv_transpose2d(image, point, stride=layer.factors, groups=channels)
    else:
        wanted = torch.nn.functional.interpolate(image, scale_factor=layer.factors, mode="nearest")
    np.testing.assert_array_equal(found, wanted.permute(0, 2, 3, 1).numpy())
