"""Changes of a file, each decided by its number alone."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import onnx

Random = np.random.Generator
NUMBERS = (-(1 << 63), -(1 << 31), -2, -1, 0, 1, 2, 3, 7, 255, 1 << 16, 1 << 20, 1 << 31, (1 << 63) - 1)


def changed_bytes(content: bytes, random: Random) -> bytes:
    """One to eight bytes changed, removed, doubled, or the end cut off."""
    data = bytearray(content)
    for _ in range(random.integers(1, 9)):
        place = int(random.integers(len(data)))
        match random.integers(5):
            case 0:
                data[place] ^= 1 << int(random.integers(8))
            case 1:
                data[place] = int(random.integers(256))
            case 2:
                del data[place : place + int(random.integers(1, 9))]
            case 3:
                data[place:place] = data[place : place + int(random.integers(1, 9))]
            case 4 if random.random() < 0.1:
                del data[place:]
        if not data:
            break
    return bytes(data)


def changed_graph(content: bytes, random: Random) -> bytes:
    """One to three changes that leave it a graph: of nodes, attributes, shapes, names and weights."""
    proto = onnx.load_from_string(content)
    for _ in range(random.integers(1, 4)):
        CHANGES[int(random.integers(len(CHANGES)))](proto.graph, random)
    return proto.SerializeToString()


def _chosen(items: object, random: Random) -> object:
    return items[int(random.integers(len(items)))]


def _drop_node(graph: onnx.GraphProto, random: Random) -> None:
    if len(graph.node) > 1:
        del graph.node[int(random.integers(len(graph.node)))]


def _double_node(graph: onnx.GraphProto, random: Random) -> None:
    graph.node.append(_chosen(graph.node, random))


def _rename(graph: onnx.GraphProto, random: Random) -> None:
    node = _chosen(graph.node, random)
    names = node.input if random.random() < 0.7 else node.output
    if names:
        names[int(random.integers(len(names)))] = str(
            _chosen([name for other in graph.node for name in (*other.input, *other.output)], random)
        )


def _other_operator(graph: onnx.GraphProto, random: Random) -> None:
    node = _chosen(graph.node, random)
    node.op_type = str(_chosen([*(other.op_type for other in graph.node), *OPERATORS], random))


def _other_attribute(graph: onnx.GraphProto, random: Random) -> None:
    nodes = [node for node in graph.node if node.attribute]
    if not nodes:
        return
    attribute = _chosen(_chosen(nodes, random).attribute, random)
    if attribute.ints:
        attribute.ints[int(random.integers(len(attribute.ints)))] = int(_chosen(NUMBERS, random))
    else:
        attribute.i = int(_chosen(NUMBERS, random))


def _other_shape(graph: onnx.GraphProto, random: Random) -> None:
    value = _chosen([*graph.input, *graph.output, *graph.value_info], random)
    dims = value.type.tensor_type.shape.dim
    if dims:
        dims[int(random.integers(len(dims)))].dim_value = int(_chosen(NUMBERS, random))


def _other_weights(graph: onnx.GraphProto, random: Random) -> None:
    if not graph.initializer:
        return
    tensor = _chosen(graph.initializer, random)
    array = onnx.numpy_helper.to_array(tensor).copy()
    if array.size and array.dtype.kind in "biuf":
        special = [np.nan, np.inf, 0, -1, 2.0**40] if array.dtype.kind == "f" else [0, -1, 1 << 20]
        array.flat[int(random.integers(array.size))] = np.array(_chosen(special, random)).astype(array.dtype)
    if random.random() < 0.3 and array.ndim:
        array = array.reshape(-1)
    tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))


def _other_type(graph: onnx.GraphProto, random: Random) -> None:
    value = _chosen([*graph.input, *graph.output], random)
    value.type.tensor_type.elem_type = int(random.integers(0, 24))


CHANGES: tuple[Callable[[onnx.GraphProto, Random], None], ...] = (
    _drop_node,
    _double_node,
    _rename,
    _other_operator,
    _other_attribute,
    _other_shape,
    _other_weights,
    _other_type,
)
OPERATORS = (
    "Resize",
    "Pad",
    "Tile",
    "Loop",
    "Cast",
    "Gather",
    "ConvTranspose",
    "Trunc",
    "Softmax",
    "Reshape",
)


def changed_arrays(content: bytes, random: Random) -> bytes:
    """One array of an .npz with another type, shape or value."""
    with np.load(io.BytesIO(content)) as file:
        arrays = {name: file[name] for name in file.files}
    name = str(_chosen(list(arrays), random))
    array = arrays[name]
    match random.integers(4):
        case 0:
            arrays[name] = np.zeros(array.shape, str(_chosen(["f4", "i8", "u1", "U4", "c8", "?"], random)))
        case 1:
            arrays[name] = array.reshape(-1)[: int(random.integers(array.size + 1))]
        case 2:
            del arrays[name]
        case 3 if array.size and array.dtype.kind in "iuf":
            array.flat[int(random.integers(array.size))] = _chosen([0, 1, 100], random)
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()
