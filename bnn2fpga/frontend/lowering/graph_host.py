"""The host's share of a graph: the nodes before the first quantizer and behind the last kernel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx

from bnn2fpga.design.host import HostShare
from bnn2fpga.design.integers import Ints
from bnn2fpga.driver.operations import Cast, FromStream, Operation, ToStream, WholeNumbers
from bnn2fpga.errors import BuildError, ModelError
from bnn2fpga.frontend.graph.execute import Array, Graph
from bnn2fpga.frontend.lowering.host_share import chain
from bnn2fpga.frontend.lowering.signal import Segment, Signal


@dataclass(frozen=True, eq=False)
class GraphHost:
    """Executes the graph's own nodes before and behind the integer core.

    `core_input` and `core_output` are the graph's tensors at the border; element i of such a tensor
    (flattened) is the stream's element number index[i], and real = scale * (multiplier * n + offset) + bias.
    `rounded` are the nodes at which a branch was rounded to a grid, so that design and graph differ.
    """

    graph: Graph
    core_input: str
    input_scale: float
    input_index: Ints
    core_output: str
    output_scale: npt.NDArray[np.float64]
    output_index: Ints
    multiplier: int
    offset: int
    output_bias: npt.NDArray[np.float64]
    rounded: tuple[str, ...]

    @classmethod
    def of(
        cls, graph: Graph, core_input: str, first: Signal, last: Signal, rounded: tuple[str, ...] = ()
    ) -> GraphHost:
        """The host of a lowered graph, from the signals at the core's border."""
        start = last.pending[0]
        assert isinstance(start, Segment)
        return cls(
            graph,
            core_input,
            float(first.scale.flat[0]),
            first.index,
            start.tensor,
            np.broadcast_to(last.scale, last.stream.channels),
            start.index,
            last.multiplier,
            last.offset,
            np.broadcast_to(last.bias, last.stream.channels),
            rounded,
        )

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The graph's input without the batch."""
        return self.graph.shape(self.graph.input)[1:]

    @property
    def prologue(self) -> tuple[onnx.NodeProto, ...]:
        """The nodes from the graph's input to the core's."""
        return self.graph.between([self.graph.input], self.core_input)

    @property
    def epilogue(self) -> tuple[onnx.NodeProto, ...]:
        """The nodes from the core's output to the graph's."""
        return self.graph.between([self.core_output], self.graph.output)

    def encode(self, x: Array) -> Ints:
        """Integers (N, size) in the stream's order for the graph's input x (N, *input_shape)."""
        if x.shape[1:] != self.input_shape:
            wanted = ", ".join(map(str, self.input_shape))
            raise BuildError(f"input of shape {x.shape} does not fit the network; legal: (N, {wanted})")
        if self.core_input == self.graph.input and np.any(x != np.rint(x)):
            raise BuildError("the network takes integers, the input has others")
        feeds = {self.graph.input: x.astype(np.float32, copy=False)}
        values = self.graph.run(self.prologue, feeds)[self.core_input]
        return self.integers(values, self.input_scale, self.input_index)

    def decode(self, y: Ints) -> Array:
        """The graph's output for the core's integers y (N, …)."""
        flat = y.reshape(len(y), self.output_index.size).astype(np.float64)
        pixels = flat.shape[1] // self.output_scale.size
        real = (flat * self.multiplier + self.offset) * np.tile(self.output_scale, pixels)
        real += np.tile(self.output_bias, pixels)
        laid = real[:, self.output_index.ravel()].reshape(len(y), *self.output_index.shape[1:])
        laid = laid.astype(self.graph.dtype(self.core_output))
        return self.graph.run(self.epilogue, {self.core_output: laid})[self.graph.output]

    def share(self) -> HostShare:
        """`encode` and `decode` without the graph; each None where a node has no form exact everywhere."""
        encode: tuple[Operation, ...] | None = None
        decode: tuple[Operation, ...] | None = None
        reasons: list[str | None] = [None, None]
        try:
            whole = (WholeNumbers(-(1 << 24), 1 << 24),) if self.core_input == self.graph.input else ()
            nodes = chain(self.graph, self.prologue, self.graph.input, self.core_input)
            last = ToStream(self.input_scale, self.input_index.ravel())
            encode = (*whole, Cast("float32"), *nodes, last)
        except ModelError as error:
            reasons[0] = str(error)
        try:
            first = FromStream(
                self.multiplier,
                self.offset,
                self.output_scale,
                self.output_bias,
                self.output_index.ravel(),
                self.output_index.shape[1:],
                str(self.graph.dtype(self.core_output)),
            )
            decode = (first, *chain(self.graph, self.epilogue, self.core_output, self.graph.output))
        except ModelError as error:
            reasons[1] = str(error)
        return HostShare(encode, decode, *reasons)

    def scores(self, tensor: Array) -> Ints:
        """The core's output integers (N, size) that a computed tensor `core_output` stands for."""
        scale = np.tile(self.output_scale, self.output_index.size // self.output_scale.size)
        in_order = np.empty((len(tensor), self.output_index.size))
        in_order[:, self.output_index.ravel()] = tensor.reshape(len(tensor), self.output_index.size)
        return ((np.rint(in_order / scale) - self.offset) // self.multiplier).astype(np.int64)

    @staticmethod
    def integers(values: Array, scale: float, index: Ints) -> Ints:
        """Quantized real values in graph order as integers in stream order."""
        flat = np.rint(values.reshape(len(values), index.size) / scale).astype(np.int64)
        in_order = np.empty_like(flat)
        in_order[:, index.ravel()] = flat
        return in_order
