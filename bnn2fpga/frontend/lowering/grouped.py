"""Grouped convolutions: each group's channels get a convolution of their own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bnn2fpga.design.graph import Port
from bnn2fpga.design.integers import Ints, IntType
from bnn2fpga.design.layers import Concat, Dot, Split, Windows
from bnn2fpga.design.stream import Stream
from bnn2fpga.errors import ModelError
from bnn2fpga.frontend.lowering.builder import Builder
from bnn2fpga.kernels.bases.matrix_vector import MatrixVector

Branch = tuple[Port, Stream]


def lower_groups(
    build: Builder, name: str, port: Port, windows: Windows, weights: Ints, kind: IntType, groups: int
) -> tuple[Port, list[MatrixVector]]:
    """The dot products of every group, concatenated; the port and the groups' units.

    `weights` are (out, in / groups, kh, kw). Raises ModelError where the groups' sums have different
    types, which only happens to weights of two bits or inputs of several.
    """
    branches = _split(build, name, port, windows.source, groups)
    units: list[MatrixVector] = []
    sums: list[Branch] = []
    for (branch, stream), own in zip(branches, np.split(weights, groups), strict=True):
        window_port, window = build.add(f"{name}_window", replace(windows, source=stream), branch)
        flat = own.transpose(0, 2, 3, 1).reshape(len(own), -1)
        tap = own.shape[1] if stream.type.bipolar else 1
        unit_port, unit = build.add(name, Dot(window.outputs[0], flat, kind, tap), window_port)
        assert isinstance(unit, MatrixVector)
        units.append(unit)
        sums.append((unit_port, unit.outputs[0]))
    if len({unit.accumulator_type for unit in units}) > 1:
        raise ModelError(f"{name}: its groups' sums have different widths; legal: 1-bit inputs and weights")
    return _concat(build, name, sums)[0], units


def _split(build: Builder, name: str, port: Port, stream: Stream, parts: int) -> list[Branch]:
    """The channels in `parts` of equal size, halved again and again."""
    if parts == 1:
        return [(port, stream)]
    left = parts // 2
    at = left * (stream.channels // parts)
    port, kernel = build.add(f"{name}_split", Split(stream, at), port)
    first, second = kernel.outputs
    return [
        *_split(build, name, port, first, left),
        *_split(build, name, Port(port.node, 1), second, parts - left),
    ]


def _concat(build: Builder, name: str, branches: list[Branch]) -> Branch:
    """The branches' channels behind one another."""
    if len(branches) == 1:
        return branches[0]
    middle = len(branches) // 2
    left, right = (_concat(build, name, half) for half in (branches[:middle], branches[middle:]))
    port, kernel = build.add(f"{name}_concat", Concat(left[1], right[1]), left[0], right[0])
    return port, kernel.outputs[0]
