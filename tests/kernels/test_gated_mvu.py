"""The gated unit: contract, and both passes one product after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn2fpga.design.integers import BIPOLAR
from bnn2fpga.design.kernel import Kernel
from bnn2fpga.design.layers import GatedDot
from bnn2fpga.design.stream import Stream
from bnn2fpga.kernels import implement
from bnn2fpga.kernels.gated_mvu import CODES, CODES_AND_BORDER, GatedMvu
from tests.contract import random_steps, random_values
from tests.kernels.matrix_vector import OUTPUTS, MatrixVectorContract, taps, with_borders

CODE_TYPES = (CODES, CODES_AND_BORDER)


def codes(kernel: Kernel, seed: int) -> np.ndarray:
    """Random codes; -1 is the only negative one, and fills whole taps."""
    assert isinstance(kernel, GatedMvu)
    (stream,) = kernel.inputs
    x = np.maximum(random_values(stream.type, (3, *stream.shape), seed), -1)
    return with_borders(x, np.where(x < 0, 0, x), kernel.tap, -1)


def gated(border: bool, rows: int, columns: int, seed: int, tap: int = 1) -> GatedDot:
    """Gates around 0, where sums gather; some never open, some always do."""
    random = np.random.default_rng(seed)
    gates = random.integers(-3, 4, rows)
    gates[random.random(rows) < 0.2] = random.choice([-(10**6), 10**6])
    weights = random_values(BIPOLAR, (rows, columns), seed)
    return GatedDot(Stream((2, columns), CODE_TYPES[border]), weights, gates, tap)


def gated_layers(rows: tuple[int, ...], columns: tuple[int, ...]) -> st.SearchStrategy[GatedDot]:
    shapes = st.sampled_from(columns).flatmap(lambda k: st.tuples(st.just(k), taps(k)))
    return st.builds(
        lambda border, row, shape, seed: gated(border, row, shape[0], seed, shape[1]),
        st.booleans(),
        st.sampled_from(rows),
        shapes,
        st.integers(0, 999),
    )


class TestContract(MatrixVectorContract):
    layers = gated_layers((1, 4, 6), (1, 6, 27, 72))
    always = (gated(False, 6, 70, 1), gated(True, 6, 144, 2), gated(True, 6, 144, 3, 16))

    def variants(self, layer: GatedDot) -> Iterator[Kernel]:
        kernel = implement(layer)
        assert isinstance(kernel, GatedMvu)
        yield kernel
        steps = random_steps(*kernel.accumulator_range, kernel.rows, OUTPUTS[1], "mixed", kernel.columns)
        yield replace(kernel, steps=steps)

    def inputs_of(self, kernel: Kernel, seed: int) -> list[np.ndarray]:
        return [codes(kernel, seed)]


@settings(max_examples=100, deadline=None)
@given(gated_layers((1, 3), (1, 2, 9, 20)), st.integers(0, 999))
def test_two_passes(layer: GatedDot, seed: int) -> None:
    kernel = implement(layer)
    x = codes(kernel, seed)
    (found,) = kernel.compute(x)
    signs = {-1: (0, 0), 0: (-1, -1), 1: (-1, 1), 2: (1, -1), 3: (1, 1)}
    sums = []
    for pixel in x.reshape(-1, layer.source.channels).tolist():
        for row, gate in zip(layer.weights.tolist(), layer.gates.tolist(), strict=True):
            high = sum(w * signs[code][0] for w, code in zip(row, pixel, strict=True))
            low = sum(w * signs[code][1] for w, code in zip(row, pixel, strict=True))
            sums.append(2 * high + low if high >= gate else 2 * high)
    assert found.ravel().tolist() == sums


def test_an_open_gate_is_the_product_with_the_values() -> None:
    layer = replace(gated(False, 5, 40, 3), gates=np.full(5, -1000))
    x = codes(implement(layer), 1)
    (found,) = implement(layer).compute(x)
    np.testing.assert_array_equal(found, (2 * x.astype(np.int64) - 3) @ layer.weights.T)
