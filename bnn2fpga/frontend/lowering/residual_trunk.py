"""Residual sums whose branches have no common grid: rounded to one, if the user allows it.

The trunk, the side that is a straight line of an integer, keeps its integers; its gain and bias, one a
channel, stay outside of the fabric and are consumed by the next thresholds. Only the branch is rounded:
divided by the trunk's gain it becomes integers on the trunk's grid, by a step function where it takes few
values, otherwise by two straight lines whose slopes are sums of as few powers of two as the grid allows.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log2

import numpy as np
import numpy.typing as npt
import onnx

from bnn2fpga.design.graph import Port
from bnn2fpga.design.integers import Ints, IntType
from bnn2fpga.design.layers import Bend, Map, Sum
from bnn2fpga.design.step_functions import MOST_STEPS, Steps
from bnn2fpga.design.stream import Stream
from bnn2fpga.design.two_slopes import TwoSlopes
from bnn2fpga.errors import ModelError
from bnn2fpga.frontend.graph.execute import Array, Graph
from bnn2fpga.frontend.lowering.builder import Builder
from bnn2fpga.frontend.lowering.linear_chain import as_affine, as_linear, chain_values, end_tensor, sampled
from bnn2fpga.frontend.lowering.power_sums import mean_beside, sums_of_powers
from bnn2fpga.frontend.lowering.signal import Segment, Signal, Span

MOST_TERMS = 8
"""Signed powers of two in a slope."""
REACH = 2.0
"""Standard deviations within which a slope may move a line by one grid unit, ..."""
SLOPE_PARTS = 4
"""... or by one part in so many times 2**grid_bits, whichever is more."""
LEAST_SLOPE_BITS, MOST_SLOPE_BITS = 4, 16
"""Fraction bits of a slope, on top of the trunk's."""
FEW_STEPS = 63
"""A step function of at most so many steps is exact and small enough to be preferred to two lines."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Branch:
    """Integers on `port`, from `low` to `high`; one is 2**shift units."""

    port: Port
    stream: Stream
    low: int
    high: int
    shift: int = 0


def integers(
    graph: Graph, build: Builder, node: onnx.NodeProto, signal: Signal, bits: int | None
) -> Signal | None:
    """The signal without pending nodes: exact (`as_linear`), or, unless `bits` is None, `on_grid`."""
    linear = as_linear(graph, signal)
    return on_grid(graph, build, node, signal, bits) if linear is None and bits is not None else linear


def on_grid(graph: Graph, build: Builder, node: onnx.NodeProto, signal: Signal, bits: int) -> Signal:
    """The signal without pending nodes, for `node` that takes it.

    A straight line of its integers stays what it is, up to float32 rounding; anything else becomes new
    integers, of `bits` fraction bits at least. Raises ModelError as `add_to_trunk` does.
    """
    line = as_affine(graph, signal)
    if line is not None:
        return line
    grid_bits = max(bits, signal.grid_bits)
    finer = 2.0 ** (grid_bits - signal.grid_bits)
    unit = _own_unit(graph, node, signal) / finer
    bent = _rounded(graph, build, node, signal, unit, grid_bits)
    return Signal(
        bent.port,
        bent.stream,
        unit * 2.0**bent.shift,
        Span.between(bent.low, bent.high),
        (Segment(end_tensor(signal), signal.index),),
        grid_bits=grid_bits - bent.shift,
        spread=signal.spread * finer,
    )


def add_to_trunk(
    graph: Graph, build: Builder, node: onnx.NodeProto, left: Signal, right: Signal, bits: int
) -> Signal:
    """left + right on the trunk's grid of at least `bits` fraction bits; both arrive in one order.

    Raises ModelError for a branch that is neither two straight lines nor, on any grid, of few enough steps.
    """
    trunk, branch = _trunk_first(graph, build, left, right)
    trunk = on_grid(graph, build, node, trunk, bits)
    up = max(0, bits - trunk.grid_bits)
    unit = np.broadcast_to(trunk.scale, trunk.stream.channels) / 2.0**up
    added = _rounded(graph, build, node, branch, unit, trunk.grid_bits + up)
    shift, offset = up + int(log2(trunk.multiplier)), trunk.offset << up
    low = (int(trunk.points[0]) << shift) + (added.low << added.shift) + offset
    high = (int(trunk.points[-1]) << shift) + (added.high << added.shift) + offset
    other = Stream(trunk.stream.shape, added.stream.type)
    layer = Sum(trunk.stream, other, (shift, added.shift), offset, IntType.holding(low, high))
    port, kernel = build.add(node.name, layer, trunk.port, added.port)
    moved = f", shifted left by {shift}" if shift else ""
    build.say(f"the trunk from {trunk.port.node or 'the input'} keeps its gain and its integers{moved}")
    return Signal(
        port,
        kernel.outputs[0],
        unit,
        Span.between(low, high),
        (Segment(node.output[0], trunk.index),),
        bias=trunk.bias,
        grid_bits=trunk.grid_bits + up,
        spread=trunk.spread * 2.0**shift,
    )


def _trunk_first(graph: Graph, build: Builder, left: Signal, right: Signal) -> tuple[Signal, Signal]:
    """The side that the branch was made from comes first, or else the one that is a straight line."""
    trunk = [build.is_read(side.port) for side in (left, right)]
    if trunk[0] == trunk[1]:
        trunk = [as_affine(graph, side) is not None for side in (left, right)]
    return (right, left) if trunk[1] and not trunk[0] else (left, right)


def _own_unit(graph: Graph, node: onnx.NodeProto, signal: Signal) -> Floats:
    """What one integer of a bent signal stands for on its steeper line: a unit that keeps it exact."""
    points = sampled(signal.points)
    values = chain_values(graph, signal, points)
    fitted = None if values is None else fit_lines(points, values)
    steepest = None if fitted is None else np.abs(fitted.slopes).max(axis=0)
    if steepest is None or np.any(steepest == 0):
        raise _too_wild(node, signal)
    return steepest


def _rounded(
    graph: Graph, build: Builder, node: onnx.NodeProto, signal: Signal, unit: Floats, grid_bits: int
) -> _Branch:
    """The signal's values in multiples of `unit` (C,), as integers of a kernel; `unit` has `grid_bits`."""
    build.rounded.append(node.name)
    points = np.asarray(signal.points) if len(signal.points) <= 1 << 16 else sampled(signal.points)
    values = chain_values(graph, signal, points)
    if values is None:
        raise _too_wild(node, signal)
    targets = values / unit
    whole = len(points) == len(signal.points)
    if whole and _steps(targets) <= FEW_STEPS:
        return _stepped(build, node, signal, points, targets, grid_bits, 0)
    fitted = fit_lines(points, targets)
    if fitted is not None:
        slopes = fitted.rounded(signal, grid_bits)
        low, high = slopes.bounds(int(points[0]), int(points[-1]))
        ends = int(low.min()), int(high.max())
        layer = Bend(Stream(signal.stream.shape, signal.stream.type), slopes, IntType.holding(*ends))
        port, kernel = build.add(f"{node.name}_{signal.port.node}", layer, signal.port)
        build.say(f"{_grid(signal, grid_bits)}: two straight lines per channel")
        return _Branch(port, kernel.outputs[0], *ends)
    # a curve of too many steps goes on a coarser grid, up to the trunk's own integers
    for coarser in range(grid_bits + 1):
        scaled = targets / 2.0**coarser
        if whole and _steps(scaled) <= MOST_STEPS:
            return _stepped(build, node, signal, points, scaled, grid_bits, coarser)
    raise _too_wild(node, signal)


