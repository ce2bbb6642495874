"""The contract of every kernel; a kernel's test subclasses `KernelContract` and names its layers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bnn2fpga.codegen import hls_project
from bnn2fpga.errors import FoldingError
from bnn2fpga.host import IntegerHost
from bnn2fpga.ir import Design, Edge, Ints, IntType, Node, Port, Stream
from bnn2fpga.kernel import Kernel
from bnn2fpga.kernels import implement
from bnn2fpga.layers import Layer
from bnn2fpga.tools.gcc import CppSimulator

FOLDINGS = 6
FRAMES = 3


def random_values(kind: IntType, shape: tuple[int, ...], seed: int) -> Ints:
    """Values of `kind`, its extremes included more often than by chance."""
    random = np.random.default_rng(seed)
    levels = random.integers(0, kind.levels, shape)
    extreme = random.random(shape) < 0.1
    levels = np.where(extreme, random.integers(0, 2, shape) * (kind.levels - 1), levels)
    return (kind.low + kind.step * levels).astype(kind.dtype)


def side_by_side(kernels: list[Kernel]) -> Design:
    """A design of unconnected kernels, each with its own ports to the outside."""
    nodes = tuple(Node(f"k{index}", kernel) for index, kernel in enumerate(kernels))
    edges: list[Edge] = []
    ins, outs = iter(range(99)), iter(range(99))
    for node in nodes:
        for index, stream in enumerate(node.kernel.inputs):
            edges.append(Edge(Port(None, next(ins)), Port(node.name, index), stream))
        for index, stream in enumerate(node.kernel.outputs):
            edges.append(Edge(Port(node.name, index), Port(None, next(outs)), stream))
    return Design("contract", nodes, tuple(edges), IntegerHost(()))


def int_types(most_bits: int = 8) -> st.SearchStrategy[IntType]:
    """Bipolar, ternary and plain types of 1 to `most_bits` bits."""
    plain = st.builds(IntType, st.integers(1, most_bits), st.booleans())
    return st.one_of(st.just(IntType(1, bipolar=True)), st.just(IntType(2, True, narrow=True)), plain)


class KernelContract:
    """Declared shapes, ranges and cycles hold, and C++ equals numpy, over layers and foldings."""

    layers: st.SearchStrategy[Any]

    def variants(self, layer: Layer) -> Iterator[Kernel]:
        """The kernels to test for one layer; by default those of `implement`."""
        yield implement(layer)

    def choose(self, kernel: Kernel, seed: int) -> list[Kernel]:
        """Up to FOLDINGS foldings of `kernel`: the smallest, the largest, others between."""
        every = list(kernel.foldings())
        random = np.random.default_rng(seed)
        picks = {0, len(every) - 1, *random.permutation(len(every))[: FOLDINGS - 2].tolist()}
        return [every[place] for place in sorted(picks)]

    foldings_seen = 0

    def test_contract(self) -> None:
        @settings(
            max_examples=5,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
            phases=(Phase.explicit, Phase.generate),
        )
        @given(self.layers, st.integers(0, 2**31))
        def check(layer: Layer, seed: int) -> None:
            for kernel in self.variants(layer):
                self.check_foldings(self.choose(kernel, seed), seed)

        check()
        assert self.foldings_seen >= FOLDINGS, "the contract saw too few foldings"

    def check_foldings(self, kernels: list[Kernel], seed: int) -> None:
        self.foldings_seen += len(kernels)
        inputs, expected = [], []
        for kernel in kernels:
            arrays = [random_values(s.type, (FRAMES, *s.shape), seed) for s in kernel.inputs]
            results = kernel.compute(*arrays)
            assert len(results) == len(kernel.outputs)
            for stream, result in zip(kernel.outputs, results, strict=True):
                assert result.shape == (FRAMES, *stream.shape)
                stream.type.check(result, "contract")
            inputs += arrays
            expected += results
            assert kernel.cycles.fill <= kernel.cycles.interval
            assert kernel.resources.dsps == 0
        design = side_by_side(kernels)
        with TemporaryDirectory() as folder:
            hls_project(design, "xc7z020clg400-1", 100).write(Path(folder))
            result = CppSimulator.compile(design, Path(folder), Path(folder, "run")).run(*inputs)
        for want, have in zip(expected, result.outputs, strict=True):
            np.testing.assert_array_equal(have, want)
        assert result.trips == FRAMES * sum(kernel.cycles.interval for kernel in kernels)

    def test_illegal_folding(self) -> None:
        @settings(max_examples=3, deadline=None, derandomize=True)
        @given(self.layers)
        def check(layer: Layer) -> None:
            for kernel in self.variants(layer):
                for field in {f.name for f in fields(kernel)} & {"pe", "simd", "lanes"}:
                    with pytest.raises(FoldingError, match="divide"):
                        replace(kernel, **{field: 7919})

        check()


__all__ = ["KernelContract", "Stream", "int_types", "random_values", "side_by_side"]
