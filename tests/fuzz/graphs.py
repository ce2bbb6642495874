"""Random networks as QONNX graphs, of what the compiler takes; each choice is made by `Choices`.

By number they are drawn for campaigns, by hypothesis for tests, which makes a small one of one that fails.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import helper

QONNX = "qonnx.custom_op.general"
STEPS = (0.25, 0.5, 1.0, 0.1, 0.3)
"""Of quantizers: with and without an exact binary form."""


class Choices(Protocol):
    """Where a graph's choices come from."""

    def number(self, low: int, high: int) -> int:
        """From `low` to `high`, both included."""

    def seed(self) -> int:
        """Of the numbers of a tensor."""


class ByNumber:
    """Choices that follow from one number."""

    def __init__(self, number: int) -> None:
        self.random = np.random.default_rng(number)

    def number(self, low: int, high: int) -> int:
        return int(self.random.integers(low, high + 1))

    def seed(self) -> int:
        return self.number(0, 1 << 30)


class ByHypothesis:
    """Choices that hypothesis draws."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw

    def number(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def seed(self) -> int:
        return self.draw(st.integers(0, 1 << 16))


class Network:
    """A graph that grows node by node; `shape` is the last tensor's, without the batch."""

    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []
        self.shape = (choices.number(1, 3), choices.number(4, 7), choices.number(4, 7))
        self.input = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, *self.shape])

    def chance(self, percent: int) -> bool:
        return self.choices.number(1, 100) <= percent

    def among(self, *values: Any) -> Any:
        return values[self.choices.number(0, len(values) - 1)]

    def constant(self, values: Any) -> str:
        array = np.asarray(values, np.float32)
        self.tensors.append(onnx.numpy_helper.from_array(array, f"c{len(self.tensors)}"))
        return self.tensors[-1].name

    def node(self, kind: str, inputs: list[str], domain: str = "", **attributes: Any) -> str:
        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [f"{name}_out"], name, domain=domain, **attributes))
        return f"{name}_out"

    def floats(self, *shape: int, spread: float = 1.0) -> Any:
        return np.random.default_rng(self.choices.seed()).normal(0, spread, shape)

    def bipolar(self, source: str, scale: float) -> str:
        return self.node("BipolarQuant", [source, self.constant(scale)], QONNX)

    def quant(self, source: str, bits: int, signed: bool, narrow: bool, scale: Any) -> str:
        inputs = [source, *(self.constant(value) for value in (scale, 0.0, bits))]
        facts = {"signed": int(signed), "narrow": int(narrow), "rounding_mode": "ROUND"}
        return self.node("Quant", inputs, QONNX, **facts)

    def activation(self, *sources: str) -> list[str]:
        """The same quantizer of 1 to 4 bits behind each source, a ReLU or not in front of it."""
        step = self.among(*STEPS)
        if self.chance(45):
            return [self.bipolar(source, step) for source in sources]
        if self.chance(30):
            sources = tuple(self.node("Relu", [source]) for source in sources)
        signed = self.chance(50)
        bits, narrow = self.choices.number(2 if signed else 1, 4), signed and self.chance(50)
        return [self.quant(source, bits, signed, narrow, step) for source in sources]

    def weight(self, *shape: int, scale: float | None = None) -> str:
        """Quantized weights of 1 to 4 bits."""
        values = self.constant(self.floats(*shape))
        if self.chance(60):
            return self.bipolar(values, scale or self.among(1.0, 0.5, 0.1))
        bits, narrow = self.choices.number(2, 4), self.chance(60)
        return self.quant(values, bits, True, narrow, scale or self.among(0.25, 0.5, 1.0))

    def affine(self, source: str) -> str:
        """Batch norm, or gain and bias of each channel; or nothing."""
        channels = self.shape[0]
        if self.chance(40):
            spread = [self.floats(channels, spread=2) for _ in range(3)]
            inputs = [source, *map(self.constant, spread), self.constant(np.abs(self.floats(channels)) + 0.5)]
            return self.node("BatchNormalization", inputs)
        shape = (channels, *(1 for _ in self.shape[1:]))
        if self.chance(40):
            source = self.node("Mul", [source, self.constant(self.floats(*shape))])
        if self.chance(40):
            source = self.node("Add", [source, self.constant(self.floats(*shape, spread=3))])
        return source

    def conv(self, source: str, outputs: int, keep: bool = False) -> str:
        """A convolution; if `keep`, of the same height and width and one scale for all."""
        inputs, height, width = self.shape
        kernel = self.among(1, 3) if keep else self.choices.number(1, min(3, height, width))
        groups = inputs if outputs % inputs == 0 and self.chance(20) else 1
        stride = 1 if keep else self.choices.number(1, 2)
        pads = [kernel // 2] * 4 if keep else [self.choices.number(0, kernel - 1) for _ in range(4)]
        scale = 0.5 if keep else None
        given = [source, self.weight(outputs, inputs // groups, kernel, kernel, scale=scale)]
        if not keep and self.chance(20):
            given.append(self.constant(self.floats(outputs)))
        found = self.node(
            "Conv", given, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=pads, group=groups
        )
        extents = (height + pads[0] + pads[2], width + pads[1] + pads[3]) if not keep else (height, width)
        rest = 0 if keep else kernel - 1
        self.shape = (outputs, *((extent - rest - 1) // stride + 1 for extent in extents))
        return found

    def pool(self, source: str) -> str:
        channels, height, width = self.shape
        if min(height, width) < 2:
            return source
        self.shape = (channels, height // 2, width // 2)
        if self.chance(60):
            return self.node("MaxPool", [source], kernel_shape=[2, 2], strides=[2, 2])
        found = self.node("AveragePool", [source], kernel_shape=[2, 2], strides=[2, 2])
        return self.activation(found)[0]

    def branches(self, source: str) -> str:
        """Two that are added, or put behind one another."""
        shape, together = self.shape, self.chance(60)
        outputs = shape[0] if together and self.chance(50) else self.choices.number(1, 4)
        left = self.conv(source, outputs, keep=True)
        self.shape = shape
        right = source
        if not together or outputs != shape[0] or self.chance(50):
            right = self.conv(source, outputs, keep=True)
        if together:
            return self.activation(self.affine(self.node("Add", [left, right])))[0]
        left, right = self.activation(self.affine(left), self.affine(right))
        self.shape = (2 * outputs, *shape[1:])
        return self.node("Concat", [left, right], axis=1)

    def head(self, source: str) -> str:
        """A dense layer or a convolution, with or without what follows its sums."""
        if self.chance(70):
            size = int(np.prod(self.shape))
            flat, self.shape = self.node("Flatten", [source], axis=1), (self.choices.number(1, 4),)
            found = self.node("MatMul", [flat, self.weight(size, *self.shape)])
        else:
            found = self.conv(source, self.choices.number(1, 3))
        if self.chance(20):
            return self.activation(found)[0]
        return self.affine(found) if self.chance(50) else found


def random_graph(choices: Choices) -> onnx.ModelProto:
    """A quantizer, up to four blocks, a head."""
    made = Network(choices)
    signed = made.chance(50)
    last = made.quant("x", made.choices.number(2, 8), signed, False, made.among(1 / 16, 1 / 32, 0.1))
    for _ in range(made.choices.number(0, 4)):
        kind = made.choices.number(1, 10)
        if kind <= 5:
            last = made.activation(made.affine(made.conv(last, made.choices.number(1, 5))))[0]
        elif kind <= 7:
            last = made.pool(last)
        else:
            last = made.branches(last)
    last = made.head(last)
    output = helper.make_tensor_value_info(last, onnx.TensorProto.FLOAT, None)
    graph = helper.make_graph(made.nodes, "random", [made.input], [output], made.tensors)
    opsets = [helper.make_opsetid("", 14), helper.make_opsetid(QONNX, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


@st.composite
def graphs(draw: st.DrawFn) -> onnx.ModelProto:
    """Random networks for hypothesis."""
    return random_graph(ByHypothesis(draw))
