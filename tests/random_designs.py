"""Designs whose branches part and meet again, at random."""

from __future__ import annotations

import numpy as np

from bnn2fpga.design.graph import Design, Node, Port
from bnn2fpga.design.integers import BIPOLAR, IntType
from bnn2fpga.design.layers import (
    Concat,
    Copies,
    Dot,
    Layer,
    Map,
    Product,
    Sum,
    WindowMax,
    Windows,
    WindowSum,
)
from bnn2fpga.design.stream import Stream
from bnn2fpga.kernels import implement
from bnn2fpga.kernels.bases.matrix_vector import MatrixVector
from bnn2fpga.planning.folding.width_converters import refold
from bnn2fpga.planning.timing.fifo_depths import size_fifos
from tests.contract import random_steps, random_values
from tests.kernels.designs import connect

LEVELS = IntType(2, signed=True)
"""What every block takes and makes."""


class Grown:
    """A graph under construction; every block keeps a frame's shape, so any two can be joined."""

    def __init__(self, source: Stream, seed: int) -> None:
        self.source, self.random = source, np.random.default_rng(seed)
        self.nodes: list[Node] = []
        self.ends: list[tuple[Port, Port]] = []

    def add(self, layer: Layer, *sources: Port) -> Port:
        """The layer's kernel, fed by `sources`; its output 0."""
        name = f"k{len(self.nodes)}"
        self.nodes.append(Node(name, implement(layer)))
        self.ends += [(source, Port(name, index)) for index, source in enumerate(sources)]
        return Port(name)

    def stream(self, port: Port) -> Stream:
        return next((n.kernel.outputs[port.index] for n in self.nodes if n.name == port.node), self.source)

    def seed(self) -> int:
        return int(self.random.integers(1 << 30))

    def act(self, port: Port) -> Port:
        """Back to `LEVELS`."""
        stream, kernel = self.stream(port), self.nodes[-1].kernel
        low, high = stream.type.low, stream.type.high
        if isinstance(kernel, MatrixVector) and self.nodes[-1].name == port.node:
            low, high = kernel.accumulator_range
        steps = random_steps(low, high, stream.channels, LEVELS, "mixed", self.seed())
        return self.add(Map(stream, steps), port)

    def dot(self, port: Port) -> Port:
        """Back to the source's channels."""
        stream = self.stream(port)
        weights = random_values(BIPOLAR, (self.source.channels, stream.channels), self.seed())
        return self.act(self.add(Dot(stream, weights, BIPOLAR), port))

    def windowed(self, port: Port, kind: str) -> Port:
        port = self.add(Windows(self.stream(port), (3, 3), pads=(1, 1, 1, 1)), port)
        if kind == "conv":
            return self.dot(port)
        layer = {"max": WindowMax, "sum": WindowSum}[kind]
        return self.act(self.add(layer(self.stream(port), 9), port))

    def attend(self, port: Port, heads: int = 2) -> Port:
        """Each pixel attends to all: queries, keys and values, their scores, weights, the weighted sums."""
        side, channels, source = self.source.pixels, self.source.channels, self.source.shape
        fork = self.add(Copies(self.stream(port), 3), port)
        query, key, value = (self.dot(Port(fork.node, index)) for index in range(3))
        tokens = Stream((1, side, channels), LEVELS)
        scores = self.act(self.add(Product(tokens, tokens, heads, True), query, key))
        weights = Stream((1, side, heads * side), LEVELS)
        mixed = self.add(Product(weights, tokens, heads, False), scores, value)
        kind = self.stream(mixed).type
        steps = random_steps(kind.low, kind.high, channels, LEVELS, "mixed", self.seed())
        return self.add(Map(Stream(source, kind), steps), mixed)

    def join(self, port: Port, nesting: int) -> Port:
        """Two or three branches, some of them empty."""
        count = int(self.random.integers(2, 4))
        fork = self.add(Copies(self.stream(port), count), port)
        first, *others = (
            self.blocks(Port(fork.node, index), int(self.random.integers(0, 3)), nesting - 1)
            for index in range(count)
        )
        for other in others:
            one, two = self.stream(first), self.stream(other)
            if one.type == two.type and self.random.random() < 0.3:
                first = self.dot(self.add(Concat(one, two), first, other))
            else:
                first = self.add(Sum(one, two), first, other)
        return self.act(first)

    def blocks(self, port: Port, count: int, nesting: int) -> Port:
        for _ in range(count):
            kinds = ["act", "conv", "max", "sum"] + ["join"] * (2 if nesting else 0)
            kind = str(self.random.choice(kinds))
            if kind == "act":
                port = self.act(port)
            else:
                port = self.join(port, nesting) if kind == "join" else self.windowed(port, kind)
        return port


def random_design(seed: int, side: int = 5, channels: int = 4, attention: bool = False) -> Design:
    """Random branches at random foldings, FIFOs sized; a frame of `side` x `side` x `channels`.

    With `attention` the frame is attended to and added to what comes of it, in front of the branches.
    """
    grown = Grown(Stream((side, side, channels), LEVELS), seed)
    if attention:
        fork = grown.add(Copies(grown.source, 2), Port(None))
        attended = grown.attend(Port(fork.node, 0))
        both = grown.add(Sum(grown.source, grown.source), attended, Port(fork.node, 1))
        start = grown.act(both)
        last = grown.blocks(grown.join(start, 0), 1, 0)
        return _connected(grown, last, f"attention{seed}")
    last = grown.blocks(grown.join(Port(None), 1), int(grown.random.integers(0, 2)), 1)
    return _connected(grown, last, f"random{seed}")


def _connected(grown: Grown, last: Port, name: str) -> Design:
    design = connect(name, [*grown.ends, (last, Port(None))], grown.nodes, grown.source)
    foldings = {node.name: list(node.kernel.foldings()) for node in design.nodes}
    chosen = {name: kernels[grown.random.integers(len(kernels))] for name, kernels in foldings.items()}
    return size_fifos(refold(design, chosen))
