"""In which order the host sends a frame: as the first layer takes it, whatever axes the graph's input has."""

from __future__ import annotations

import numpy as np

from bnn2fpga.design.integers import Ints
from bnn2fpga.frontend.graph.execute import Graph
from bnn2fpga.frontend.graph.quantizer import QUANTIZERS
from bnn2fpga.frontend.lowering.operators import AVERAGE, ELEMENTWISE, LAYOUT
from bnn2fpga.frontend.lowering.signal import raster_index

IMAGES = AVERAGE | {"Conv", "ConvTranspose", "MaxPool", "Pad", "Resize", "Upsample"}
"""They take (1, channels, height, width)."""


def input_order(graph: Graph, tensor: str) -> tuple[tuple[int, ...], Ints]:
    """The stream's shape for `tensor`, and the place in it of each element.

    Channels come last, pixel by pixel, as the first layer behind reshapes and transposes needs them; the
    second axis holds the channels where no layer says otherwise.
    """
    shape = graph.shape(tensor)
    natural = np.arange(int(np.prod(shape)))
    places = {tensor: natural.reshape(shape)}
    for node in graph.nodes:
        found = places.get(node.input[0]) if node.input else None
        if found is None or graph.shape(node.output[0])[:1] != (1,):
            continue
        if node.op_type in IMAGES and found.ndim == 4:
            wanted = raster_index(found.shape)
            return (*found.shape[2:], found.shape[1]), _inverse(found, wanted).reshape(shape)
        if node.op_type == "MatMul" and found.ndim > 2:
            return found.shape[1:], _inverse(found, natural).reshape(shape)
        if node.op_type in LAYOUT:
            moved = graph.run([node], {node.input[0]: found.astype(np.float32)})[node.output[0]]
            if moved.size == natural.size:
                places[node.output[0]] = moved.astype(np.int64)
        elif node.op_type in ELEMENTWISE | QUANTIZERS and graph.shape(node.output[0]) == found.shape:
            places[node.output[0]] = found
    return (*shape[2:], shape[1]), raster_index(shape)


def _inverse(elements: Ints, wanted: Ints) -> Ints:
    """The stream's place of each element, if `elements` are to lie at `wanted`."""
    index = np.empty(elements.size, np.int64)
    index[elements.ravel()] = wanted.ravel()
    return index
