"""Turns a streamlined QONNX graph into a Design of integer kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import onnx
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper

from bnn2fpga.design.graph import Design
from bnn2fpga.design.integers import BIPOLAR, IntType
from bnn2fpga.design.stream import Stream
from bnn2fpga.errors import BuildError, ConfigError, ModelError
from bnn2fpga.frontend.graph.execute import Array, Graph
from bnn2fpga.frontend.graph.quantizer import QUANTIZERS, Quantizer, attribute
from bnn2fpga.frontend.lowering.activation import lower_max_pool, lower_quantizer
from bnn2fpga.frontend.lowering.average import lower_average_pool
from bnn2fpga.frontend.lowering.builder import Builder
from bnn2fpga.frontend.lowering.chain import evaluate
from bnn2fpga.frontend.lowering.dot import has_integers, lower_conv, lower_matmul
from bnn2fpga.frontend.lowering.fuse import fuse_thresholds
from bnn2fpga.frontend.lowering.gate import GATES, lower_gate
from bnn2fpga.frontend.lowering.graph_host import GraphHost
from bnn2fpga.frontend.lowering.join import lower_add, lower_concat
from bnn2fpga.frontend.lowering.output import lower_output
from bnn2fpga.frontend.lowering.repeat import join_quantizers, repeated
from bnn2fpga.frontend.lowering.signal import (
    HostTensor,
    Padding,
    Parameter,
    Result,
    Segment,
    Signal,
    raster_index,
)

Value = Parameter | HostTensor | Signal | Result

_ELEMENTWISE = """
    Abs Add BatchNormalization Cast Ceil Celu Clip Div Dropout Elu Erf Exp Floor Gelu Greater GreaterOrEqual
    HardSigmoid HardSwish Identity LeakyRelu Less LessOrEqual Log Max Min Mish Mul Neg PRelu Pow Reciprocal
    Relu Round Selu Sigmoid Sign Softplus Softsign Sqrt Sub Tanh ThresholdedRelu Where