def _half_up(values: Array) -> Ints:
    return np.floor(values + 0.5).astype(np.int64)


def _steps(targets: Array) -> int:
    """Unit steps of the costliest channel."""
    return int(np.abs(np.diff(_half_up(targets), axis=0)).sum(axis=0).max(initial=0))


def _grid(signal: Signal, grid_bits: int) -> str:
    return f"branch from {signal.port.node or 'the input'} rounded to a grid of 2^-{grid_bits}"


def _stepped(
    build: Builder,
    node: onnx.NodeProto,
    signal: Signal,
    points: Ints,
    targets: Array,
    grid_bits: int,
    shift: int,
) -> _Branch:
    """A step function, on a grid that is `shift` bits coarser than `grid_bits`."""
    levels = _half_up(targets)
    low, high = int(levels.min()), int(levels.max())
    kind = IntType.holding(low, high)
    steps = Steps.read(levels - kind.low, points, kind)
    layer = Map(Stream(signal.stream.shape, signal.stream.type), steps)
    port, kernel = build.add(f"{node.name}_{signal.port.node}", layer, signal.port)
    build.say(f"{_grid(signal, grid_bits - shift)}: a step function per channel")
    return _Branch(port, kernel.outputs[0], low, high, shift)


def _too_wild(node: onnx.NodeProto, signal: Signal) -> ModelError:
    return ModelError(
        f"{node.name}: what stands between {signal.port.node} and this sum is neither a step function of at "
        f"most {MOST_STEPS} steps nor two straight lines per channel; put a quantizer in front of it"
    )


