"""Small designs, built by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise

import numpy as np

from bnn2fpga.design.graph import Design, Edge, Node, Port
from bnn2fpga.design.host import IntegerHost
from bnn2fpga.design.integers import BIPOLAR, Ints, IntType
from bnn2fpga.design.kernel import Kernel
from bnn2fpga.design.layers import Copies, Dot, Layer, Map, WindowMax, Windows
from bnn2fpga.design.stream import Stream
from bnn2fpga.kernels import implement
from bnn2fpga.kernels.bases.matrix_vector import MatrixVector
from tests.contract import random_steps, random_values

Link = tuple[str, Callable[[Stream, Kernel | None], Layer]]
"""A kernel's name, and its layer for the stream and the kernel before it."""


def connect(name: str, ends: Iterable[tuple[Port, Port]], nodes: list[Node], source: Stream) -> Design:
    """A design of `nodes`; each edge carries what leaves its source, or `source` from outside."""
    kernels = {node.name: node.kernel for node in nodes}
    edges = [Edge(a, b, source if a.node is None else kernels[a.node].outputs[a.index]) for a, b in ends]
    return Design(name, tuple(nodes), tuple(edges), IntegerHost(source.shape))


def chain(name: str, source: Stream, *links: Link) -> Design:
    """Kernels one after the other."""
    nodes: list[Node] = []
    stream = source
    for link, layer in links:
        nodes.append(Node(link, implement(layer(stream, nodes[-1].kernel if nodes else None))))
        (stream,) = nodes[-1].kernel.outputs
    ports = [None, *(node.name for node in nodes), None]
    return connect(name, ((Port(a), Port(b)) for a, b in pairwise(ports)), nodes, source)


def dot(name: str, rows: int, seed: int, weight: IntType = BIPOLAR) -> Link:
    """A matrix product with random weights over the last axis, or over the whole frame if `rows` < 0."""

    def layer(stream: Stream, _: Kernel | None) -> Dot:
        flat = Stream((stream.size,), stream.type) if rows < 0 else stream
        return Dot(flat, random_values(weight, (abs(rows), flat.channels), seed), weight)

    return name, layer


def act(name: str, output: IntType, seed: int, shape: str = "mixed") -> Link:
    """Random steps over the range that the kernel before can reach."""

    def layer(stream: Stream, before: Kernel | None) -> Map:
        assert isinstance(before, MatrixVector)
        return Map(stream, random_steps(*before.accumulator_range, stream.channels, output, shape, seed))

    return name, layer


def conv_net(seed: int = 0) -> Design:
    """Convolution, activation, max pool, flatten, fully connected; activations not fused."""
    return chain(
        "conv_net",
        Stream((6, 6, 2), IntType(3)),
        ("conv_window", lambda s, _: Windows(s, (3, 3), pads=(1, 1, 0, 0))),
        dot("conv", 6, seed),
        act("conv_act", BIPOLAR, seed),
        ("pool_window", lambda s, _: Windows(s, (2, 2), (2, 2))),
        ("pool", lambda s, _: WindowMax(s, 4)),
        dot("hidden", -12, seed + 1),
        act("hidden_act", IntType(2), seed + 1),
        dot("scores", 4, seed + 2),
    )


def dense_net(sizes: tuple[int, ...], seed: int = 0) -> Design:
    """Fully connected layers with bipolar activations, all but the last."""
    links: list[Link] = []
    for index, rows in enumerate(sizes[1:]):
        links += [dot(f"fc{index}", rows, seed + index), act(f"act{index}", BIPOLAR, seed + index, "rising")]
    return chain("dense_net", Stream((sizes[0],), BIPOLAR), *links[:-1])


def forked(seed: int = 0) -> Design:
    """One input read by two units, each with its own output."""
    source = Stream((2, 6), IntType(2))
    nodes = [Node("parted", implement(Copies(source, 2)))]
    for name, rows in (("left", 4), ("right", 6)):
        weights = random_values(BIPOLAR, (rows, 6), seed + rows)
        nodes.append(Node(name, implement(Dot(source, weights, BIPOLAR))))
    ends = [
        (Port(None), Port("parted")),
        (Port("parted", 0), Port("left")),
        (Port("parted", 1), Port("right")),
        (Port("left"), Port(None, 0)),
        (Port("right"), Port(None, 1)),
    ]
    return connect("forked", ends, nodes, source)


def frames_for(design: Design, count: int, seed: int) -> Ints:
    """Random inputs."""
    stream = design.inputs[0].stream
    return random_values(stream.type, (count, *stream.shape), seed)


def outputs_of(design: Design, frames: Ints) -> list[Ints]:
    """What leaves the design in numpy, one array an output port."""
    passing = dict(design.trace(frames))
    return [np.asarray(passing[edge]) for edge in design.outputs]