"""
ELEMENTWISE = frozenset(_ELEMENTWISE.split())
LAYOUT = frozenset({"Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Tile", "Expand"})
OUTPUT = frozenset({"TopK", "ArgMax", "Softmax", "LogSoftmax"})
AVERAGE = frozenset({"AveragePool", "GlobalAveragePool"})
SUPPORTED = sorted(
    ELEMENTWISE
    | LAYOUT
    | QUANTIZERS
    | OUTPUT
    | AVERAGE
    | {"MatMul", "Gemm", "Conv", "MaxPool", "Pad", "Concat"}
)


def lower(
    model: ModelWrapper,
    name: str = "network",
    exact_sums: bool = False,
    trunk_bits: int | None = None,
) -> Design:
    """The integer design of a loaded and streamlined `model`, every kernel at its smallest folding.

    Between two quantizers the design computes what QONNX execution computes. Where weights have scales
    that make the graph's float32 sums inexact, a threshold that lies within their rounding is refused,
    and so is a top-1; with `exact_sums` the exact integer sum decides there. A sum of branches that have
    no common integer grid is refused; with `trunk_bits` it is rounded to a grid of that many fraction bits
    (see `trunk`), and the host's `rounded` names the nodes. Raises ModelError, naming the node.
    """
    return fuse_thresholds(Lowering(Graph(model), exact_sums, trunk_bits).design(name))


@dataclass(frozen=True, eq=False)
class Step:
    """What became of one node: its value, the kernels added for it and what was said of them."""

    node: onnx.NodeProto
    value: Value
    kernels: tuple[str, ...]
    said: tuple[str, ...]


class Lowering:
    """One walk over a graph: `values` holds what is known of each tensor, `steps` the walk so far.

    `at` is the node that is being lowered. Raises ConfigError for bad `trunk_bits`.
    """

    def __init__(self, graph: Graph, exact_sums: bool, trunk_bits: int | None) -> None:
        if trunk_bits is not None and not 0 <= trunk_bits <= 12:
            raise ConfigError(f"trunk_bits={trunk_bits}; legal: 0 to 12")
        self.graph = graph
        self.exact_sums = exact_sums
        self.trunk_bits = trunk_bits
        self.build = Builder()
        self.values: dict[str, Value] = {k: Parameter(v) for k, v in graph.constants.items()}
        self.core_input: str = graph.input
        self.first: Signal | None = None
        self.at: onnx.NodeProto | None = None
        self.steps: list[Step] = []

    def design(self, name: str) -> Design:
        """The design, its thresholds still kernels of their own."""
        kind = self.graph.model.get_tensor_datatype(self.graph.input)
        self.values[self.graph.input] = HostTensor()
        if kind != DataType["FLOAT32"]:
            self.values[self.graph.input] = self._enter(self.graph.input, np.ones(1), _int_type(kind))
        for node in self.graph.nodes:
            self.at = node
            try:
                value = self._lower(node)
            except BuildError as error:
                raise error if node.name in str(error) else type(error)(f"{node.name}: {error}") from error
            self.values |= dict.fromkeys(node.output, value)
            self.steps.append(Step(node, value, *self.build.news()))
        self.at = None
        value = self.values[self.graph.output]
        result = value.signal if isinstance(value, Result) else value
        if not isinstance(result, Signal) or self.first is None:
            raise ModelError(
                "no quantizer between the graph's input and its output: nothing to build in hardware"
            )
        tensor = result.pending[0]
        assert isinstance(tensor, Segment)
        if result.repeats:
            raise ModelError(
                f"{tensor.tensor}: repeated channels leave the network; put a quantizer behind it"
            )
        if result.padding and self.graph.shape(tensor.tensor) != tensor.index.shape:
            raise ModelError(f"{tensor.tensor}: a padded tensor leaves the network; pad before a convolution")
        rounded = tuple(self.build.rounded)
        host = GraphHost.of(self.graph, self.core_input, self.first, result, rounded)
        return self.build.finish(name, [result.port], host)

    def _lower(self, node: onnx.NodeProto) -> Value:
        inputs = [self.values[name] for name in node.input if name]
        if all(isinstance(value, Parameter) for value in inputs):
            return self._constant(node, cast(list[Parameter], inputs))
        if any(isinstance(value, Result) for value in inputs):
            return self._behind_result(node, [v for v in inputs if not isinstance(v, Parameter)])
        if any(isinstance(value, HostTensor) for value in inputs):
            if node.op_type in QUANTIZERS:
                quantizer = Quantizer.of(self.graph, node)
                self.build.say("the design's input: the host quantizes to integers of one scale")
                return self._enter(node.output[0], quantizer.scale, quantizer.type)
            if node.op_type in ("Conv", "MatMul", "Gemm") or any(
                isinstance(value, Signal) for value in inputs
            ):
                raise ModelError(
                    f"{node.name}: float values reach it: no quantizer stands between the graph's input "
                    "and it; put a QuantIdentity there, or annotate the input with an integer type"
                )
            return HostTensor()
        return self._on_signal(node, inputs)

    def _behind_result(self, node: onnx.NodeProto, inputs: list[Value]) -> Value:
        """Everything behind a result is the host's, as long as it needs nothing else and no layer follows."""
        first = inputs[0]
        if node.op_type in QUANTIZERS or node.op_type in ("Conv", "MatMul", "Gemm"):
            raise ModelError(
                f"{node.name}: a layer behind {' or '.join(sorted(OUTPUT))}, which can only end a network"
            )
        for value in inputs:
            if not (isinstance(value, Result) and isinstance(first, Result) and value.signal is first.signal):
                raise ModelError(f"{node.name}: joins the network's result with another tensor")
        return first

    def _on_signal(self, node: onnx.NodeProto, inputs: list[Value]) -> Value:
        signal = next(value for value in inputs if isinstance(value, Signal))
        if node.op_type in OUTPUT:
            return lower_output(self.graph, self.build, node, signal, self.exact_sums)
        if any(self.graph.reads(name) for name in node.output[1:]):
            raise ModelError(f"{node.name}: its second output is not supported")
        if node.op_type in QUANTIZERS:
            return self._quantize(node, signal)
        if node.op_type not in LAYOUT | ELEMENTWISE:
            _refuse_repeats(node, inputs)
        if node.op_type in ("MatMul", "Conv"):
            rule: Callable[..., Signal] = lower_matmul if node.op_type == "MatMul" else lower_conv
            if inputs[0] is not signal or not isinstance(inputs[1], Parameter):
                raise ModelError(f"{node.name}: needs an activation and constant weights, in this order")
            last = node.op_type == "MatMul" and self._only_host(node.output[0])
            if last and not has_integers(inputs[1]):
                self.build.say("a last layer of float weights")
                return Result(signal)
            return rule(self.build, node, self._scaled(signal), inputs[1])
        if node.op_type in LAYOUT:
            return self._layout(node, signal)
        if node.op_type in ELEMENTWISE:
            return self._elementwise(node, [value for value in inputs if isinstance(value, Signal)])
        if node.op_type == "Concat":
            return self._concat(node, inputs)
        if node.op_type in AVERAGE:
            return lower_average_pool(self.graph, self.build, node, signal, self.trunk_bits)
        if node.op_type == "MaxPool":
            return lower_max_pool(self.graph, self.build, node, signal)
        if node.op_type == "Pad":
            return self._pad(node, signal)
        if node.op_type == "Gemm":
            raise ModelError(f"{node.name}: is a Gemm; run SplitGemm, which makes it a MatMul and an Add")
        raise ModelError(f"{node.name}: {node.op_type} is not supported; supported: {', '.join(SUPPORTED)}")

    def _enter(self, tensor: str, scale: Array, kind: IntType) -> Signal:
        """The design's input: the integers of `tensor`."""
        if self.first is not None:
            raise ModelError(f"{tensor}: a second quantizer of the graph's float input; use one")
        shape = self.graph.shape(tensor)
        if len(shape) < 2 or shape[0] != 1:
            raise ModelError(f"{tensor}: shape {shape}; legal: (1, features) or (1, channels, height, width)")
        if scale.size > 1 and np.any(scale != scale.flat[0]):
            raise ModelError(f"{tensor}: the input's scale varies over channels; use one scale")
        stream = Stream((*shape[2:], shape[1]), kind)
        points = np.arange(kind.low, kind.high + 1, kind.step)
        segment = Segment(tensor, raster_index(shape))
        self.core_input = tensor
        self.first = Signal(self.build.open_input(stream), stream, scale.reshape(-1)[:1], points, (segment,))
        return self.first

    def _constant(self, node: onnx.NodeProto, inputs: list[Parameter]) -> Parameter:
        constants = self.graph.constants
        values = constants[node.output[0]]
        if node.op_type in QUANTIZERS:
            quantizer = Quantizer.of(self.graph, node)
            integers = quantizer.integers(values)
            return Parameter(values, integers, np.broadcast_to(quantizer.scale, values.shape), quantizer.type)
        source = inputs[0]
        if node.op_type in LAYOUT and source.integers is not None and source.scales is not None:
            moved = [
                self.graph.run([node], constants | {node.input[0]: part.astype(np.float32)})[node.output[0]]
                for part in (source.integers, source.scales)
            ]
            return Parameter(values, moved[0].astype(np.int64), moved[1], source.type)
        return Parameter(values)

    def _layout(self, node: onnx.NodeProto, signal: Signal) -> Signal:
        """Follows where the elements go by sending their places through the node."""
        if signal.padding:
            raise ModelError(f"{node.name}: a padded tensor is reshaped; pad right before the convolution")
        places = signal.index.astype(np.float64 if signal.index.size > 1 << 24 else np.float32)
        index = self.graph.run([node], {node.input[0]: places})[node.output[0]].astype(np.int64)
        if index.ndim < 2 or index.shape[0] != 1:
            raise ModelError(
                f"{node.name}: gives shape {index.shape}; keep the first axis for the batch: (1, …)"
            )
        if index.size != signal.index.size:
            return repeated(node, signal, index)
        segment = Segment(node.output[0], index)
        if not signal.segment.nodes:
            return signal.with_segment(replace(segment, tensor=segment.tensor))
        return replace(signal, pending=(*signal.pending, segment))

    def _elementwise(self, node: onnx.NodeProto, signals: list[Signal]) -> Signal:
        first, *others = signals
        if any(signal.padding for signal in signals):
            raise ModelError(
                f"{node.name}: stands between a Pad and the convolution; pad right before the convolution"
            )
        if any(other.port != first.port or other.segment.tensor != first.segment.tensor for other in others):
            _refuse_repeats(node, signals)
            if node.op_type == "Add":
                return lower_add(self.graph, self.build, node, first, others[0], self.trunk_bits)
            if node.op_type in GATES:
                return lower_gate(self.graph, self.build, node, first, others[0])
            raise ModelError(f"{node.name}: {node.op_type} joins two streams; legal: Add, Concat")
        shape = self.graph.shape(node.output[0])
        if shape != first.index.shape:
            if shape[:1] != (1,) or others:
                raise ModelError(
                    f"{node.name}: gives shape {shape}; keep the first axis for the batch: (1, …)"
                )
            spread = repeated(node, first, np.broadcast_to(first.index, shape))
            first = spread.with_segment(Segment(first.segment.tensor, spread.index))
        joined = first.segment
        for other in others:
            joined = joined.extended(*other.segment.nodes)
        return first.with_segment(joined.extended(node))

    def _only_quantized(self, tensor: str) -> bool:
        """Whether nothing but quantizers take `tensor`, at most elementwise nodes in front of them."""
        readers = [node for node in self.graph.nodes if tensor in node.input]
        return bool(readers) and all(
            node.op_type in QUANTIZERS
            or (node.op_type in ELEMENTWISE | LAYOUT and self._only_quantized(node.output[0]))
            for node in readers
        )

    def _only_host(self, tensor: str) -> bool:
        """Whether nothing behind `tensor` needs the fabric: a last layer in floating point."""
        readers = [node for node in self.graph.nodes if tensor in node.input]
        return all(
            node.op_type in ELEMENTWISE | LAYOUT | OUTPUT and self._only_host(node.output[0])
            for node in readers
        )

    def _concat(self, node: onnx.NodeProto, inputs: list[Value]) -> Signal:
        """Streams behind one another, two at a time."""
        axis = cast(int, attribute(node, "axis", 1))
        signals = [value for value in inputs if isinstance(value, Signal)]
        if len(signals) != len(inputs):
            raise ModelError(f"{node.name}: concatenates a constant; legal: activations")
        copies = all(s.port == signals[0].port and s.bare and not s.repeats for s in signals)
        if copies and self._only_quantized(node.output[0]):
            return repeated(node, signals[0], np.concatenate([s.index for s in signals], axis))
        joined = join_quantizers(self.build, node, signals) if axis == 1 else None
        if joined:
            return joined
        first, *others = signals
        for other in others:
            first = lower_concat(self.graph, self.build, node, axis, first, other, self.trunk_bits)
        return first

    def _pad(self, node: onnx.NodeProto, signal: Signal) -> Signal:
        """A constant border; the convolution behind it takes it over."""
        constants = [self.values[name] for name in node.input[1:] if name]
        amounts = (
            constants[0].values
            if constants and isinstance(constants[0], Parameter)
            else attribute(node, "pads", [])
        )
        value = (
            constants[1].values
            if len(constants) > 1 and isinstance(constants[1], Parameter)
            else attribute(node, "value", 0.0)
        )
        pads = np.asarray(amounts, np.int64).reshape(-1)
        mode = cast(bytes, attribute(node, "mode", b"constant"))
        if (
            mode != b"constant"
            or pads.size != 8
            or pads[[0, 1, 4, 5]].any()
            or pads.min() < 0
            or signal.padding
            or not signal.bare
        ):
            raise ModelError(
                f"{node.name}: legal is a constant padding of height and width, of a quantized tensor, "
                "right before a convolution"
            )
        top, left, bottom, right = pads[[2, 3, 6, 7]].tolist()
        padding = Padding((top, left, bottom, right), float(np.asarray(value).item()))
        inside = Segment(node.output[0], signal.index)
        return replace(signal, padding=padding, pending=(*signal.pending, inside))

    def _quantize(self, node: onnx.NodeProto, signal: Signal) -> Signal:
        """A quantizer; of a padded tensor it quantizes the border's value too."""
        inside = lower_quantizer(self.graph, self.build, node, signal, self.exact_sums)
        if not signal.padding:
            return inside
        border = np.full((1,) * signal.index.ndim, signal.padding.value, np.float32)
        values = self.graph.run([node], {node.input[0]: border})[node.output[0]]
        if values.min() != values.max():
            raise ModelError(f"{node.name}: the border of a padded tensor differs from channel to channel")
        return replace(inside, padding=Padding(signal.padding.pads, float(values.flat[0])))

    def _scaled(self, signal: Signal) -> Signal:
        """Takes pending nodes that only scale a quantized tensor by one number into its scale."""
        if (
            signal.bare
            or signal.pools
            or signal.multiplier != 1
            or signal.offset
            or signal.scale.size != 1
            or np.any(signal.bias)
        ):
            return signal
        last = signal.segment.nodes[-1] if signal.segment.nodes else None
        if last is None:
            return signal
        values = evaluate(self.graph, signal, [], last.output[0]).values.astype(np.float64)
        reference = int(np.argmax(np.abs(signal.points)))
        factor = values[reference, 0] / signal.points[reference]
        if factor <= 0 or not np.array_equal(
            values, np.broadcast_to(signal.points[:, None] * factor, values.shape)
        ):
            return signal
        return replace(signal, scale=np.array([factor]), pending=(Segment(last.output[0], signal.index),))


def _refuse_repeats(node: onnx.NodeProto, values: Sequence[Value]) -> None:
    if any(isinstance(value, Signal) and value.repeats for value in values):
        raise ModelError(f"{node.name}: its input repeats channels; put a quantizer in front of it")


def _int_type(kind: DataType) -> IntType:
    """qonnx' annotated integer types."""
    if kind == DataType["BIPOLAR"]:
        return BIPOLAR
    if kind == DataType["TERNARY"]:
        return IntType(2, signed=True, narrow=True)
    if not kind.is_integer():
        raise ModelError(f"the graph's input is annotated {kind}; legal: FLOAT32 or an integer type")
    return IntType(kind.bitwidth(), kind.signed())