@dataclass(frozen=True, eq=False)
class Lines:
    """Real lines: intercepts[i, c] + slopes[i, c] * n, i = 0 below `knees` (C,), else 1."""

    knees: Floats
    slopes: Floats
    intercepts: Floats

    def rounded(self, signal: Signal, grid_bits: int) -> TwoSlopes:
        """The lines with slopes of few powers of two, each equal to the real one at the n it should serve."""
        spread = signal.spread or max(1.0, float(signal.points[-1] - signal.points[0]) / 8)
        wanted = int(np.ceil(np.log2(REACH * spread)))
        bits = min(max(wanted, LEAST_SLOPE_BITS), MOST_SLOPE_BITS)
        fine = 2.0**bits
        tolerance = np.maximum(1 / (REACH * spread), np.abs(self.slopes) / (SLOPE_PARTS << grid_bits))
        for terms in range(1, MOST_TERMS + 1):
            slopes = sums_of_powers(self.slopes * fine, terms)
            if np.all(np.abs(slopes / fine - self.slopes) <= tolerance):
                break
        center = -signal.offset / signal.multiplier
        mean = center + mean_beside(self.knees - center, spread)
        constants = (self.slopes * mean + self.intercepts) * fine - slopes * mean
        rounded = np.floor(constants + 0.5).astype(np.int64) + (1 << bits - 1)
        return TwoSlopes(np.ceil(self.knees).astype(np.int64), slopes, rounded, bits)


def fit_lines(points: Ints, values: Array) -> Lines | None:
    """The one or two lines per channel that `values` (R, C) at `points` (R,) are; None if they are not.

    `values` are in units of which half a one may be lost.
    """
    if len(points) < 4:
        return None
    columns = points[:, None]
    chord = (values[-1] - values[0]) / (points[-1] - points[0])
    # two lines are farthest from their chord where they meet
    bow = np.abs(values - values[0] - chord * (columns - points[0]))
    knee = np.clip(bow.argmax(axis=0), 2, len(points) - 3)
    straight = bow.max(axis=0) <= 0.5
    channels = np.arange(values.shape[1])
    low = (values[knee - 1, channels] - values[0]) / (points[knee - 1] - points[0])
    high = (values[-1] - values[knee + 1, channels]) / (points[-1] - points[knee + 1])
    low, high = np.where(straight, chord, low), np.where(straight, chord, high)
    slopes = np.stack([low, high])
    intercepts = np.stack([values[0] - low * points[0], values[-1] - high * points[-1]])
    straight |= low == high
    bend = np.where(straight, 1.0, high - low)
    knees = np.where(straight, float(points[0]), (intercepts[0] - intercepts[1]) / bend)
    fitted = np.where(columns < knees, *(intercepts[:, None] + slopes[:, None] * columns))
    off = np.abs(fitted - values).max(axis=0)
    return (
        Lines(knees, slopes, intercepts) if np.all(off <= 0.5 + 1e-5 * np.abs(values).max(axis=0)) else None
    )
