"""Runs nodes of a QONNX graph on any number of frames at once.

qonnx executes a graph at the batch size written in it; here the written shapes are dropped, so the
same nodes (in onnxruntime and in qonnx's own Quant code) take a whole batch, or the range of an
accumulator laid along the batch axis.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from qonnx.core.execute_custom_node import execute_custom_node
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import is_custom_op

from bnn2fpga.errors import ModelError, first_line

Array = npt.NDArray[Any]

SPATIAL = ("Conv", "ConvTranspose", "AveragePool", "MaxPool", "GlobalAveragePool", "GlobalMaxPool")
"""Operators on which onnxruntime ends the process where an input has too few axes."""
OUTPUTS = "bnn2fpga_outputs"
"""Where a tidied model keeps the names that its outputs had."""


MOST_COMPARISONS = 1 << 26
"""At once; each takes a byte."""


class Graph:
    """A tidied QONNX model of one input at batch size 1, ready to run.

    `constants` holds the initializers and what nodes compute from nothing else. The model is not to
    be changed afterwards.
    """

    def __init__(self, model: ModelWrapper) -> None:
        self.model = model
        self.nodes: tuple[onnx.NodeProto, ...] = tuple(model.graph.node)
        self.input: str = model.graph.input[0].name
        self.outputs: tuple[str, ...] = tuple(value.name for value in model.graph.output)
        self.constants: dict[str, Array] = {
            tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer
        }
        self._versions: dict[str, int] = {one.domain: one.version for one in model.model.opset_import}
        self._sessions: dict[str, onnxruntime.InferenceSession] = {}
        for node in self.nodes:
            if all(name in self.constants for name in node.input if name):
                values = self._run([node], dict(self.constants))
                self.constants |= {name: values[name] for name in node.output if name}

    @property
    def output(self) -> str:
        """The first output."""
        return self.outputs[0]

    @property
    def output_names(self) -> tuple[str, ...]:
        """The outputs as the network's author named them."""
        try:
            names = json.loads(self.model.get_metadata_prop(OUTPUTS) or "null")
        except ValueError:
            return self.outputs
        known = isinstance(names, list) and all(isinstance(name, str) for name in names)
        fits = known and len(set(names)) == len(names) == len(self.outputs)
        return tuple(names) if fits else self.outputs

    def shape(self, tensor: str) -> tuple[int, ...]:
        """The shape of `tensor` at batch size 1; a ModelError if shape inference could not tell."""
        shape = self.model.get_tensor_shape(tensor)
        if shape is None:
            raise ModelError(f"tensor {tensor}: its shape cannot be inferred; export with static shapes")
        return tuple(shape)

    def dtype(self, tensor: str) -> np.dtype[Any]:
        """The numpy type of `tensor`'s elements; float32 where the graph does not say."""
        info = self.model.get_tensor_valueinfo(tensor)
        kind = info.type.tensor_type.elem_type if info else 0
        return onnx.helper.tensor_dtype_to_np_dtype(kind or onnx.TensorProto.FLOAT)

    def version(self, node: onnx.NodeProto) -> int:
        """The version of the operators of `node`'s domain; 1 where the graph does not say, as for qonnx."""
        return self._versions.get(node.domain, 1)

    def _session(self, node: onnx.NodeProto) -> onnxruntime.InferenceSession:
        """onnxruntime ready for one node, its shapes left open."""
        key = node.output[0]
        if key not in self._sessions:
            inputs = []
            for name in dict.fromkeys(filter(None, node.input)):
                kind = self.constants[name].dtype if name in self.constants else self.dtype(name)
                element = onnx.helper.np_dtype_to_tensor_dtype(kind)
                inputs.append(onnx.helper.make_tensor_value_info(name, element, None))
            outputs = [onnx.helper.make_empty_tensor_value_info(name) for name in node.output if name]
            graph = onnx.helper.make_graph([node], "node", inputs, outputs)
            model = onnx.helper.make_model(graph, opset_imports=self.model.model.opset_import)
            model.ir_version = min(model.ir_version, self.model.model.ir_version or model.ir_version)
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 4
            # waiting threads of so many sessions would take all of the processor
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            self._sessions[key] = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        return self._sessions[key]

    @cached_property
    def _batched_constants(self) -> dict[str, Array]:
        """The constants, with the batch of every Reshape's target left open (0 copies it)."""
        constants = dict(self.constants)
        for node in self.nodes:
            if node.op_type == "Reshape" and node.input[1] in constants:
                target = constants[node.input[1]].copy()
                source = self.model.get_tensor_shape(node.input[0])
                if (
                    target.ndim == 1
                    and target.size
                    and target[0] == 1
                    and (source is None or source[:1] == [1])
                ):
                    target[0] = 0
                constants[node.input[1]] = target
        return constants

    def reads(self, tensor: str) -> bool:
        """Whether a node takes `tensor`, or it is an output of the graph."""
        return tensor in self.outputs or any(tensor in node.input for node in self.nodes)

    def run(self, nodes: Iterable[onnx.NodeProto], feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Every tensor known after running `nodes` (in order) on `feeds`, whose first axis is the batch."""
        return self._run(nodes, self._batched_constants | dict(feeds))

    def _run(self, nodes: Iterable[onnx.NodeProto], values: dict[str, Array]) -> dict[str, Array]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for node in nodes:
                try:
                    if is_custom_op(node.domain, node.op_type):
                        self._run_custom(node, values)
                    else:
                        feeds = {name: values[name] for name in node.input if name}
                        if node.op_type == "Concat":
                            feeds = self._as_many_frames(feeds)
                        if node.op_type in SPATIAL:
                            _check_images(node, values)
                        names = [name for name in node.output if name]
                        values |= zip(names, self._session(node).run(names, feeds), strict=True)
                except Exception as error:
                    raise ModelError(
                        f"{node.name or node.op_type}: cannot be executed: {first_line(error)}; correct the "
                        "node in the model, or export the model again"
                    ) from error
        return values

    def _as_many_frames(self, feeds: dict[str, Array]) -> dict[str, Array]:
        """Constants of a batch of 1 repeated for every frame of the others."""
        frames = max((len(value) for name, value in feeds.items() if name not in self.constants), default=1)
        return {
            name: np.repeat(value, frames, 0) if name in self.constants and len(value) == 1 else value
            for name, value in feeds.items()
        }

    def _run_custom(self, node: onnx.NodeProto, values: dict[str, Array]) -> None:
        """Adds what a node of qonnx computes; some frames at once where it compares with many thresholds."""
        tensor, version = node.input[0], self.version(node)
        many = values[node.input[1]].shape[-1] if node.op_type == "MultiThreshold" else 0
        parts = -(-values[tensor].size * many // MOST_COMPARISONS)
        if parts <= 1:
            execute_custom_node(node, values, self.model.graph, version)
            return
        found = []
        for part in np.array_split(values[tensor], min(parts, len(values[tensor]))):
            local = {**values, tensor: part}
            execute_custom_node(node, local, self.model.graph, version)
            found.append(local[node.output[0]])
        values[node.output[0]] = np.concatenate(found)

    def between(self, starts: Sequence[str], *ends: str) -> tuple[onnx.NodeProto, ...]:
        """The nodes that compute the tensors `ends` from the tensors `starts`, in order."""
        wanted, chosen = set(ends), []
        for node in reversed(self.nodes):
            if (wanted & set(node.output)) - set(starts) - self.constants.keys():
                chosen.append(node)
                wanted |= set(node.input)
        return tuple(reversed(chosen))

    def execute(self, x: Array, tensors: Sequence[str] = (), batch: int = 256) -> dict[str, Array]:
        """The graph's outputs, and `tensors`, for input x (N, …), a batch at a time."""
        names = [*self.outputs, *tensors]
        chunks = [self._outputs(names, x[at : at + batch]) for at in range(0, len(x), batch)]
        return {name: np.concatenate([_framed(chunk[name], batch) for chunk in chunks]) for name in names}

    @cached_property
    def _steps(self) -> list[tuple[onnx.NodeProto, set[str]]]:
        """The nodes that depend on the input, each with the tensors that no node behind it reads."""
        nodes = [node for node in self.nodes if node.output[0] not in self.constants]
        last_reader = {name: place for place, node in enumerate(nodes) for name in node.input}
        return [
            (node, {name for name in node.input if last_reader[name] == place})
            for place, node in enumerate(nodes)
        ]

    def _outputs(self, names: Sequence[str], x: Array) -> dict[str, Array]:
        """These tensors for input x; others, which take gigabytes, are dropped behind their last reader."""
        values = self._batched_constants | {self.input: x}
        for node, read in self._steps:
            values = self._run([node], values)
            for name in read.difference(names):
                values.pop(name, None)
        return {name: values[name] for name in names}


def _check_images(node: onnx.NodeProto, values: Mapping[str, Array]) -> None:
    """A ValueError for a tensor that is no images (N, C, …), or weights that do not fit them."""
    images = values[node.input[0]]
    if images.ndim < 3:
        raise ValueError(f"it takes images (N, C, …), but its input has the shape {images.shape}")
    if "Conv" in node.op_type and values[node.input[1]].ndim != images.ndim:
        shapes = f"{images.shape} and {values[node.input[1]].shape}"
        raise ValueError(f"its input and its weights must have as many axes, not the shapes {shapes}")


def _framed(values: Array, batch: int) -> Array:
    """A tensor of one frame gets the batch that the graph has lost on the way."""
    return values[None] if batch == 1 and values.shape[:1] != (1,) else values
