"""Lowers slices of channels: what torch.chunk, Split, Slice and Gather take of every pixel."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import onnx

from bnn2fpga.design.integers import TERNARY, Ints
from bnn2fpga.design.layers import Dot
from bnn2fpga.errors import ModelError
from bnn2fpga.frontend.graph.execute import Graph
from bnn2fpga.frontend.lowering.builder import Branch, Builder
from bnn2fpga.frontend.lowering.crop import lower_crop
from bnn2fpga.frontend.lowering.grouped import concat
from bnn2fpga.frontend.lowering.signal import Segment, Signal

Floats = npt.NDArray[np.float64]

CUTS = frozenset({"Slice", "Gather"})


def lower_cut(graph: Graph, build: Builder, node: onnx.NodeProto, signal: Signal, index: Ints) -> Signal:
    """Some of the stream's channels at every pixel; `index` holds the places of the tensor that `node` gives.

    Where all nodes that cut a tensor leave none of its channels, the stream is split; else the channels are
    picked out by a product with zeros and ones. Raises ModelError for channels behind float nodes, and for
    a choice of positions.
    """
    if not signal.bare or signal.repeats or signal.padding:
        raise ModelError(f"{node.name}: takes channels behind float nodes; put a quantizer in front of it")
    picked = _picked(signal, index)
    if picked is None:
        return lower_crop(build, node, signal, index)
    channels = signal.stream.channels
    pieces = _pieces(graph, node, signal)
    if pieces is not None:
        wanted = _split(build, node, signal, pieces)
        inside = [branch for at, branch in zip(pieces, wanted, strict=False) if picked[0] <= at <= picked[-1]]
        port, stream = concat(build, node.name, inside)
        build.say(f"channels {picked[0]} to {picked[-1]}, taken off the stream")
    else:
        weights = np.zeros((len(picked), channels), np.int64)
        weights[np.arange(len(picked)), picked] = 1
        port, kernel = build.add(node.name, Dot(signal.stream, weights, TERNARY), signal.port)
        stream = kernel.outputs[0]
        build.say(f"{len(picked):,} of {channels:,} channels, picked out by weights of 0 and 1")
    places = np.zeros(channels, np.int64)
    places[picked] = np.arange(len(picked))
    return replace(
        signal,
        port=port,
        stream=stream,
        scale=_some(signal.scale, picked),
        bias=_some(signal.bias, picked),
        rounding=_some(signal.rounding, picked),
        pending=(Segment(node.output[0], index // channels * len(picked) + places[index % channels]),),
    )


def _some(part: Floats | float, picked: Ints) -> Floats:
    """Parameters of the `picked` channels; one number is everyone's."""
    values = np.atleast_1d(np.asarray(part, np.float64))
    return values[picked] if values.size > 1 else values


def _picked(signal: Signal, index: Ints) -> Ints | None:
    """The channels of the stream that a tensor with this `index` holds, rising; at every pixel the same.

    None where it does not hold every pixel.
    """
    picked = np.unique(index % signal.stream.channels)
    every = np.arange(signal.stream.pixels)[:, None] * signal.stream.channels + picked
    return picked if np.array_equal(np.sort(index, axis=None), every.ravel()) else None


def _pieces(graph: Graph, node: onnx.NodeProto, signal: Signal) -> list[int] | None:
    """Where the pieces begin that all nodes which cut the tensor are made of; None if one is read by none."""
    starts, taken = {0}, np.zeros(signal.stream.channels, bool)
    for reader in graph.nodes:
        if reader.op_type in CUTS and reader.input[0] == node.input[0]:
            feeds = {node.input[0]: signal.index.astype(np.float32)}
            index = graph.run([reader], feeds)[reader.output[0]].astype(np.int64)
            picked = _picked(signal, index)
            if picked is None or len(picked) != picked[-1] + 1 - picked[0]:
                return None
            taken[picked] = True
            starts |= {int(picked[0]), int(picked[-1]) + 1}
    return sorted(starts - {signal.stream.channels}) if taken.all() else None


def _split(build: Builder, node: onnx.NodeProto, signal: Signal, starts: list[int]) -> list[Branch]:
    """The pieces of the stream that begin at these channels, split off one after another."""
    branches: list[Branch] = []
    port, stream = signal.port, signal.stream
    for start, following in pairwise(starts):
        first, (port, stream) = build.split(f"{node.name}_split", stream, following - start, port)
        branches.append(first)
    return [*branches, (port, stream)]
