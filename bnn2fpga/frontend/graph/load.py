"""Reads a network from a QONNX file, a qonnx ModelWrapper or a Brevitas module."""

from __future__ import annotations

import bisect
import io
import json
import logging
import warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import onnx
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.infer_shapes import InferShapes
from qonnx.util.cleanup import cleanup_model

from bnn2fpga.errors import ModelError, first_line
from bnn2fpga.frontend.graph.channels_first import ChannelsFirst
from bnn2fpga.frontend.graph.declared_input import declare_input
from bnn2fpga.frontend.graph.entrance import check_graph, check_sizes, read_graph
from bnn2fpga.frontend.graph.execute import OUTPUTS

RECURRENT = frozenset({"GRU", "LSTM", "RNN"})


def load(model: Any, example_input: Any = None, input_type: str | None = None) -> ModelWrapper:
    """The network as a tidied `ModelWrapper` with readable names, static shapes and batch size 1.

    `model` is the path of a QONNX file, a `ModelWrapper` (left as it is) or a torch module with
    Brevitas layers, which is exported with `example_input`: a tensor or array (1, …).
    `input_type` says what the frames are where the graph does not (see `declare_input`).
    Raises ModelError for anything else, an unreadable file, or a graph that cannot be tidied.
    """
    if isinstance(model, str | Path):
        wrapper = ModelWrapper(check_graph(read_graph(Path(model))))
    elif isinstance(model, ModelWrapper):
        proto = onnx.ModelProto()
        proto.CopyFrom(model.model)
        wrapper = ModelWrapper(check_graph(proto))
    elif hasattr(model, "state_dict"):
        wrapper = _export(model, example_input)
    else:
        raise ModelError(
            f"a {type(model).__name__} is no model; legal: QONNX file, ModelWrapper, Brevitas module"
        )
    tidied = tidy(wrapper)
    return tidied if input_type is None else declare_input(tidied, input_type)


def _export(module: Any, example_input: Any) -> ModelWrapper:
    import torch
    from brevitas.core.quant import IntQuant
    from brevitas.export import export_qonnx
    from brevitas.proxy.quant_proxy import QuantProxyFromInjector

    if example_input is None:
        raise ModelError("a Brevitas module needs example_input, a tensor (1, …), to be exported")
    for name, part in module.named_modules():
        integers = isinstance(part, QuantProxyFromInjector) and any(
            isinstance(inner, IntQuant) for inner in part.modules()
        )
        # the width of a bias on its products' scale is only known while it runs
        known = not getattr(part, "requires_input_scale", False)
        if integers and known and part.is_quant_enabled and part.bit_width() == 1:
            raise ModelError(
                f"{name}: Brevitas exports integers of 1 bit as -1 and +1; use QuantType.BINARY or 2 bits"
            )
    try:
        example = torch.as_tensor(example_input)[:1]
    except (TypeError, ValueError, RuntimeError, IndexError) as error:
        raise ModelError(f"example_input is a {type(example_input).__name__}, not an array (1, …)") from error
    if example.is_floating_point():
        example = example.to(torch.float32)
    modes = [(part, part.training) for part in module.modules()]
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            # the TorchScript exporter keeps module names and is several times faster than the other
            exported = export_qonnx(module.eval(), args=example, dynamo=False)
    except Exception as error:
        raise ModelError(
            f"{type(module).__name__}: cannot be exported to QONNX: {first_line(error)}"
        ) from error
    finally:
        logger.setLevel(level)
        for part, training in modes:
            part.training = training
    return ModelWrapper(exported)


def tidy(wrapper: ModelWrapper) -> ModelWrapper:
    """The graph with readable names, static shapes and batch size 1; a ModelError for several inputs.

    Inputs that no output depends on are left out, and so are the nodes that read them.
    """
    graph = wrapper.graph
    _drop_unused(graph)
    inputs = _only_input(wrapper)
    refuse_hardware(graph)
    _refuse_recurrent(graph)
    _refuse_constant_outputs(graph, inputs[0])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            shape = wrapper.get_tensor_shape(inputs[0])
            if shape and shape[0] != 1:
                _take_one_frame(wrapper, inputs[0], shape[0])
            wrapper = wrapper.transform(ChannelsFirst())
            _part_equal_inputs(wrapper)
            tidied = cleanup_model(wrapper).transform(InferShapes())
            _keep_output_names(graph, tidied)
            _flatten_bias_scales(tidied)
            _drop_allowzero(tidied)
    except Exception as error:
        place = _without_shape(wrapper)
        raise ModelError(
            f"{f'{place}: ' if place else ''}the graph cannot be tidied: {first_line(error)}"
        ) from error
    check_sizes(tidied.graph)
    shape = tidied.get_tensor_shape(tidied.graph.input[0].name)
    if not shape or min(shape) < 1:
        raise ModelError(f"input {inputs[0]} has shape {shape}; export with static shapes")
    return tidied


def _drop_unused(graph: onnx.GraphProto) -> None:
    """Leaves out nodes and inputs that no output depends on, as long as an input stays."""
    needed = {value.name for value in graph.output}
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
    used = [value for value in graph.input if value.name in needed]
    if len(used) == len(graph.input) or not used:
        return
    nodes = [node for node in graph.node if needed.intersection(node.output)]
    for field, kept in ((graph.input, used), (graph.node, nodes)):
        copies = [type(one).FromString(one.SerializeToString()) for one in kept]
        del field[:]
        field.extend(copies)


