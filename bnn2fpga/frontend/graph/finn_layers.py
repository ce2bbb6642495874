"""What FINN's streamlining puts in the place of ONNX' layers, as these again.

Im2Col and a matrix product are a convolution, an XNOR product is one of -1 and +1, and scalars behind a
MultiThreshold are its scale and bias. FINN's hardware layers are refused before (see `load`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.base import Transformation

from bnn2fpga.frontend.graph.quantizer import attribute
from bnn2fpga.frontend.graph.rewriting import Replacement, shape_of

Floats = npt.NDArray[np.float32]

MOVES = frozenset({"Flatten", "Im2Col", "MaxPool", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})
"""Nodes that take -1 and +1 as they take 0 and 1."""
SCALARS = {"Add": np.add, "Mul": np.multiply}


class FinnLayers(Transformation):  # type: ignore[misc]
    """MultiThreshold with its scalars; Conv, MatMul and Add instead of Im2Col and XnorPopcountMatMul."""

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        for node in list(model.get_nodes_by_op_type("MultiThreshold")):
            while _take_scalar(model, node):
                pass
        bipolar = {name for node in model.graph.node for name in _made_bipolar(model, node)}
        for node in list(model.get_nodes_by_op_type("XnorPopcountMatMul")):
            _product(model, node, node.input[0] in bipolar)
        for node in list(model.get_nodes_by_op_type("Im2Col")):
            _convolution(model, node, node.input[0] in bipolar)
        return model, False


def _take_scalar(model: ModelWrapper, node: NodeProto) -> bool:
    """Takes a scalar that is multiplied or added behind a MultiThreshold into it, if no value changes."""
    outputs = {value.name for value in model.graph.output}
    readers = _readers(model, node.output[0])
    thresholds = model.get_initializer(node.input[1])
    if len(readers) != 1 or node.output[0] in outputs or thresholds is None:
        return False
    reader = readers[0]
    constant = model.get_initializer(reader.input[-1]) if reader.op_type in SCALARS else None
    if constant is None or constant.size != 1 or constant.ndim > len(shape_of(model, node.output[0])):
        return False
    scale, bias = (
        np.float32(cast(float, attribute(node, name, default)))
        for name, default in (("out_scale", 1.0), ("out_bias", 0.0))
    )
    counts, by = np.arange(thresholds.shape[-1] + 1, dtype=np.float32), np.float32(constant.item())
    values = SCALARS[reader.op_type](counts * scale + bias, by)
    bias = SCALARS[reader.op_type](bias, by)
    scale = scale * by if reader.op_type == "Mul" else scale
    if scale <= 0 or not np.array_equal(counts * scale + bias, values):
        return False
    _set(node, out_scale=float(scale), out_bias=float(bias))
    node.output[0] = reader.output[0]
    model.graph.node.remove(reader)
    return True


def _made_bipolar(model: ModelWrapper, node: NodeProto) -> Iterator[str]:
    """Makes a MultiThreshold of 0 and 1 that only XNOR products read one of -1 and +1; the tensors behind."""
    values = [attribute(node, name, default) for name, default in (("out_scale", 1.0), ("out_bias", 0.0))]
    if node.op_type != "MultiThreshold" or values != [1.0, 0.0]:
        return
    thresholds, outputs = model.get_initializer(node.input[1]), {value.name for value in model.graph.output}
    if thresholds is None or thresholds.shape[-1] != 1:
        return
    reached, waiting = [], [node.output[0]]
    while waiting:
        tensor = waiting.pop()
        reached.append(tensor)
        readers = _readers(model, tensor)
        if tensor in outputs or not readers:
            return
        for reader in readers:
            if reader.op_type in MOVES:
                waiting.append(reader.output[0])
            elif reader.op_type != "XnorPopcountMatMul":
                return
    _set(node, out_scale=2.0, out_bias=-1.0, out_dtype="BIPOLAR")
    yield from reached


def _product(model: ModelWrapper, node: NodeProto, bipolar: bool) -> None:
    """The count of equal bits of a and w is a (2w - 1) + sum(1 - w); of -1 and +1, (a w + K) / 2."""
    weights = model.get_initializer(node.input[1])
    if weights is None:
        return
    new = Replacement(model, node)
    result = new.add("MatMul", node.input[0], new.constant(np.float32(2) * weights - np.float32(1)))
    new.nodes[-1].name = node.name
    if bipolar:
        half = new.add("Mul", result, new.constant(np.float32(0.5)))
        new.add("Add", half, new.constant(np.float32(len(weights) / 2)))
    else:
        new.add("Add", result, new.constant((1 - weights).sum(axis=0).astype(np.float32)))
    new.finish()


def _convolution(model: ModelWrapper, node: NodeProto, bipolar: bool) -> None:
    """Im2Col of (1, H, W, C) and the MatMul behind it, as a Conv between two transposes."""
    readers = _readers(model, node.output[0])
    weights = model.get_initializer(readers[0].input[1]) if len(readers) == 1 else None
    if weights is None or weights.ndim != 2 or readers[0].op_type != "MatMul":
        return
    product, channels = readers[0], shape_of(model, node.input[0])[-1]
    kernel = cast(list[int], attribute(node, "kernel_size", []))
    pads = list(cast(list[int], attribute(node, "pad_amount", [0, 0, 0, 0])))
    border = cast(int, attribute(node, "pad_value", 0))
    # a border of bits was 0 and is -1 now
    border = 2 * border - 1 if bipolar else border
    taps = weights.reshape(*kernel, channels, -1).transpose(3, 2, 0, 1)
    group, taps = _grouped(taps) if attribute(node, "depthwise", 0) else (1, taps)
    new = Replacement(model, product)
    image = new.add("Transpose", node.input[0], perm=[0, 3, 1, 2])
    if border and any(pads):
        amounts = new.constant(np.array([0, 0, *pads[:2], 0, 0, *pads[2:]], np.int64))
        image, pads = new.add("Pad", image, amounts, new.constant(np.float32(border))), [0, 0, 0, 0]
    sums = new.add(
        "Conv", image, new.constant(np.ascontiguousarray(taps)), kernel_shape=kernel, pads=pads, group=group,
        strides=attribute(node, "stride", [1, 1]), dilations=attribute(node, "dilations", [1, 1]),
    )  # fmt: skip
    new.nodes[-1].name = product.name
    new.add("Transpose", sums, perm=[0, 2, 3, 1])
    new.finish()
    model.graph.node.remove(node)


def _grouped(taps: Floats) -> tuple[int, Floats]:
    """A group a channel, and its weights, if all others of (out, in, kh, kw) are 0; else one group."""
    outputs, channels = taps.shape[:2]
    if outputs % channels:
        return 1, taps
    own = np.arange(outputs) // (outputs // channels)
    kept = taps[np.arange(outputs), own][:, None]
    return (channels, kept) if np.count_nonzero(kept) == np.count_nonzero(taps) else (1, taps)


def _readers(model: ModelWrapper, tensor: str) -> list[NodeProto]:
    return [node for node in model.graph.node if tensor in node.input]


def _set(node: NodeProto, **values: object) -> None:
    kept = [one for one in node.attribute if one.name not in values]
    del node.attribute[:]
    node.attribute.extend([*kept, *(helper.make_attribute(name, value) for name, value in values.items())])
