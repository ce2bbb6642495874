"""The host's share of a graph: the nodes before the first quantizer and behind the last kernels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from bnn2fpga.design.host import HostShare
from bnn2fpga.design.integers import Ints
from bnn2fpga.driver.operations import Cast, FromStream, Operation, Select, ToStream, WholeNumbers
from bnn2fpga.driver.program import Program, Step
from bnn2fpga.errors import BuildError, ModelError
from bnn2fpga.frontend.graph.execute import Array, Graph
from bnn2fpga.frontend.lowering.exact_sums import Grid
from bnn2fpga.frontend.lowering.host_share import append, work
from bnn2fpga.frontend.lowering.signal import Segment, Signal

ENCODED = 256
"""Frames at once through the nodes before the core, whose tensors may be large."""


@dataclass(frozen=True, eq=False)
class CoreOutput:
    """A tensor of the graph that the core gives.

    Its stream's element i is number places[i] of the core's output. Element i of the tensor (flattened) is
    the stream's number index[i], and real = scale * (multiplier * n + offset) + bias, a channel.
    """

    tensor: str
    places: Ints
    index: Ints
    scale: npt.NDArray[np.float64]
    multiplier: int
    offset: int
    bias: npt.NDArray[np.float64]

    @classmethod
    def of(cls, signal: Signal, places: Ints) -> CoreOutput:
        """The tensor before the pending nodes of a signal whose stream lies at `places`."""
        start = signal.pending[0]
        assert isinstance(start, Segment)
        channels = signal.stream.channels
        return cls(
            start.tensor,
            places,
            start.index,
            np.broadcast_to(signal.scale, channels),
            signal.multiplier,
            signal.offset,
            np.broadcast_to(signal.bias, channels),
        )

    def operations(self, dtype: np.dtype[Any], size: int) -> tuple[Operation, ...]:
        """From the core's output of `size` integers (N, size) to the tensor."""
        whole = np.array_equal(self.places, np.arange(size))
        real = FromStream(
            self.multiplier,
            self.offset,
            self.scale,
            self.bias,
            self.index.ravel(),
            self.index.shape[1:],
            str(dtype),
        )
        return (real,) if whole else (Select(self.places, self.places.shape), real)

    def integers(self, tensor: Array) -> Ints:
        """The integers (N, elements of its stream) that the computed tensor stands for."""
        scale = np.tile(self.scale, self.index.size // self.scale.size)
        in_order = np.empty((len(tensor), self.index.size))
        in_order[:, self.index.ravel()] = tensor.reshape(len(tensor), self.index.size)
        return ((np.rint(in_order / scale) - self.offset) // self.multiplier).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Translated:
    """Nodes as a program of the driver, and whether it has the graph's bits; or why there is none."""

    program: Program | None
    exact: bool
    reason: str | None

    @classmethod
    def of(cls, make: Callable[[], tuple[Program, bool]]) -> Translated:
        """What `make` gives, or why it cannot."""
        try:
            program, exact = make()
        except ModelError as error:
            return cls(None, True, str(error))
        return cls(program, exact, None)


@dataclass(frozen=True, eq=False)
class GraphHost:
    """Executes the graph's own nodes before and behind the integer core.

    `core_input` is the graph's tensor where the core begins; element i of it (flattened) is the stream's
    element number input_index[i], times `input_scale`. `cores` are the tensors where it ends, which share
    its output of `size` integers. `rounded` are the nodes at which a branch was rounded to a grid, so that
    design and graph differ. `sums` are tensors that float32 rounds and the core does not, where the user
    allows it. Where nodes before the core add floats, `encode` computes them as the driver does: whatever
    machine it is, the core gets the same integers.
    """

    graph: Graph
    core_input: str
    input_scale: float
    input_index: Ints
    cores: tuple[CoreOutput, ...]
    size: int
    rounded: tuple[str, ...]
    sums: Mapping[str, Grid] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        graph: Graph,
        core_input: str,
        first: Signal,
        cores: Sequence[CoreOutput],
        rounded: tuple[str, ...] = (),
        sums: Mapping[str, Grid] | None = None,
    ) -> GraphHost:
        """The host of a lowered graph, from the signals at the core's border."""
        size = 1 + max(int(core.places.max()) for core in cores)
        scale = float(first.scale.flat[0])
        return cls(graph, core_input, scale, first.index, tuple(cores), size, rounded, sums or {})

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
        """The nodes from the core's outputs to the graph's."""
        return self.graph.between([core.tensor for core in self.cores], *self.graph.outputs)

    @cached_property
    def encoding(self) -> Translated:
        """`encode` as the driver computes it."""
        return Translated.of(self._encoding)

    @cached_property
    def decoding(self) -> Translated:
        """`decode` as the driver computes it."""
        return Translated.of(self._decoding)

    def _encoding(self) -> tuple[Program, bool]:
        steps, values, exact = self._before()
        last = ToStream(self.input_scale, self.input_index.ravel())
        steps.append(Step(last, (values[self.core_input],)))
        return Program(tuple(steps), (len(steps),)), exact

    def _before(self) -> tuple[list[Step], dict[str, int], bool]:
        """The nodes before the core, the value of each tensor, and whether they have the graph's bits."""
        steps: list[Step] = []
        if self.core_input == self.graph.input:
            steps.append(Step(WholeNumbers(-(1 << 24), 1 << 24), (0,)))
        steps.append(Step(Cast("float32"), (len(steps),)))
        values = {self.graph.input: len(steps)}
        return steps, values, append(self.graph, self.prologue, steps, values)

    def before_core(self) -> tuple[str, Program]:
        """The tensor that the first quantizer takes, and the program that computes it."""
        steps, values, _ = self._before()
        tensor = self.prologue[-1].input[0]
        return tensor, Program(tuple(steps), (values[tensor],))

    def inputs(self, integers: Ints) -> Array:
        """The tensor `core_input` for the core's integers (N, …) in the stream's order."""
        flat = integers.reshape(len(integers), self.input_index.size)[:, self.input_index.ravel()]
        real = flat.reshape(len(flat), *self.input_index.shape[1:]) * self.input_scale
        return real.astype(np.float32)

    @property
    def rounds_before(self) -> bool:
        """Whether the driver computes floats before the core that the graph may round otherwise."""
        return self.encoding.program is not None and not self.encoding.exact

    def encode(self, x: Array) -> Ints:
        """Integers (N, size) in the stream's order for the graph's input x (N, *input_shape)."""
        if x.shape[1:] != self.input_shape:
            wanted = ", ".join(map(str, self.input_shape))
            raise BuildError(f"input of shape {x.shape} does not fit the network; legal: (N, {wanted})")
        if self.core_input == self.graph.input and np.any(x != np.rint(x)):
            raise BuildError("the network takes integers, the input has others")
        batches = [x[at : at + ENCODED] for at in range(0, len(x), ENCODED)]
        program = self.encoding.program
        if program is not None and not self.encoding.exact:
            parts = [program.run(batch)[0] for batch in batches]
        else:
            parts = [self._encoded(batch) for batch in batches]
        return np.concatenate(parts) if parts else np.zeros((0, self.input_index.size), np.int64)

    def _encoded(self, x: Array) -> Ints:
        feeds = {self.graph.input: x.astype(np.float32, copy=False)}
        values = self.graph.run(self.prologue, feeds)[self.core_input]
        return self.integers(values, self.input_scale, self.input_index)

    def decode(self, y: Ints) -> Any:
        """The graph's output for the core's integers y (N, …); a tuple where it has several."""
        found = self.outputs(self.tensors(y))
        return found[0] if len(found) == 1 else found

    def tensors(self, y: Ints) -> dict[str, Array]:
        """The graph's tensors at the core's end for its integers (N, …)."""
        flat = y.reshape(len(y), self.size)
        found = {}
        for core in self.cores:
            value = flat
            for operation in core.operations(self.graph.dtype(core.tensor), self.size):
                value = operation(value)
            found[core.tensor] = value
        return found

    def outputs(self, tensors: Mapping[str, Array]) -> tuple[Array, ...]:
        """The graph's outputs for its tensors at the core's end."""
        values = self.graph.run(self.epilogue, tensors)
        return tuple(values[name] for name in self.graph.outputs)

    def share(self) -> HostShare:
        """`encode` and `decode` without the graph; each None where a node has no form in the driver."""
        encoding, decoding = self.encoding, self.decoding
        cost = [
            *(work(self.graph, node, True) for node in self.prologue),
            *(work(self.graph, node, False) for node in self.epilogue),
        ]
        return HostShare(
            encoding.program,
            decoding.program,
            encoding.reason,
            decoding.reason,
            encoding.exact,
            decoding.exact,
            self.graph.output_names,
            tuple(cost),
        )

    def _decoding(self) -> tuple[Program, bool]:
        steps: list[Step] = []
        values = {}
        for core in self.cores:
            at = 0
            for operation in core.operations(self.graph.dtype(core.tensor), self.size):
                steps.append(Step(operation, (at,)))
                at = len(steps)
            values[core.tensor] = at
        exact = append(self.graph, self.epilogue, steps, values)
        return Program(tuple(steps), tuple(values[name] for name in self.graph.outputs)), exact

    def scores(self, tensors: Mapping[str, Array]) -> Ints:
        """The core's output integers (N, size) that the graph's computed `tensors` stand for."""
        first = tensors[self.cores[0].tensor]
        found = np.zeros((len(first), self.size), np.int64)
        for core in self.cores:
            found[:, core.places] = core.integers(tensors[core.tensor])
        return found

    @staticmethod
    def integers(values: Array, scale: float, index: Ints) -> Ints:
        """Quantized real values in graph order as integers in stream order."""
        flat = np.rint(values.reshape(len(values), index.size) / scale).astype(np.int64)
        in_order = np.empty_like(flat)
        in_order[:, index.ravel()] = flat
        return in_order
