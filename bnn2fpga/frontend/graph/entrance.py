"""The entrance for graphs: what a file holds is checked here before any library works on it.

onnx and onnxruntime end the process on some graphs (a function that calls itself, a stride of 0), and qonnx
imports a Python module of the name that a node's domain has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import prod
from pathlib import Path

import onnx
from google.protobuf.descriptor import FieldDescriptor  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError, Message  # type: ignore[import-untyped]

from bnn2fpga.errors import ModelError, first_line
from bnn2fpga.frontend.graph.fixed_shapes import check_fixed_shapes
from bnn2fpga.frontend.graph.trial import try_in_a_child

MOST_NODES = 20_000
MOST_ELEMENTS = 1 << 26
"""Of one tensor."""
MOST_VALUES = 1 << 30
"""Of all tensors of a frame together."""
MOST_PRODUCTS = 1 << 35
"""Of all layers of a frame together: eight times ResNet-50's; a build executes some dozen frames."""
MOST_DEPTH = 8
"""Graphs within nodes of graphs."""
MOST_BITS = 64
"""Of an annotated integer."""
LARGEST = 1 << 31
"""Bytes of a file; protobuf takes no more."""

DOMAINS = re.compile(r"|ai\.onnx(\.ml)?|onnx\.brevitas|qonnx\.custom_op\.\w+|finn\.custom_op\.[\w.]+")
"""Those of onnx itself, and of packages that are installed with this one."""
ANNOTATED = re.compile(r"U?INT(\d+)|BINARY|BIPOLAR|TERNARY|FLOAT\d+|FIXED<\d+,\d+>")
FREE_TEXTS = ("doc_string", "producer_name", "producer_version", "key", "value")
"""Texts of a graph that nothing is named after."""
POSITIVE = ("strides", "dilations", "kernel_shape", "group")
"""Attributes that onnx divides by."""
_HARMLESS = """
    Abs Add ArgMax AveragePool BatchNormalization BipolarQuant Cast Ceil Clip Concat Constant Conv
    DequantizeLinear Div Dropout Elu Erf Exp Flatten Floor Gather Gemm GlobalAveragePool GlobalMaxPool
    Greater HardSigmoid HardSwish Identity IntQuant LeakyRelu Less LogSoftmax MatMul Max MaxPool Min Mul
    MultiThreshold Neg Pow PRelu Quant QuantizeLinear ReduceMax ReduceMean Relu Reshape Round Shape
    Sigmoid Sign Slice Softmax Split Sqrt Squeeze Sub Tanh TopK Transpose Trunc TruncAvgPool2d Unsqueeze
    Where
"""
HARMLESS = frozenset(_HARMLESS.split())
"""Operators that make of tensors of known sizes no larger ones than their attributes and weights say."""


def read_graph(path: Path) -> onnx.ModelProto:
    """The graph in a file, as it is. Raises ModelError."""
    if path.exists() and not path.is_file():
        raise ModelError(f"{path}: not an ONNX file (a folder or a device)")
    try:
        size = path.stat().st_size
        proto = onnx.load(str(path)) if size < LARGEST else None
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file") from None
    except DecodeError as error:
        settings = (
            "; a .toml holds settings for `build`; give the model that it names"
            if path.suffix == ".toml"
            else ""
        )
        raise ModelError(f"{path}: not an ONNX file (it cannot be parsed){settings}") from error
    except Exception as error:
        raise ModelError(f"{path}: not an ONNX file ({first_line(error)})") from error
    if proto is None:
        raise ModelError(f"{path}: {size:,} bytes; legal: less than {LARGEST:,}")
    if not proto.graph.node:
        raise ModelError(f"{path}: not an ONNX file (no graph in it)")
    return proto


