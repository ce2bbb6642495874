"""Runs nodes of a QONNX graph on any number of frames at once.

qonnx executes a graph at the batch size written in it; here the written shapes are dropped, so the
same nodes (in onnxruntime and in qonnx's own Quant code) take a whole batch, or the range of an
accumulator laid along the batch axis.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_node

from bnn2fpga.errors import ModelError

Array = npt.NDArray[Any]


class Graph:
    """A tidied QONNX model of one input and one output at batch size 1, ready to run.

    The model is not to be changed afterwards.
    """

    def __init__(self, model: ModelWrapper) -> None:
        self.model = model
        self.nodes: tuple[onnx.NodeProto, ...] = tuple(model.graph.node)
        self.input: str = model.graph.input[0].name
        self.output: str = model.graph.output[0].name
        self.constants: dict[str, Array] = {
            tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer
        }
        self._opset: int = next(
            (o.version for o in model.model.opset_import if o.domain in ("", "ai.onnx")), 13
        )

    def shape(self, tensor: str) -> tuple[int, ...]:
        """The shape of `tensor` at batch size 1; a ModelError if shape inference could not tell."""
        shape = self.model.get_tensor_shape(tensor)
        if shape is None:
            raise ModelError(f"tensor {tensor}: its shape cannot be inferred; export with static shapes")
        return tuple(shape)

    @cached_property
    def _shapeless(self) -> onnx.GraphProto:
        graph = deepcopy(self.model.graph)
        for info in [*graph.input, *graph.output, *graph.value_info]:
            if info.name not in self.constants:
                info.type.tensor_type.ClearField("shape")
        known = {info.name for info in [*graph.input, *graph.output, *graph.value_info]}
        for node in graph.node:
            for name in node.output:
                if name and name not in known:
                    graph.value_info.append(
                        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
                    )
        return graph

    @cached_property
    def _batched_constants(self) -> dict[str, Array]:
        """The constants, with the batch of every Reshape's target left open (0 copies it)."""
        constants = dict(self.constants)
        for node in self.nodes:
            if node.op_type == "Reshape" and node.input[1] in constants:
                target = constants[node.input[1]].copy()
                if target.size and target[0] == 1:
                    target[0] = 0
                constants[node.input[1]] = target
        return constants

    def run(self, nodes: Iterable[onnx.NodeProto], feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Every tensor known after running `nodes` (in order) on `feeds`, whose first axis is the batch."""
        values: dict[str, Array] = self._batched_constants | dict(feeds)
        by_output = {node.output[0]: node for node in self._shapeless.node}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for node in nodes:
                for name in node.output:
                    values[name] = np.zeros(0, np.float32)
                try:
                    execute_node(by_output[node.output[0]], values, self._shapeless, self._opset)
                except Exception as error:
                    reason = str(error).strip().splitlines()[-1]
                    raise ModelError(f"{node.name or node.op_type}: cannot be executed: {reason}") from error
        return values

    def between(self, starts: Sequence[str], end: str) -> tuple[onnx.NodeProto, ...]:
        """The nodes that compute tensor `end` from the tensors `starts`, in order."""
        wanted, chosen = {end}, []
        for node in reversed(self.nodes):
            if wanted & set(node.output) - set(starts):
                chosen.append(node)
                wanted |= set(node.input)
        return tuple(reversed(chosen))

    def execute(self, x: Array, tensors: Sequence[str] = (), batch: int = 256) -> dict[str, Array]:
        """The graph's output, and `tensors`, for input x (N, …), a batch at a time."""
        names = [self.output, *tensors]
        chunks = [self.run(self.nodes, {self.input: x[at : at + batch]}) for at in range(0, len(x), batch)]
        return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in names}
