"""The thresholds of a quantizer behind an integer with too many values to try them all.

A chain of nodes that each rise or fall is monotone, so its thresholds are found by bisection. PReLU with a
negative slope, Abs and Where turn at the value where they switch; such values are found first, again by
bisection, and between them the chain is monotone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import onnx

from bnn2fpga.design.integers import Ints
from bnn2fpga.design.step_functions import MOST_STEPS, Steps
from bnn2fpga.errors import ModelError
from bnn2fpga.frontend.graph.execute import Array, Graph
from bnn2fpga.frontend.graph.quantizer import Quantizer
from bnn2fpga.frontend.lowering.elementwise_chain import evaluate
from bnn2fpga.frontend.lowering.signal import Segment, Signal

WIDE, TOO_WIDE = 1 << 22, 1 << 26
"""Values times channels: more than WIDE are searched if that will do, more than TOO_WIDE always."""

_RISING_OR_FALLING = """
    Add BatchNormalization Cast Ceil Clip Div Dropout Floor Greater GreaterOrEqual HardSigmoid Identity Less
    LessOrEqual Max Min Mul Neg Relu Round Sigmoid Sub Tanh
"""
MONOTONE = frozenset(_RISING_OR_FALLING.split())
SWITCHES = frozenset({"PRelu", "Abs", "Where"})

Places = npt.NDArray[np.int64]
"""Indices into a signal's points, a column a channel."""


def is_searched(graph: Graph, signal: Signal) -> bool:
    """Whether the signal has so many values that its thresholds are to be searched for.

    A chain that cannot be searched is evaluated for all of them as long as that is possible.
    """
    entries = len(signal.points) * signal.stream.channels
    return entries > (WIDE if _searchable(graph, signal) else TOO_WIDE)


def search_steps(
    graph: Graph, node: onnx.NodeProto, signal: Signal, quantizer: Quantizer, shift: float = 0.0
) -> Steps:
    """The steps of quantizer `node`, exactly those that trying every value would give.

    `shift` moves the input by that many times the signal's rounding bound. Raises ModelError for a chain of
    other nodes than those that rise, fall or switch once.
    """
    if not _searchable(graph, signal):
        raise ModelError(
            f"{node.name}: its input has {len(signal.points):,} values and nodes before it that rise and "
            "fall; quantize to fewer bits before (--trunk-bits), or use nodes that only rise"
        )
    channels, final = signal.stream.channels, len(signal.points) - 1
    scale = np.broadcast_to(quantizer.scale.reshape(-1), channels)

    def levels_at(places: Places) -> Ints:
        values = _chain(graph, signal, places, [node], node.output[0], shift)
        if values.shape[1] != channels:
            raise ModelError(f"{node.name}: treats positions differently; use one value a channel")
        return (np.rint(values / scale).astype(np.int64) - quantizer.type.low) // quantizer.type.step

    edges = _pieces(graph, signal, shift)
    base = level = levels_at(edges[:1])[0]
    places, signs = [], []
    for start, end in pairwise(edges):
        held = start < end
        ends = levels_at(np.minimum(np.stack([start, np.maximum(start, end - 1)]), final))
        first, last = np.where(held, ends, level)
        jump, climb = _heights(level, first), _heights(first, last)
        inside = _first(partial(_reached, levels_at, climb), start, end - 1, climb.sign.shape)
        places += [np.where(jump.sign, start, final + 1), np.where(climb.sign, inside, final + 1)]
        signs += [jump.sign, climb.sign]
        level = last
    every, sign = np.concatenate(places), np.concatenate(signs)
    count = int((sign != 0).sum(axis=0).max(initial=0))
    if count > MOST_STEPS:
        raise ModelError(f"{node.name}: an activation with {count} steps; at most {MOST_STEPS} are built")
    order = np.argsort(every, axis=0, kind="stable")[:count]
    points = np.append(signal.points, signal.points[-1] + 1)
    thresholds = points[np.take_along_axis(every, order, 0)]
    return Steps(base, thresholds.T, np.take_along_axis(sign, order, 0).T, quantizer.type)


