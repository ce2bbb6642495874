"""Lowers nodes that only constants reach."""

from __future__ import annotations

import numpy as np
import onnx

from bnn2fpga.frontend.graph.execute import Graph
from bnn2fpga.frontend.graph.quantizer import QUANTIZERS, Quantizer
from bnn2fpga.frontend.lowering.operators import LAYOUT
from bnn2fpga.frontend.lowering.signal import Parameter


def lower_constant(graph: Graph, node: onnx.NodeProto, source: Parameter) -> Parameter:
    """What a node makes of constants; where it only moves its first input, `source`, also its integers."""
    constants = graph.constants
    values = constants[node.output[0]]
    if node.op_type in QUANTIZERS:
        # a bias may have Brevitas' 32 bits: only its values are used
        quantizer = Quantizer.of(graph, node, 32)
        integers = quantizer.integers(values)
        return Parameter(values, integers, np.broadcast_to(quantizer.scale, values.shape), quantizer.type)
    if node.op_type in LAYOUT and source.integers is not None and source.scales is not None:
        moved = [
            graph.run([node], constants | {node.input[0]: part.astype(np.float32)})[node.output[0]]
            for part in (source.integers, source.scales)
        ]
        return Parameter(values, moved[0].astype(np.int64), moved[1], source.type)
    return Parameter(values)
