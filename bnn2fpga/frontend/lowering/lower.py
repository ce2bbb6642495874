"""Turns a streamlined QONNX graph into a Design of integer kernels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
import onnx
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper

from bnn2fpga.design.graph import Design
from bnn2fpga.design.integers import IntType
from bnn2fpga.errors import BuildError, ConfigError, ModelError, first_line
from bnn2fpga.frontend.graph.execute import Array, Graph
from bnn2fpga.frontend.graph.quantizer import QUANTIZERS, Quantizer
from bnn2fpga.frontend.lowering.activation import lower_max_pool
from bnn2fpga.frontend.lowering.average import lower_average_pool
from bnn2fpga.frontend.lowering.below_max import RowMax, lower_below_max
from bnn2fpga.frontend.lowering.builder import Builder
from bnn2fpga.frontend.lowering.concatenation import lower_concatenation
from bnn2fpga.frontend.lowering.constant import lower_constant
from bnn2fpga.frontend.lowering.design_input import annotated_type, is_input_renamed, open_input
from bnn2fpga.frontend.lowering.dot_product import has_integers, lower_conv, lower_matmul
from bnn2fpga.frontend.lowering.elementwise import lower_elementwise, refuse_repeats
from bnn2fpga.frontend.lowering.enlarge import UPSAMPLING, lower_conv_transpose, lower_upsampling
from bnn2fpga.frontend.lowering.exact_sums import Grid
from bnn2fpga.frontend.lowering.graph_host import CoreOutput, GraphHost
from bnn2fpga.frontend.lowering.heads import join_heads
from bnn2fpga.frontend.lowering.layout import lower_layout
from bnn2fpga.frontend.lowering.linear_chain import as_linear, scaled
from bnn2fpga.frontend.lowering.operators import (
    AVERAGE,
    ELEMENTWISE,
    LAYERS,
    LAYOUT,
    OUTPUT,
    feeds_layer,
    only_host,
)
from bnn2fpga.frontend.lowering.output import lower_output
from bnn2fpga.frontend.lowering.padding import lower_pad, quantize_padded
from bnn2fpga.frontend.lowering.refusals import OTHER_QUANTIZERS, SOFTMAX_WITHIN, refusal
from bnn2fpga.frontend.lowering.signal import (
    HostTensor,
    Parameter,
    Result,
    Segment,
    Signal,
)
from bnn2fpga.frontend.lowering.stream_product import lower_product
from bnn2fpga.frontend.lowering.threshold_fusion import fuse_thresholds

DOT_PRODUCTS: dict[str, Callable[..., Signal]] = {
    "Conv": lower_conv,
    "ConvTranspose": lower_conv_transpose,
    "MatMul": lower_matmul,
}

Value = Parameter | HostTensor | Signal | Result | RowMax


def lower(
    model: ModelWrapper,
    name: str = "network",
    exact_sums: bool = False,
    trunk_bits: int | None = None,
    host_layers: bool = False,
) -> Design:
    """The integer design of a loaded and streamlined `model`, every kernel at its smallest folding.

    Between two quantizers the design computes what QONNX execution computes. Where weights have scales
    that make the graph's float32 sums inexact, a threshold that lies within their rounding is refused,
    and so is a top-1; with `exact_sums` the exact integer sum decides there. A sum of branches that have
    no common integer grid is refused; with `trunk_bits` it is rounded to a grid of that many fraction bits
    (see `trunk`), and the host's `rounded` names the nodes. Float layers in front of the first quantizer are
    refused, and nodes at the end that no kernel takes; with `host_layers` the host computes them. Raises
    ModelError, naming the node.
    """
    return fuse_thresholds(Lowering(Graph(model), exact_sums, trunk_bits, host_layers).design(name))


@dataclass(frozen=True, eq=False)
class Step:
    """What became of one node: its value, the kernels added for it and what was said of them."""

    node: onnx.NodeProto
    value: Value
    kernels: tuple[str, ...]
    said: tuple[str, ...]


class Lowering:
    """One walk over a graph: `values` holds what is known of each tensor, `steps` the walk so far.

    `at` is the node that is being lowered, `joining` are the kernels that put several outputs behind one
    another. Raises ConfigError for bad `trunk_bits`.
    """

    def __init__(
        self, graph: Graph, exact_sums: bool, trunk_bits: int | None, host_layers: bool = False
    ) -> None:
        if trunk_bits is not None and not 0 <= trunk_bits <= 12:
            raise ConfigError(f"trunk_bits={trunk_bits}; legal: 0 to 12")
        self.graph = graph
        self.exact_sums = exact_sums
        self.trunk_bits = trunk_bits
        self.host_layers = host_layers
        self.build = Builder()
        self.values: dict[str, Value] = {k: Parameter(v) for k, v in graph.constants.items()}
        self.core_input: str = graph.input
        self.first: Signal | None = None
        self.at: onnx.NodeProto | None = None
        self.steps: list[Step] = []
        self.joining: tuple[str, ...] = ()

    def design(self, name: str) -> Design:
        """The design, its thresholds still kernels of their own."""
        kind = self.graph.model.get_tensor_datatype(self.graph.input)
        self.values[self.graph.input] = HostTensor()
        if kind != DataType["FLOAT32"]:
            self.values[self.graph.input] = self._enter(self.graph.input, np.ones(1), annotated_type(kind))
        for node in self.graph.nodes:
            self.at = node
            try:
                value = self._lower(node)
            except BuildError as error:
                raise error if node.name in str(error) else type(error)(f"{node.name}: {error}") from error
            except (ValueError, IndexError, TypeError, KeyError, OverflowError) as error:
                raise ModelError(
                    f"{node.name}: {node.op_type} does not take these shapes or values "
                    f"({first_line(error)}); mend the node, or put a quantizer in front of it"
                ) from error
            self.values |= dict.fromkeys(node.output, value)
            self.steps.append(Step(node, value, *self.build.news()))
        self.at = None
        ends = self._ends()
        assert self.first is not None
        port, places = join_heads(self.build, ends)
        self.joining, _ = self.build.news()
        cores = [CoreOutput.of(signal, place) for signal, place in zip(ends, places, strict=True)]
        rounded, sums = tuple(self.build.rounded), self._inexact_sums() if self.exact_sums else {}
        host = GraphHost.of(self.graph, self.core_input, self.first, cores, rounded, sums)
        if host.encoding.reason and any(node.op_type in LAYERS for node in host.prologue):
            raise ModelError(f"{host.encoding.reason}; quantize in front of it, or take another activation")
        design = self.build.finish(name, [port], host)
        if not design.nodes:
            raise ModelError(
                "nothing to build in hardware: no layer stands between the graph's quantizer and its output; "
                "give a network with a layer (Conv, MatMul, a pool, a second quantizer) behind it"
            )
        return design

    def _inexact_sums(self) -> dict[str, Grid]:
        """The tensors of sums that float32 rounds, and what they would be."""
        signals = [value for step in self.steps for value in (step.value,) if isinstance(value, Signal)]
        found = {}
        for signal in signals:
            start = signal.pending[0]
            if signal.inexact and isinstance(start, Segment) and not signal.padding and not signal.repeats:
                found[start.tensor] = Grid.of(signal.scale, signal.bias, signal.stream.channels, start.index)
        return found

    def _ends(self) -> list[Signal]:
        """The signals that leave the core, each tensor once."""
        ends: dict[str, Signal] = {}
        for output in self.graph.outputs:
            value = self.values[output]
            if not isinstance(value, Signal | Result):
                which = f"{output}: " if len(self.graph.outputs) > 1 else ""
                raise ModelError(
                    f"{which}no quantizer between the graph's input and its output: nothing to build in "
                    "hardware"
                )
            for signal in value.signals if isinstance(value, Result) else (value,):
                start = signal.pending[0]
                assert isinstance(start, Segment)
                if signal.repeats:
                    raise ModelError(
                        f"{start.tensor}: repeated channels leave the network; put a quantizer behind it"
                    )
                if signal.padding and self.graph.shape(start.tensor) != start.index.shape:
                    raise ModelError(
                        f"{start.tensor}: a padded tensor leaves the network; pad before a convolution"
                    )
                if self.graph.shape(start.tensor) != start.index.shape:
                    raise ModelError(
                        f"{output}: an average behind float nodes leaves the network and is read within; put "
                        "a quantizer in front of the pool or behind it, or allow trunk_bits (--trunk-bits 4)"
                    )
                ends[start.tensor] = signal
        return list(ends.values())

    def _lower(self, node: onnx.NodeProto) -> Value:
        inputs = [self.values[name] for name in node.input if name]
        if all(isinstance(value, Parameter) for value in inputs):
            return lower_constant(self.graph, node, cast(Parameter, inputs[0]))
        if any(isinstance(value, Result) for value in inputs):
            return self._behind_result(node, [v for v in inputs if not isinstance(v, Parameter)])
        if any(isinstance(value, HostTensor) for value in inputs):
            if node.op_type in QUANTIZERS:
                return self._quantized_input(node)
            joined = any(isinstance(value, Signal) for value in inputs)
            if joined or (node.op_type in LAYERS and not self.host_layers):
                raise self._float_values(node, joined)
            if node.op_type in LAYERS:
                self.build.say(f"{node.name}: a float layer in front, on the host")
            return HostTensor()
        try:
            return self._on_signal(node, inputs)
        except ModelError as error:
            signals = tuple(value for value in inputs if isinstance(value, Signal))
            if not self._may_end_at(node, signals):
                raise
            if not self.host_layers:
                raise ModelError(f"{error}; or let the host compute it (--host-layers)") from error
            self.build.news()
            self.build.say(f"{node.name}: no kernel takes it, on the host as the network's end")
            return Result(signals)

    def _may_end_at(self, node: onnx.NodeProto, signals: tuple[Signal, ...]) -> bool:
        """Whether the core may end in front of `node`: something is in it, and nothing behind needs it."""
        plain = not any(s.repeats or s.padding or s.port.node is None for s in signals)
        return plain and only_host(self.graph, node.output[0])

    def _float_values(self, node: onnx.NodeProto, joined: bool) -> ModelError:
        """Why `node` gets float values that depend on the graph's input."""
        for before in self.graph.between([self.graph.input], node.input[0]):
            if before.op_type in OTHER_QUANTIZERS:
                return refusal(before)
        return ModelError(
            f"{node.name}: float values reach it: no quantizer stands between the graph's input and it; if "
            "the frames are integers, say so (--input uint8 or int8, or uint8/255 for divided pixels); or "
            "put a QuantIdentity there, or annotate the input with an integer type"
            + ("" if joined else "; or let the host compute it (--host-layers)")
        )

    def _behind_result(self, node: onnx.NodeProto, inputs: list[Value]) -> Value:
        """Everything behind a result is the host's, whatever it joins, as long as nothing goes back."""
        if any(isinstance(value, HostTensor) for value in inputs):
            raise ModelError(
                f"{node.name}: joins the network's result with float values in front of the first quantizer; "
                "join a quantized tensor"
            )
        if node.op_type in QUANTIZERS and feeds_layer(self.graph, node):
            before = self.graph.between([self.graph.input], node.input[0])
            softmax = next((one for one in reversed(before) if one.op_type == "Softmax"), None)
            if softmax is not None:
                raise ModelError(f"{softmax.name}: {SOFTMAX_WITHIN}")
            raise ModelError(
                f"{node.name}: takes what the host computes ({', '.join(sorted(OUTPUT))} or a float layer) "
                "back into the network; quantize the layers in front of it"
            )
        found: list[Signal] = []
        for value in inputs:
            for signal in value.signals if isinstance(value, Result) else (cast(Signal, value),):
                if not any(signal is other for other in found):
                    found.append(signal)
        return Result(tuple(found))

    def _on_signal(self, node: onnx.NodeProto, inputs: list[Value]) -> Value:
        signals = [value for value in inputs if isinstance(value, Signal)]
        signal = signals[0]
        largest = next((value for value in inputs if isinstance(value, RowMax)), None)
        if largest is not None:
            return lower_below_max(self.graph, self.build, node, signal, largest)
        if node.op_type == "ReduceMax" and self.graph.shape(node.output[0]) == (*signal.index.shape[:-1], 1):
            return RowMax(signal)
        if node.op_type in OUTPUT:
            return lower_output(self.graph, self.build, node, signal, self.exact_sums)
        if any(self.graph.reads(name) for name in node.output[1:]):
            raise ModelError(f"{node.name}: its second output is not supported")
        if node.op_type in QUANTIZERS and is_input_renamed(self.graph, node, signal):
            self.build, self.first = Builder(), None
            return self._quantized_input(node)
        if node.op_type in QUANTIZERS:
            return quantize_padded(self.graph, self.build, node, signal, self.exact_sums)
        if node.op_type not in LAYOUT | ELEMENTWISE:
            refuse_repeats(node, inputs)
        if node.op_type in DOT_PRODUCTS:
            if node.op_type == "MatMul" and len(signals) > 1:
                return lower_product(self.graph, self.build, node, *signals)
            rule = DOT_PRODUCTS[node.op_type]
            if inputs[0] is not signal or not isinstance(inputs[1], Parameter):
                raise ModelError(f"{node.name}: needs an activation and constant weights, in this order")
            last = signal.port.node is not None and only_host(self.graph, node.output[0])
            if last and not has_integers(inputs[1]):
                self.build.say(f"{node.name}: a layer of float weights at the end, on the host")
                return Result((signal,))
            return rule(self.build, node, scaled(self.graph, signal), inputs[1])
        if node.op_type in LAYOUT:
            return lower_layout(self.graph, self.build, node, signal)
        if node.op_type in ELEMENTWISE:
            return lower_elementwise(self.graph, self.build, node, signals, self.trunk_bits)
        if node.op_type == "Concat":
            return lower_concatenation(self.graph, self.build, node, inputs, self.trunk_bits)
        if node.op_type in AVERAGE:
            floats = self.trunk_bits is None and as_linear(self.graph, signal) is None
            if floats and self._may_end_at(node, (signal,)):
                self.build.say(f"{node.name}: averages float values at the end, on the host")
                return Result((signal,))
            return lower_average_pool(self.graph, self.build, node, signal, self.trunk_bits)
        if node.op_type == "MaxPool":
            return lower_max_pool(self.graph, self.build, node, signal)
        if node.op_type in UPSAMPLING:
            return lower_upsampling(self.graph, self.build, node, signal)
        if node.op_type == "Pad":
            return lower_pad(self.build, self.values, node, signal)
        if node.op_type == "Gemm":
            raise ModelError(f"{node.name}: is a Gemm; run SplitGemm, which makes it a MatMul and an Add")
        raise refusal(node)

    def _quantized_input(self, node: onnx.NodeProto) -> Signal:
        quantizer = Quantizer.of(self.graph, node)
        self.build.say("the design's input: the host quantizes to integers of one scale")
        return self._enter(node.output[0], quantizer.scale, quantizer.type)

    def _enter(self, tensor: str, scale: Array, kind: IntType) -> Signal:
        """The design's input: the integers of `tensor`."""
        if self.first is not None:
            raise ModelError(f"{tensor}: a second quantizer of the graph's float input; use one")
        self.core_input = tensor
        self.first = open_input(self.graph, self.build, tensor, scale, kind)
        return self.first