@dataclass(frozen=True, eq=False)
class _Heights:
    """Unit steps from one level to another: (S, C); the sign is 0 where a channel has fewer than S."""

    level: Ints
    sign: Ints


def _heights(before: Ints, after: Ints) -> _Heights:
    rise = after - before
    height = np.arange(1, int(np.abs(rise).max(initial=0)) + 1)[:, None]
    sign = np.where(height <= np.abs(rise), np.sign(rise), 0)
    return _Heights(before + np.sign(rise) * height, sign)


def _reached(levels_at: Callable[[Places], Ints], heights: _Heights, places: Places) -> npt.NDArray[np.bool_]:
    return (levels_at(places) - heights.level) * heights.sign >= 0


def _first(
    reached: Callable[[Places], npt.NDArray[np.bool_]], low: Places, high: Places, shape: tuple[int, ...]
) -> Places:
    """The first place behind `low`, up to `high`, at which something is reached that then stays so."""
    below, above = np.broadcast_to(low, shape), np.broadcast_to(high, shape)
    while np.any(above - below > 1):
        middle = (below + above) // 2
        there = reached(middle)
        below, above = np.where(there, below, middle), np.where(there, middle, above)
    return above


def _pieces(graph: Graph, signal: Signal, shift: float) -> Places:
    """(K + 1, C): the places between which every node of the chain only rises or only falls."""
    channels = signal.stream.channels
    edges = np.stack([np.zeros(channels, np.int64), np.full(channels, len(signal.points))])
    for node in signal.segment.nodes:
        if node.op_type in SWITCHES:
            switched = partial(_is_on, graph, signal, node.input[0], shift)
            cut = [edges[:1]]
            for start, end in pairwise(edges):
                last = np.maximum(start, end - 1)
                on = switched(np.minimum(np.stack([start, last]), len(signal.points) - 1))
                place = _first(partial(_is_same, switched, on[1]), start, last, start.shape)
                cut.append(np.stack([np.where((on[0] != on[1]) & (start < end), place, end), end]))
            edges = np.concatenate(cut)
    return edges


def _is_on(graph: Graph, signal: Signal, tensor: str, shift: float, places: Places) -> npt.NDArray[np.bool_]:
    """Whether a condition holds, or a number is not negative, at `places` (R, C)."""
    start = signal.segment
    nodes = graph.between([start.tensor], tensor)
    before = signal.with_segment(replace(start, nodes=nodes))
    values = _chain(graph, before, places.reshape(-1, signal.stream.channels), [], tensor, shift)
    held: npt.NDArray[np.bool_] = values if values.dtype == np.bool_ else values >= 0
    return held.reshape(places.shape)


def _is_same(
    switched: Callable[[Places], npt.NDArray[np.bool_]], value: npt.NDArray[np.bool_], places: Places
) -> npt.NDArray[np.bool_]:
    return switched(places) == value


def _chain(
    graph: Graph, signal: Signal, places: Places, last: list[onnx.NodeProto], end: str, shift: float
) -> Array:
    return evaluate(graph, replace(signal, points=signal.points[places]), last, end, shift).values


def _searchable(graph: Graph, signal: Signal) -> bool:
    """Whether the chain is of nodes that rise, fall, or switch once, each of one tensor."""
    *layouts, segment = signal.pending
    if signal.pools or any(isinstance(item, Segment) and item.nodes for item in layouts):
        return False
    for node in segment.nodes if isinstance(segment, Segment) else ():
        moving = [name for name in node.input if name and name not in graph.constants]
        turns = node.op_type in SWITCHES and node.input[0] in moving
        alone = node.op_type in MONOTONE and len(moving) == 1
        if not turns and not (alone and (node.op_type != "Div" or moving[0] == node.input[0])):
            return False
        if node.op_type == "PRelu" and len(moving) > 1:
            return False
    return True
