"""What the tests of the matrix-vector units share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np
from hypothesis import strategies as st

from bnn2fpga.design.integers import BIPOLAR, Ints, IntType
from bnn2fpga.design.kernel import Kernel
from bnn2fpga.design.layers import Dot
from bnn2fpga.design.step_functions import Steps
from bnn2fpga.design.stream import Stream
from bnn2fpga.kernels import implement
from bnn2fpga.kernels.bases.matrix_vector import MatrixVector
from tests.contract import KernelContract, random_steps, random_values, run_cpp, side_by_side

OUTPUTS = (BIPOLAR, IntType(2), IntType(4, signed=True))


def dot_layer(source: IntType, weight: IntType, shape: tuple[int, int, int], seed: int, tap: int = 1) -> Dot:
    """A layer of random weights; `shape` is pixels, rows, columns."""
    pixels, rows, columns = shape
    return Dot(Stream((pixels, columns), source), random_values(weight, (rows, columns), seed), weight, tap)


def taps(columns: int) -> st.SearchStrategy[int]:
    """Channels of a pixel, of which there are whole ones in so many inputs."""
    return st.sampled_from([tap for tap in range(1, columns + 1) if columns % tap == 0])


def with_borders(x: Ints, inside: Ints, tap: int, border: int) -> Ints:
    """`inside` where the first channel of a pixel in `x` is not `border`, which fills the others."""
    pixels = inside.reshape(*x.shape[:-1], -1, tap)
    first = x.reshape(pixels.shape)[..., :1]
    return np.where(first == border, border, pixels).astype(x.dtype).reshape(x.shape)


def dot_layers(
    types: st.SearchStrategy[tuple[IntType, IntType]], columns: tuple[int, ...], rows: tuple[int, ...]
) -> st.SearchStrategy[Dot]:
    """Layers over (source, weight) `types`."""
    shapes = st.tuples(st.integers(1, 3), st.sampled_from(rows), st.sampled_from(columns))
    return st.builds(lambda t, s, n: dot_layer(*t, s, n), types, shapes, st.integers(0, 999))


def unit(layer: Dot, shape: str = "", output: IntType = BIPOLAR, seed: int = 0) -> MatrixVector:
    """The kernel of `layer`, with fused steps if a `shape` of steps is named."""
    kernel = implement(layer)
    assert isinstance(kernel, MatrixVector)
    if not shape:
        return kernel
    return replace(kernel, steps=random_steps(*kernel.accumulator_range, kernel.rows, output, shape, seed))


class MatrixVectorContract(KernelContract):
    """Every layer with three foldings of the bare unit, and with one of each kind of fused steps."""

    outputs = OUTPUTS
    """Of the steps, in turns."""

    def variants(self, layer: Dot) -> Iterator[Kernel]:
        yield unit(layer)
        turn = int(layer.weights.sum()) + layer.weights.shape[1]
        for number, shape in enumerate(("rising", "falling", "mixed")):
            yield unit(layer, shape, self.outputs[(turn + number) % 3], turn % 1000 + number)

    def choose(self, kernel: Kernel, seed: int) -> list[Kernel]:
        assert isinstance(kernel, MatrixVector)
        every = list(kernel.foldings())
        if kernel.steps is None:
            return [every[place] for place in sorted({0, seed % len(every), len(every) - 1})]
        return [every[(seed // 7 + 31 * kernel.steps.count + len(every) // 2) % len(every)]]


def slow_dot(weights: Ints, x: Ints) -> list[list[int]]:
    """Sums of integer products, pixel by pixel, in Python's own integers."""
    return [
        [sum(int(w) * int(v) for w, v in zip(row, vector, strict=True)) for row in weights]
        for vector in x.reshape(-1, x.shape[-1])
    ]


def slow_steps(steps: Steps, sums: list[list[int]]) -> list[list[int]]:
    """The values that the steps' docstring promises, one after the other."""
    return [
        [
            steps.output.low
            + steps.output.step
            * (
                int(steps.base[channel])
                + sum(
                    int(sign)
                    for threshold, sign in zip(steps.thresholds[channel], steps.signs[channel], strict=True)
                    if value >= threshold
                )
            )
            for channel, value in enumerate(pixel)
        ]
        for pixel in sums
    ]


def flat(array: Ints) -> list[list[int]]:
    """Pixels as lists, to compare with the slow references."""
    pixels: list[list[int]] = array.reshape(-1, array.shape[-1]).tolist()
    return pixels


def extreme_inputs(kernel: MatrixVector) -> Ints:
    """One frame that makes row 0 as large as it gets, one that makes it as small; single pixels."""
    high, low = kernel.source_type.high, kernel.source_type.low
    row = kernel.weights[0]
    return np.stack([np.where(row > 0, high, low), np.where(row > 0, low, high)])[:, None, :]


def check_fused_steps(layer: Dot, shape: str, output: IntType, seed: int) -> None:
    """Of a kernel whose accumulator is the dot product, the steps apply to that."""
    kernel = unit(layer, shape, output, seed)
    x = random_values(kernel.source_type, (2, *kernel.source_shape), seed)
    assert kernel.steps is not None
    assert flat(kernel.compute(x)[0]) == slow_steps(kernel.steps, slow_dot(layer.weights, x))


def check_range(source: IntType, weight: IntType) -> None:
    """The accumulator's range is what some of all inputs reach."""
    for seed in range(4):
        kernel = unit(dot_layer(source, weight, (1, 2, 3), seed))
        every = np.array(list(product(range(source.low, source.high + 1, source.step), repeat=3)))[:, None, :]
        (found,) = kernel.compute(every)
        low, high = kernel.accumulator_range
        assert (found.min(), found.max()) == (low, high)
        # 0 belongs to it since sums start there
        assert kernel.accumulator_type == IntType.holding(min(low, 0), max(high, 0))


def check_ends(sources: list[IntType], weights: list[IntType]) -> None:
    """Inputs that drive all columns the same way, in one beat and in many, give the dot product in C++."""
    bare = [unit(dot_layer(s, w, (1, 2, 16), 5)) for s, w in zip(sources, weights, strict=True)]
    kernels = [replace(k, pe=pe, simd=simd) for k in bare for pe, simd in ((1, 1), (2, 16))]
    inputs = [extreme_inputs(kernel) for kernel in kernels]
    outputs = run_cpp(side_by_side(list(kernels)), *inputs)
    for kernel, x, found in zip(kernels, inputs, outputs, strict=True):
        assert flat(found) == slow_dot(kernel.weights, x), kernel


__all__ = [
    "OUTPUTS",
    "MatrixVectorContract",
    "check_ends",
    "check_fused_steps",
    "check_range",
    "dot_layer",
    "dot_layers",
    "extreme_inputs",
    "flat",
    "slow_dot",
    "slow_steps",
    "taps",
    "unit",
    "with_borders",
]
