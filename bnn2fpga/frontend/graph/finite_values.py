"""Tensors that can only hold a few values on one grid are integers, though no quantizer says so.

Sign, a comparison, Where of constants, and every function of a quantized tensor that maps its values to
multiples of one number: networks without Brevitas binarize so, and map -1 and 1 to 0 and 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import gcd

import numpy as np
from onnx import NodeProto
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.base import Transformation

from bnn2fpga.design.integers import IntType
from bnn2fpga.errors import BuildError
from bnn2fpga.frontend.graph.execute import Array, Graph
from bnn2fpga.frontend.graph.quantizer import QUANTIZERS, Quantizer
from bnn2fpga.frontend.graph.rewriting import Replacement

MOST_VALUES = 1 << 8
WIDEST = 1 << 15
"""The largest integer that a tensor is taken for."""

_POINTWISE = """
    Abs Add Cast Ceil Clip Div Elu Erf Exp Floor HardSigmoid HardSwish Identity LeakyRelu Max Min Mul Neg Not
    Pow PRelu Reciprocal Relu Round Selu Sigmoid Softplus Softsign Sqrt Sub Tanh ThresholdedRelu
"""
POINTWISE = frozenset(_POINTWISE.split())
COMPARISONS = frozenset({"Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"})
_MOVES = "Dropout Expand Flatten Gather MaxPool Reshape Slice Squeeze Tile Transpose Unsqueeze"
MOVES = frozenset(_MOVES.split())
LAYERS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "Pad"})
JOINS = frozenset({"Add", "AveragePool", "Concat", "GlobalAveragePool"})


@dataclass(frozen=True, eq=False)
class _Values:
    """What a tensor can hold; `quantized` are the values of the quantizer that they come from, if any."""

    values: Array
    quantized: Array | None = None

    @property
    def scaled(self) -> bool:
        """Whether they are the quantizer's own values times a positive number."""
        if self.quantized is None:
            return False
        place = int(np.argmax(np.abs(self.quantized)))
        factor = self.values[place] / self.quantized[place] if self.quantized[place] else 0
        return bool(factor > 0 and np.array_equal(self.values, self.quantized * factor))


class QuantizeFiniteValues(Transformation):  # type: ignore[misc]
    """A quantizer that changes nothing, in front of every layer that takes a few values on a grid."""

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        graph = Graph(model)
        known = _known(graph)
        made: dict[str, str] = {}
        for node in graph.nodes:
            moving = [name for name in dict.fromkeys(node.input) if name and name not in graph.constants]
            for name in moving:
                values = known.get(name)
                if values is None or values.scaled or not _takes_integers(node, values):
                    continue
                if name not in made:
                    quantized = _quantize(model, node, name, values.values)
                    if quantized is None:
                        continue
                    made[name] = quantized
                for place, read in enumerate(node.input):
                    if read == name:
                        node.input[place] = made[name]
        return model, False


def _takes_integers(node: NodeProto, values: _Values) -> bool:
    """What a quantizer has rounded, sums and pools follow as it is."""
    return node.op_type in LAYERS or (values.quantized is None and node.op_type in JOINS)


def _known(graph: Graph) -> dict[str, _Values]:
    """The tensors, constants aside, of which all values are known."""
    kind = graph.model.get_tensor_datatype(graph.input)
    known: dict[str, _Values] = {}
    if kind != DataType["FLOAT32"] and kind.is_integer() and kind.get_num_possible_values() <= MOST_VALUES:
        every = np.arange(int(kind.min()), int(kind.max()) + 1, dtype=np.float32)
        every = every[[kind.allowed(value) for value in every]]
        known[graph.input] = _Values(every, every)
    for node in graph.nodes:
        if node.output[0] not in graph.constants:
            found = _values(graph, node, known)
            if found is not None and len(found.values) <= MOST_VALUES:
                known[node.output[0]] = found
    return known


def _values(graph: Graph, node: NodeProto, known: dict[str, _Values]) -> _Values | None:
    moving = [name for name in node.input if name and name not in graph.constants]
    if node.op_type in QUANTIZERS:
        return _quantized(graph, node)
    if node.op_type == "Sign":
        return _Values(np.array([-1, 0, 1], np.float32))
    if node.op_type in COMPARISONS:
        return _Values(np.array([False, True]))
    if node.op_type == "Where":
        chosen = [known.get(name) or _constant(graph, name) for name in node.input[1:]]
        parts = [part.values for part in chosen if part is not None]
        return _Values(np.unique(np.concatenate(parts))) if len(parts) == 2 else None
    if len(moving) != 1 or moving[0] not in known:
        return None
    given = known[moving[0]]
    if node.op_type in MOVES:
        return given
    others = [graph.constants[name] for name in node.input if name in graph.constants]
    if node.op_type not in POINTWISE or any(other.size != 1 for other in others):
        return None
    result = graph.run([node], {moving[0]: given.values})[node.output[0]].ravel()
    return _Values(result, given.quantized)


def _constant(graph: Graph, name: str) -> _Values | None:
    return _Values(graph.constants[name].ravel()) if name in graph.constants else None


def _quantized(graph: Graph, node: NodeProto) -> _Values | None:
    try:
        quantizer = Quantizer.of(graph, node)
    except BuildError:
        return None
    kind, scale = quantizer.type, quantizer.scale
    if kind.levels > MOST_VALUES or np.any(scale != scale.flat[0]):
        return None
    every = np.arange(kind.low, kind.high + 1, kind.step).astype(np.float32) * np.float32(scale.flat[0])
    return _Values(every, every)


def _quantize(model: ModelWrapper, node: NodeProto, tensor: str, values: Array) -> str | None:
    """The output of a new quantizer of `tensor` that leaves `values` as they are; None if none does."""
    if values.dtype != np.float32 or not np.all(np.isfinite(values)) or not np.any(values):
        return None
    exact = [Fraction(float(value)) for value in values]
    unit = Fraction(gcd(*(part.numerator for part in exact)), max(part.denominator for part in exact))
    integers = [int(part / unit) for part in exact]
    low, high = min(integers), max(integers)
    if max(-low, high) > WIDEST or float(np.float32(float(unit))) != float(unit):
        return None
    new = Replacement(model, node)
    scale = new.constant(np.float32(float(unit)))
    if set(integers) == {-1, 1}:
        result = new.add("BipolarQuant", tensor, scale, domain="qonnx.custom_op.general")
    else:
        kind = IntType.holding(low, high)
        narrow = kind.signed and low > kind.low
        zero, bits = new.constant(np.float32(0)), new.constant(np.float32(kind.bits))
        result = new.add(
            "Quant", tensor, scale, zero, bits, domain="qonnx.custom_op.general",
            signed=int(kind.signed), narrow=int(narrow), rounding_mode="ROUND",
        )  # fmt: skip
    place = list(model.graph.node).index(node)
    model.graph.node.insert(place, new.nodes[0])
    checked = Graph(model).run([new.nodes[0]], {tensor: values})[result]
    return result if np.array_equal(checked, values) else None