def _only_input(wrapper: ModelWrapper) -> list[str]:
    """The names of the graph's inputs, which is one; a ModelError names them if there are more."""
    graph = wrapper.graph
    initialized = {tensor.name for tensor in graph.initializer}
    inputs = [value.name for value in graph.input if value.name not in initialized]
    if not inputs or not graph.output:
        raise ModelError(
            f"the graph has {len(inputs)} inputs and {len(graph.output)} outputs; legal: one input, and at "
            "least one output"
        )
    if len(inputs) > 1:
        named = " and ".join(f"{name} {tuple(wrapper.get_tensor_shape(name) or ())}" for name in inputs)
        raise ModelError(
            f"the graph has {len(inputs)} inputs, {named}, and a design takes one stream; join images of one "
            "size along the channels (torch.cat), quantize them together and slice the channels behind the "
            "quantizer; a vector joins as planes of that size, and x.amax((2, 3)) takes it back; an input "
            "that never changes can be a constant (an initializer)"
        )
    return inputs


def _without_shape(wrapper: ModelWrapper) -> str:
    """The first node up to which the graph's shapes cannot be inferred, by name; empty if they all can."""
    nodes = list(wrapper.graph.node)

    def inferred(count: int) -> bool:
        part = ModelWrapper(wrapper.model, make_deepcopy=True)
        del part.graph.node[count:], part.graph.output[:], part.graph.value_info[:]
        part.graph.output.extend(
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
            for name in nodes[count - 1].output
        )
        try:
            part.transform(InferShapes())
        except Exception:
            return False
        return True

    failing = bisect.bisect_left(range(1, len(nodes) + 1), True, key=lambda count: not inferred(count))
    if failing == len(nodes):
        return ""
    return nodes[failing].name or nodes[failing].op_type


def refuse_hardware(graph: onnx.GraphProto) -> None:
    """A ModelError for what FINN makes of a network: its layers run in its own simulators only."""
    for node in graph.node:
        if node.domain.startswith("finn.custom_op.fpgadataflow"):
            raise ModelError(
                f"{node.name or node.output[0]}: {node.op_type} is a hardware layer of FINN, which this "
                "graph has been through; give the QONNX graph that FINN was given (Brevitas: export_qonnx)"
            )


def _refuse_recurrent(graph: onnx.GraphProto) -> None:
    """A ModelError for a layer that reads its own results; it also puts the batch behind the time."""
    for node in graph.node:
        if node.op_type in RECURRENT:
            raise ModelError(
                f"{node.name or node.output[0]}: {node.op_type} is recurrent, and a design is fed forward; "
                "unroll it into dense layers, or use a 1-D convolution"
            )


def _refuse_constant_outputs(graph: onnx.GraphProto, start: str) -> None:
    """A ModelError for an output that does not depend on the input `start`."""
    reached = {start}
    for node in graph.node:
        if reached.intersection(node.input):
            reached.update(node.output)
    for value in graph.output:
        if value.name not in reached:
            raise ModelError(
                f"output {value.name}: does not depend on the input; leave it out (a QuantTensor is several "
                "outputs: return_quant_tensor=False)"
            )


def _keep_output_names(graph: onnx.GraphProto, tidied: ModelWrapper) -> None:
    """The outputs' names, which cleanup_model exchanges for its own; a tidied model has them already."""
    if tidied.get_metadata_prop(OUTPUTS) is None:
        tidied.set_metadata_prop(OUTPUTS, json.dumps([value.name for value in graph.output]))


def _take_one_frame(wrapper: ModelWrapper, name: str, batch: int) -> None:
    """Sets the batch of input `name`, which is open (0) or `batch`, to 1, and of reshapes to that batch."""
    source = next(value for value in wrapper.graph.input if value.name == name)
    source.type.tensor_type.shape.dim[0].dim_value = 1
    for node in wrapper.get_nodes_by_op_type("Reshape"):
        target = wrapper.get_initializer(node.input[1])
        if batch and target is not None and target.size and target.flat[0] == batch:
            target = target.copy()
            target.flat[0] = 1
            wrapper.set_initializer(node.input[1], target)


def _drop_allowzero(tidied: ModelWrapper) -> None:
    """Where a Reshape's target holds no zero, allowzero says nothing; torch's exporter sets it everywhere.

    It would be in the way of a batch that is left open, which is a zero.
    """
    for node in tidied.get_nodes_by_op_type("Reshape"):
        target = tidied.get_initializer(node.input[1])
        if target is not None and target.all():
            kept = [attribute for attribute in node.attribute if attribute.name != "allowzero"]
            del node.attribute[:]
            node.attribute.extend(kept)


def _part_equal_inputs(wrapper: ModelWrapper) -> None:
    """Puts an Identity on an input that a node takes twice (x * x), of which qonnx renames only the first."""
    for place, node in reversed(list(enumerate(wrapper.graph.node))):
        for index, name in enumerate(node.input):
            if name and name in node.input[:index]:
                node.input[index] = wrapper.make_new_valueinfo_name()
                identity = onnx.helper.make_node("Identity", [name], [node.input[index]])
                wrapper.graph.node.insert(place, identity)


def _flatten_bias_scales(wrapper: ModelWrapper) -> None:
    """Makes vectors of scalar scales and zero points of quantized biases; ExtractBiasFromConv needs that."""
    for node in wrapper.get_nodes_by_op_type("Conv"):
        quantizer = wrapper.find_producer(node.input[2]) if len(node.input) > 2 else None
        for name in quantizer.input[1:3] if quantizer is not None else ():
            value = wrapper.get_initializer(name)
            if value is not None and value.ndim == 0:
                wrapper.set_initializer(name, value.reshape(1))
