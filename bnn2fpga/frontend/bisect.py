"""The thresholds of a quantizer behind an integer with too many values to try them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx

from bnn2fpga.errors import ModelError
from bnn2fpga.frontend.chain import evaluate
from bnn2fpga.frontend.execute import Array, Graph
from bnn2fpga.frontend.quantizer import QUANTIZERS, Quantizer
from bnn2fpga.frontend.signal import Segment, Signal
from bnn2fpga.ir import Ints
from bnn2fpga.steps import MOST_STEPS, Steps

WIDE = 1 << 22
"""Values times channels; more are not all evaluated."""

_RISING_OR_FALLING = """
    Add BatchNormalization Cast Ceil Clip Div Dropout Floor HardSigmoid Identity Max Min Mul Neg PRelu Relu
    Round Sigmoid Sub Tanh
"""
MONOTONE = frozenset(_RISING_OR_FALLING.split()) | QUANTIZERS


def is_wide(signal: Signal) -> bool:
    """Whether the signal has too many values to evaluate its chain for all of them."""
    return len(signal.points) * signal.stream.channels > WIDE


def search_steps(graph: Graph, node: onnx.NodeProto, signal: Signal, quantizer: Quantizer) -> Steps:
    """The steps of quantizer `node`, found by bisection; exact for a chain that only rises or falls.

    Raises ModelError for any other chain.
    """
    channels = signal.stream.channels
    nodes = [item for segment in signal.pending if isinstance(segment, Segment) for item in segment.nodes]
    if signal.pools or not all(_monotone(graph, item, nodes) for item in nodes):
        raise ModelError(
            f"{node.name}: its input has {len(signal.points):,} values and nodes before it that may rise and "
            "fall; quantize to fewer bits before (--trunk-bits), or use nodes that only rise"
        )

    def levels_at(places: Ints) -> Ints:
        moved = replace(signal, points=signal.points[places])
        values = evaluate(graph, moved, [node], node.output[0]).values
        if values.shape[1] != channels:
            raise ModelError(f"{node.name}: treats positions differently; use one value a channel")
        scale = np.broadcast_to(quantizer.scale.reshape(-1), channels)
        return (np.rint(values / scale).astype(np.int64) - quantizer.type.low) // quantizer.type.step

    last = len(signal.points) - 1
    ends = levels_at(np.array([[0] * channels, [last] * channels]))
    rise = ends[1] - ends[0]
    count = int(np.abs(rise).max())
    if count > MOST_STEPS:
        raise ModelError(f"{node.name}: an activation with {count} steps; at most {MOST_STEPS} are built")
    sign = np.sign(rise)
    height = np.arange(1, count + 1)[:, None]
    passed = ends[0] + sign * height
    below, above = np.zeros((count, channels), np.int64), np.full((count, channels), last)
    while np.any(above - below > 1):
        middle = (below + above) // 2
        reached = (levels_at(middle) - passed) * sign >= 0
        below, above = np.where(reached, below, middle), np.where(reached, middle, above)
    used = height <= np.abs(rise)
    thresholds = np.where(used, signal.points[above], signal.points[-1] + 1)
    signs = np.where(used, sign, 0)
    return Steps(ends[0], thresholds.T, signs.T, quantizer.type)


def _monotone(graph: Graph, node: onnx.NodeProto, chain: Sequence[onnx.NodeProto]) -> bool:
    """Whether `node` rises, or falls, in its only input that is not constant."""
    moving = [name for name in node.input if name and name not in graph.constants]
    if (
        node.op_type not in MONOTONE
        or len(moving) != 1
        or (moving[0] != node.input[0] and node.op_type == "Div")
    ):
        return False
    if any(other is not node and moving[0] in other.input for other in chain):
        return False
    return node.op_type != "PRelu" or bool(np.all(_constant(graph, node, 1) >= 0))


def _constant(graph: Graph, node: onnx.NodeProto, index: int) -> Array:
    return graph.constants[node.input[index]]