def check_graph(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with its functions in place, without declared shapes; a ModelError for what is not legal."""
    _check_texts(proto)
    _check_functions(proto)
    nodes = list(_nodes(proto.graph))
    if len(nodes) > MOST_NODES:
        raise ModelError(f"the graph has {len(nodes):,} nodes; legal: up to {MOST_NODES:,}")
    for node in nodes:
        _check_node(node)
    _check_annotations(proto.graph)
    _forget_declarations(proto.graph)
    _check_tensors(proto.graph)
    check_fixed_shapes(proto.graph)
    harmless = all(node.op_type in HARMLESS for node in nodes)
    if not harmless:
        try_in_a_child(proto)
    inferred = _inferred(proto)
    if inferred is not None:
        check_sizes(inferred)
    elif harmless:
        try_in_a_child(proto)
    return proto


def _check_texts(message: Message) -> None:
    """A ModelError for a text that is no UTF-8, or for a name that no line can show."""
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for inner in value if _repeated(field) else [value]:
                _check_texts(inner)
        elif field.type == field.TYPE_STRING:
            for text in value if _repeated(field) else [value]:
                # protobuf gives bytes for what is no UTF-8
                if not isinstance(text, str) or not (field.name in FREE_TEXTS or text.isprintable()):
                    raise ModelError(
                        f"a {field.name} in the graph is {text[:40]!r}; legal: printable characters in UTF-8"
                    )


def _repeated(field: FieldDescriptor) -> bool:
    return bool(field.label == field.LABEL_REPEATED)


def _nodes(graph: onnx.GraphProto, depth: int = 0) -> Iterator[onnx.NodeProto]:
    """All nodes, those of graphs within nodes included."""
    if depth > MOST_DEPTH:
        raise ModelError(f"graphs within graphs, {depth} deep; legal: up to {MOST_DEPTH}")
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else ())):
                yield from _nodes(inner, depth + 1)


def _check_functions(proto: onnx.ModelProto) -> None:
    """Puts functions in place; a ModelError for one that calls itself, or that grows beyond MOST_NODES."""
    bodies = {(function.domain, function.name): list(function.node) for function in proto.functions}
    sizes: dict[tuple[str, str], int] = {}

    def size(nodes: list[onnx.NodeProto], callers: tuple[tuple[str, str], ...]) -> int:
        total = 0
        for node in nodes:
            key = (node.domain, node.op_type)
            if key in callers:
                raise ModelError(f"function {node.op_type} calls itself; legal: functions that end")
            if key in bodies and key not in sizes:
                sizes[key] = size(bodies[key], (*callers, key))
            total = min(total + sizes.get(key, 1), MOST_NODES + 1)
        return total

    if not bodies:
        return
    for function, body in bodies.items():
        size(body, (function,))
    if size(list(proto.graph.node), ()) > MOST_NODES:
        raise ModelError(f"functions make more than {MOST_NODES:,} nodes of the graph")
    from onnx import inliner

    proto.CopyFrom(inliner.inline_local_functions(proto))


def _check_node(node: onnx.NodeProto) -> None:
    name = node.name or (node.output[0] if node.output else node.op_type)
    if not DOMAINS.fullmatch(node.domain):
        raise ModelError(
            f"{name}: {node.op_type} is of the domain {node.domain!r}, which is not known; legal: onnx's, "
            "qonnx' and FINN's own"
        )
    for attribute in node.attribute:
        values = attribute.ints or [attribute.i]
        if attribute.name in POSITIVE and not all(1 <= value < LARGEST for value in values):
            raise ModelError(f"{name}: {attribute.name} of {list(values)}; legal: from 1")
        if attribute.name == "pads" and node.op_type != "Pad" and min(values) < 0:
            raise ModelError(f"{name}: pads of {list(values)} crop; legal: from 0, with a Slice in front")


def _check_annotations(graph: onnx.GraphProto) -> None:
    for annotation in graph.quantization_annotation:
        for entry in annotation.quant_parameter_tensor_names:
            if entry.key != "finn_datatype":
                continue
            found = ANNOTATED.fullmatch(entry.value)
            if found is None or (found[1] and not 1 <= int(found[1][:9]) <= MOST_BITS):
                raise ModelError(
                    f"tensor {annotation.tensor_name}: is annotated {entry.value[:40]!r}; legal: BIPOLAR, "
                    f"TERNARY, INT2, UINT8, … of up to {MOST_BITS} bits"
                )


def _forget_declarations(graph: onnx.GraphProto) -> None:
    """Leaves the inputs' shapes and the outputs' types: all others follow, and files can be wrong."""
    del graph.value_info[:]
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")


def _check_tensors(graph: onnx.GraphProto) -> None:
    made = {name for node in graph.node for name in node.output}
    for value in graph.output:
        if value.name not in made:
            raise ModelError(f"output {value.name}: no node computes it")
    for tensor in graph.initializer:
        try:
            if prod(tensor.dims) > MOST_ELEMENTS or min(tensor.dims, default=1) < 0:
                raise ValueError(f"shape {list(tensor.dims)}")
            onnx.numpy_helper.to_array(tensor)
        except Exception as error:
            raise ModelError(f"tensor {tensor.name}: its values cannot be read ({error})") from error


def _inferred(proto: onnx.ModelProto) -> onnx.GraphProto | None:
    """The graph with the shapes that onnx can tell; None where they do not fit together."""
    whole = onnx.ModelProto()
    whole.CopyFrom(proto)
    imported = {one.domain for one in whole.opset_import}
    for domain in {node.domain for node in whole.graph.node} - imported - {"ai.onnx"}:
        whole.opset_import.append(onnx.helper.make_opsetid(domain, 1 if domain else 13))
    try:
        return onnx.shape_inference.infer_shapes(whole, strict_mode=True).graph
    except Exception:
        return None


def check_sizes(graph: onnx.GraphProto) -> None:
    """A ModelError that names the node whose output would be too large."""
    makers = {name: node for node in graph.node for name in node.output}
    for value in (*graph.input, *graph.value_info, *graph.output):
        size = prod(max(dim.dim_value, 1) for dim in value.type.tensor_type.shape.dim)
        if size > MOST_ELEMENTS:
            node = makers.get(value.name)
            what = f"{node.name or node.op_type}: its output" if node else f"input {value.name}: it"
            raise ModelError(f"{what} would hold {size:.1e} values; legal: up to {MOST_ELEMENTS:.1e}")
    _check_work(graph)


def _check_work(graph: onnx.GraphProto) -> None:
    """A ModelError where a frame takes more work than can be done before a build begins."""
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        shapes[value.name] = [max(dim.dim_value, 1) for dim in value.type.tensor_type.shape.dim]
    values = sum(prod(shapes.get(name, [])) for node in graph.node for name in node.output)
    products = [(_products(node, shapes), node) for node in graph.node]
    total = sum(count for count, _ in products)
    if values > MOST_VALUES:
        raise ModelError(
            f"the graph's tensors would hold {values:.1e} values; legal: up to {MOST_VALUES:.1e}"
        )
    if total > MOST_PRODUCTS:
        most, node = max(products, key=lambda one: one[0])
        raise ModelError(
            f"a frame takes {total:.1e} products, {most:.1e} of them in {node.name or node.op_type}; "
            f"legal: up to {MOST_PRODUCTS:.1e}"
        )


def _products(node: onnx.NodeProto, shapes: dict[str, list[int]]) -> int:
    """Products, or elements of windows, of a node; 0 where there are about as many as results."""
    source, weight = (shapes.get(name, []) for name in (*node.input[:2], "", "")[:2])
    target = prod(shapes.get(node.output[0], [])) if node.output else 0
    if node.op_type == "Conv":
        return target * prod(weight[1:])
    if node.op_type == "ConvTranspose":
        return prod(source) * prod(weight[1:])
    if node.op_type in ("MatMul", "Gemm"):
        return target * (source[-1] if source else 0)
    kernel = [attribute.ints for attribute in node.attribute if attribute.name == "kernel_shape"]
    return target * prod(kernel[0]) if kernel else 0
