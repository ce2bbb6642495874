"""Shapes are those of the graph, never of a frame: libraries crash on sizes that a frame decides."""

from __future__ import annotations

import onnx

from bnn2fpga.errors import ModelError

SHAPING = {
    "Expand": (1,),
    "Pad": (1,),
    "Reshape": (1,),
    "Resize": (1, 2, 3),
    "Slice": (1, 2, 3, 4),
    "Squeeze": (1,),
    "Tile": (1,),
    "TopK": (1,),
    "Unsqueeze": (1,),
    "Upsample": (1,),
}
"""Inputs of operators that say the shape of the output."""
OF_SHAPES = {"Shape", "Size"}
"""Operators whose output is known without a frame."""


def check_fixed_shapes(graph: onnx.GraphProto) -> None:
    """A ModelError names a node that takes a shape from a frame's values."""
    constants = {one.name for one in graph.initializer}
    framed = {one.name for one in graph.input} - constants
    for node in graph.node:
        for place in SHAPING.get(node.op_type, ()):
            if place < len(node.input) and node.input[place] in framed:
                raise ModelError(
                    f"{node.name or node.op_type}: takes the shape of its output from {node.input[place]}, "
                    "which a frame's values decide; give it a constant"
                )
        if node.op_type not in OF_SHAPES and framed.intersection(node.input):
            framed.update(node.output)
