"""Grouped convolutions: each group's channels get a convolution of their own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bnn2fpga.design.graph import Port
from bnn2fpga.design.integers import Ints, IntType
from bnn2fpga.design.layers import Concat, Dot, Shift, Windows
from bnn2fpga.design.stream import Stream
from bnn2fpga.frontend.lowering.builder import Branch, Builder
from bnn2fpga.kernels.bases.matrix_vector import MatrixVector


def lower_groups(
    build: Builder, name: str, port: Port, windows: Windows, weights: Ints, kind: IntType, groups: int
) -> tuple[Port, IntType, list[MatrixVector]]:
    """The dot products of every group, concatenated; the port, its type and the groups' units.

    `weights` are (out, in / groups, kh, kw). Sums of narrower groups are made as wide as the widest.
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
    kinds = {unit.accumulator_type for unit in units}
    wide = max(kinds, key=lambda one: one.bits)
    if any(one.low < wide.low or one.high > wide.high for one in kinds):
        wide = IntType.holding(min(one.low for one in kinds), max(one.high for one in kinds))
    sums = [_widened(build, name, branch, wide) for branch in sums]
    return concat(build, name, sums)[0], wide, units


def ungrouped(weights: Ints, groups: int) -> Ints:
    """Weights (out, in / groups, kh, kw) over all channels: zeros for those of other groups."""
    outputs, inputs, *taps = weights.shape
    whole = np.zeros((outputs, inputs * groups, *taps), weights.dtype)
    for group, own in enumerate(np.split(np.arange(outputs), groups)):
        whole[own, inputs * group : inputs * (group + 1)] = weights[own]
    return whole


def _widened(build: Builder, name: str, branch: Branch, kind: IntType) -> Branch:
    port, stream = branch
    if stream.type == kind:
        return branch
    port, kernel = build.add(
        f"{name}_wide", Shift(stream, np.zeros(stream.channels, np.int64), 0, kind), port
    )
    return port, kernel.outputs[0]


def _split(build: Builder, name: str, port: Port, stream: Stream, parts: int) -> list[Branch]:
    """The channels in `parts` of equal size, halved again and again."""
    if parts == 1:
        return [(port, stream)]
    left = parts // 2
    at = left * (stream.channels // parts)
    first, second = build.split(f"{name}_split", stream, at, port)
    return [*_split(build, name, *first, left), *_split(build, name, *second, parts - left)]


def concat(build: Builder, name: str, branches: list[Branch]) -> Branch:
    """The branches' channels behind one another."""
    if len(branches) == 1:
        return branches[0]
    middle = len(branches) // 2
    left, right = (concat(build, name, half) for half in (branches[:middle], branches[middle:]))
    port, kernel = build.add(f"{name}_concat", Concat(left[1], right[1]), left[0], right[0])
    return port, kernel.outputs[0]
