"""What the rewrites of a graph share: nodes put in another's place, constants beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from onnx import NodeProto, helper
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper

from bnn2fpga.errors import ModelError
from bnn2fpga.frontend.graph.quantizer import QUANTIZERS, attribute

BEGINNINGS = QUANTIZERS | {"Sign", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"}
"""What makes integers of floats."""


class UnfitError(ModelError):
    """A graph that a rewrite refuses, with the node, the reason and a way out."""


class Replacement:
    """Nodes that take the place of `node`: `add` makes one after another, `finish` puts them there."""

    def __init__(self, model: ModelWrapper, node: NodeProto) -> None:
        self.model = model
        self.node = node
        self.nodes: list[NodeProto] = []

    def constant(self, value: Any) -> str:
        """The name of a new constant."""
        name: str = self.model.make_new_valueinfo_name()
        self.model.set_initializer(name, np.asarray(value))
        return name

    def add(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """The output of a new node."""
        name = f"{self.node.output[0]}_{kind}{len(self.nodes)}"
        made = helper.make_node(
            kind,
            list(inputs),
            [name],
            name=f"{self.node.name}_{kind}{len(self.nodes)}",
            domain=domain,
            **attributes,
        )
        self.nodes.append(made)
        return name

    def copy(self, *inputs: str, **attributes: Any) -> str:
        """The output of `node` itself on other inputs, with some other attributes, under its own name."""
        kept = {a.name: helper.get_attribute_value(a) for a in self.node.attribute}
        name = self.add(self.node.op_type, *inputs, domain=self.node.domain, **(kept | attributes))
        self.nodes[-1].name = self.node.name
        return name

    def reshape(self, tensor: str, shape: Sequence[int]) -> str:
        """`tensor` in another shape, the batch of 1 first."""
        return self.add("Reshape", tensor, self.constant(np.array(shape, np.int64)))

    def finish(self) -> None:
        """The last node's output is `node`'s; `node` leaves the graph."""
        graph = self.model.graph
        place = list(graph.node).index(self.node)
        self.nodes[-1].output[0] = self.node.output[0]
        graph.node.remove(self.node)
        for offset, one in enumerate(self.nodes):
            graph.node.insert(place + offset, one)


def shape_of(model: ModelWrapper, tensor: str) -> tuple[int, ...]:
    """The shape of `tensor` at batch size 1; a ModelError if shape inference could not tell."""
    shape = model.get_tensor_shape(tensor)
    if shape is None:
        raise ModelError(f"tensor {tensor}: its shape cannot be inferred; export with static shapes")
    return tuple(shape)


def opset(model: ModelWrapper) -> int:
    """The version of ONNX' own operators."""
    versions = [one.version for one in model.model.opset_import if one.domain in ("", "ai.onnx")]
    return versions[0] if versions else 13


def axes_of(model: ModelWrapper, node: NodeProto) -> list[int]:
    """The axes that `node` names in an attribute or, since opset 13, in its second input; [] for none."""
    if len(node.input) > 1 and node.input[1]:
        constant = model.get_initializer(node.input[1])
        return [] if constant is None else [int(axis) for axis in constant.ravel()]
    return list(cast(list[int], attribute(node, "axes", [])))


def moving_tensors(model: ModelWrapper) -> set[str]:
    """The tensors that depend on the graph's inputs."""
    constants = {tensor.name for tensor in model.graph.initializer}
    moving = {value.name for value in model.graph.input if value.name not in constants}
    for node in model.graph.node:
        if moving & set(node.input):
            moving |= set(node.output)
    return moving


def integer_tensors(model: ModelWrapper) -> set[str]:
    """The tensors behind a quantizer, or what is one, or an annotated input; the others are the host's."""
    moving, name = moving_tensors(model), model.graph.input[0].name
    reached = {name} if model.get_tensor_datatype(name) != DataType["FLOAT32"] else set()
    for node in model.graph.node:
        begins = node.op_type in BEGINNINGS and moving.intersection(node.input)
        if begins or reached.intersection(node.input):
            reached |= set(node.output)
    return reached


def shift_axes(node: NodeProto, by: int) -> None:
    """Moves the axes that `node` names, if they count from the front, behind `by` new first ones."""
    for one in node.attribute:
        if one.name == "axis" and one.i >= 0:
            one.i += by
        if one.name == "perm":
            axes = [*range(by), *(axis + by for axis in one.ints)]
            del one.ints[:]
            one.ints.extend(axes)
