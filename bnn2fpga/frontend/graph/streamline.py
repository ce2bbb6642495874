"""Graph transformations of qonnx and FINN, none of them trusted.

FINN silently changes what some binary networks compute (zero-padded convolutions, sums of signs), so
the graph is executed before and after each transformation.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from math import prod

import numpy as np
from finn.transformation.streamline.remove import RemoveIdentityReshape, RemoveIdentityTranspose
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.base import Transformation
from qonnx.transformation.extract_conv_bias import ExtractBiasFromConv
from qonnx.transformation.general import ConvertSubToAdd
from qonnx.transformation.infer_shapes import InferShapes

from bnn2fpga.errors import TransformError
from bnn2fpga.frontend.graph.block_moves import BlockMoves
from bnn2fpga.frontend.graph.execute import Array, Graph
from bnn2fpga.frontend.graph.finite_values import QuantizeFiniteValues
from bnn2fpga.frontend.graph.finn_layers import FinnLayers
from bnn2fpga.frontend.graph.frames_at_once import frames_at_once
from bnn2fpga.frontend.graph.keep_batch import KeepBatch
from bnn2fpga.frontend.graph.merge_quantizers import MergeEqualQuantizers
from bnn2fpga.frontend.graph.padded_averages import PaddedAverages
from bnn2fpga.frontend.graph.quantize_linear import QuantizeLinearPairs
from bnn2fpga.frontend.graph.reduce_space import ReduceSpace
from bnn2fpga.frontend.graph.rewriting import UnfitError
from bnn2fpga.frontend.graph.split_gemm import SplitGemm
from bnn2fpga.frontend.graph.split_to_slices import SplitToSlices
from bnn2fpga.frontend.graph.two_dimensions import TwoDimensions
from bnn2fpga.frontend.graph.whole_scales import WholeScales

DEFAULT_TRANSFORMATIONS: tuple[Transformation, ...] = (
    QuantizeLinearPairs(),
    FinnLayers(),
    ExtractBiasFromConv(),
    SplitGemm(),
    ConvertSubToAdd(),
    KeepBatch(),
    ReduceSpace(),
    PaddedAverages(),
    BlockMoves(),
    SplitToSlices(),
    TwoDimensions(),
    WholeScales(),
    QuantizeFiniteValues(),
    MergeEqualQuantizers(),
    RemoveIdentityReshape(),
    RemoveIdentityTranspose(),
)
"""Those that move no rounding: QuantizeLinear as Quant, FINN's layers as ONNX' own, bias and Gemm split into
plain nodes, axes as the kernels take them, few values quantized, equal quantizers made one, idle layout nodes
removed.

Scales, batch norm and transposes need no transformation, `lower` evaluates and follows them.
RemoveIdentityOps is left out: it takes any bias below 1e-5 for 0, but that decides the sign of a sum 0.
"""

FRAMES, FEW_FRAMES = 16, 4
LARGE = 1 << 17
"""Elements of a frame, from which on FEW_FRAMES must do."""
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Applied:
    """One transformation: nodes before and after it, and the largest change of an output, relative.

    `changed` says whether any node is another one, or elsewhere.
    """

    name: str
    nodes_before: int
    nodes_after: int
    deviation: float
    changed: bool


def random_input(model: ModelWrapper, frames: int, seed: int = 0) -> Array:
    """Frames (N, …) for the graph's input: its annotated integers, or floats of image-like and wide range."""
    name = model.graph.input[0].name
    shape = (frames, *model.get_tensor_shape(name)[1:])
    kind = model.get_tensor_datatype(name)
    random = np.random.default_rng(seed)
    if kind != DataType["FLOAT32"]:
        integers = random.integers(int(kind.min()), int(kind.max()) + 1, shape)
        return np.where(kind.allowed(0) | (integers != 0), integers, 1).astype(np.float32)
    values = random.uniform(0, 1, shape)
    values[1::2] = random.normal(0, 1.5, (len(values[1::2]), *shape[1:]))
    return values.astype(np.float32)


def streamline(
    model: ModelWrapper, transformations: Sequence[Transformation] = DEFAULT_TRANSFORMATIONS
) -> tuple[ModelWrapper, tuple[Applied, ...]]:
    """A transformed copy of a loaded `model`, and what each transformation did.

    Raises TransformError, naming the transformation, if one fails or changes the output on any of
    16 random frames (4 large ones) by more than float32 rounding.
    """
    shape = model.get_tensor_shape(model.graph.input[0].name)
    frames = random_input(model, FRAMES if prod(shape) < LARGE else FEW_FRAMES)
    expected = _outputs(model, frames)
    applied = []
    for transformation in transformations:
        name = type(transformation).__name__
        before = len(model.graph.node)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                changed = model.transform(transformation).transform(InferShapes())
            same = changed.graph == model.graph
            result = expected if same else _outputs(changed, frames)
        except UnfitError:
            raise
        except Exception as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            raise TransformError(f"{name} fails on this graph: {reason}; leave it out of the list") from error
        deviation = max(map(_deviation, expected, result))
        if not deviation <= TOLERANCE:
            wrong = max(map(_wrong, expected, result))
            raise TransformError(
                f"{name} changes what the graph computes ({wrong} of {len(frames)} random frames differ, "
                f"by up to {deviation:.3g} of the output's range); leave it out of the list"
            )
        different = list(changed.graph.node) != list(model.graph.node)
        _name_new_nodes(changed)
        model, expected = changed, result
        applied.append(Applied(name, before, len(model.graph.node), deviation, different))
    return model, tuple(applied)


def _name_new_nodes(model: ModelWrapper) -> None:
    """Refusals and kernels name nodes; transformations add some without a name."""
    names = {node.name for node in model.graph.node}
    for node in model.graph.node:
        if not node.name:
            node.name = next(n for i in count() if (n := f"{node.op_type}_{i}") not in names)
            names.add(node.name)


def _outputs(model: ModelWrapper, frames: Array) -> list[Array]:
    graph = Graph(model)
    found = graph.execute(frames, batch=frames_at_once(model))
    return [found[name] for name in graph.outputs]


def _wrong(expected: Array, result: Array) -> int:
    """How many frames of an output are not the expected ones."""
    return sum(not _deviation(a, b) <= TOLERANCE for a, b in zip(expected, result, strict=False))


def _deviation(expected: Array, result: Array) -> float:
    """The largest difference in units of the expected output's largest magnitude."""
    if expected.shape != result.shape:
        return float("inf")
    difference = np.abs(expected.astype(np.float64) - result).max(initial=0)
    return float(difference / max(np.abs(expected).max(initial=0), 1e-30))


__all__ = ["DEFAULT_TRANSFORMATIONS", "Applied", "random_input", "streamline"]
