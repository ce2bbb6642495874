"""Lowers concatenations of any number of streams."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import onnx

from bnn2fpga.errors import ModelError
from bnn2fpga.frontend.graph.execute import Graph
from bnn2fpga.frontend.graph.quantizer import attribute
from bnn2fpga.frontend.lowering.builder import Builder
from bnn2fpga.frontend.lowering.joins import lower_concat
from bnn2fpga.frontend.lowering.operators import only_quantized
from bnn2fpga.frontend.lowering.repeated_channels import join_quantizers, repeated
from bnn2fpga.frontend.lowering.signal import Signal


def lower_concatenation(
    graph: Graph, build: Builder, node: onnx.NodeProto, inputs: Sequence[object], trunk_bits: int | None
) -> Signal:
    """Streams behind one another, two at a time."""
    axis = cast(int, attribute(node, "axis", 1))
    signals = [value for value in inputs if isinstance(value, Signal)]
    if len(signals) != len(inputs):
        raise ModelError(
            f"{node.name}: concatenates a constant; legal: activations; add what the next layer makes of the "
            "constant behind it, as a bias; zeros come by torch.nn.functional.pad of the channels"
        )
    copies = all(s.port == signals[0].port and s.bare and not s.repeats for s in signals)
    if copies and only_quantized(graph, node.output[0]):
        return repeated(node, signals[0], np.concatenate([s.index for s in signals], axis))
    joined = join_quantizers(build, node, signals) if axis == 1 else None
    if joined:
        return joined
    first, *others = signals
    for other in others:
        first = lower_concat(graph, build, node, axis, first, other, trunk_bits)
    return first
