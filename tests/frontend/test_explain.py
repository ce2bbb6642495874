"""An explanation accounts for every node and kernel, its ranges are true, and a refusal says it all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from rich.console import Console
from syrupy.assertion import SnapshotAssertion
from torch import nn

from bnn2fpga.cli.explanation import explanation
from bnn2fpga.design.explanation import Explanation, Region, explain_design
from bnn2fpga.design.graph import Design
from bnn2fpga.design.integers import Ints
from bnn2fpga.errors import ConfigError, ModelError
from bnn2fpga.frontend import explain, load, lower, streamline
from bnn2fpga.frontend.lowering.graph_host import GraphHost
from bnn2fpga.kernels.bases.matrix_vector import MatrixVector
from bnn2fpga.kernels.stream_fork import StreamFork
from tests.frontend import test_joins, test_patterns
from tests.frontend.nets import (
    SmallBinaryWeight,
    affine,
    conv,
    dense,
    images,
    levels,
    norm,
    pixels,
    prelu,
    sign,
)
from tests.frontend.test_joins import Net
from tests.frontend.test_refusals import NETS as REFUSED

FRAMES = 8


def chain() -> nn.Module:
    """A bias, batch norm, PReLU, a pool in front of its sign, 2-bit activations, float scores."""
    return nn.Sequential(
        pixels(), conv(2, 4, bias=True), norm(4), prelu(4), nn.MaxPool2d(2), sign(),
        conv(4, 5, 2, padding=1), norm(5), levels(2), nn.Flatten(),
        dense(80, 10), norm(10, nn.BatchNorm1d),
    )  # fmt: skip


def float_head() -> nn.Module:
    return nn.Sequential(pixels(), conv(2, 4), affine(4), sign(), nn.Flatten(), nn.Linear(144, 3))


def rprelu() -> Net:
    """A branch that no common grid holds."""
    return Net(lambda n, x: n.b(n.t(x + n.act(n.norm(n.a(n.s(x)))))), norm=affine(4), act=prelu(4))


EXACT: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "chain": (chain, test_joins.SHAPE),
    "float head": (float_head, test_joins.SHAPE),
    "groups": (
        lambda: Net(lambda n, x: n.a(n.s(x)), a=conv(4, 4, padding=1, groups=2)),
        test_joins.SHAPE,
    ),
    "pool turned round": (
        lambda: test_patterns.body(affine(4), nn.MaxPool2d(2), levels(2), conv(4, 3, 1)),
        test_patterns.SHAPE,
    ),
    **{name: (make, test_joins.SHAPE) for name, make in test_joins.NETS.items()},
    **{name: (make, test_patterns.SHAPE) for name, make in test_patterns.THERMOMETERS.items()},
    **{f"padded with {name}": (make, test_patterns.SHAPE) for name, make in test_patterns.PADS.items()},
    **{name: (make, test_patterns.SHAPE) for name, make in test_patterns.LAYOUTS.items()},
}


def graph_of(net: Callable[[], nn.Module], shape: tuple[int, ...] = test_joins.SHAPE) -> ModelWrapper:
    torch.manual_seed(0)
    return streamline(load(net().eval(), np.zeros((1, *shape), np.float32)))[0]


def text_of(explained: Explanation, width: int = 100) -> str:
    console = Console(width=width, highlight=False)
    with console.capture() as captured:
        console.print(explanation(explained))
    return "\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n"


def check(model: ModelWrapper, frames: np.ndarray, **options: object) -> Explanation:
    """Every node and kernel in one region, with a rule; no integer outside its region's range."""
    explained, design = explain(model, **options), lower(model, **options)
    assert explained.refusal is None
    named = [node.name for region in explained.regions for node in region.nodes]
    assert sorted(named) == sorted(node.name for node in model.graph.node)
    units = [(unit.name, unit.kind) for region in explained.regions for unit in region.kernels]
    assert sorted(units) == sorted((node.name, type(node.kernel).__name__) for node in design.nodes)
    for region in explained.regions:
        assert region.rules and (region.kernels or region.fused_into or region.on_host)
        assert all(isinstance(design[name], MatrixVector) for name in region.fused_into)
    checked = list(results(explained, design, frames))
    assert len(checked) == sum(region.integers is not None for region in explained.regions)
    for region, values in checked:
        assert region.integers.low <= values.min() and values.max() <= region.integers.high, region
    return explained


def results(explained: Explanation, design: Design, frames: np.ndarray) -> Iterator[tuple[Region, Ints]]:
    """The integers of every region that has some: on an edge, or those a fused kernel compares."""
    trace = list(design.trace(design.host.encode(frames)))
    fused = {name for region in explained.regions for name in region.fused_into}
    for region in explained.regions:
        if region.integers is None:
            continue
        own = [unit.name for unit in region.kernels if unit.kind != StreamFork.__name__]
        if own and own[-1] in fused:
            kernel = replace(design[own[-1]], steps=None)
            (values,) = (array for edge, array in trace if edge.target.node == own[-1])
            yield region, kernel.compute(values.reshape(len(frames), *kernel.inputs[0].shape))[0]
        else:
            source = (own or list(region.fused_into) or [None])[-1]
            yield region, next(array for edge, array in trace if edge.source.node == source)


@pytest.mark.parametrize("name", EXACT)
def test_accounts_for_everything_and_claims_what_is_true(name: str) -> None:
    make, shape = EXACT[name]
    model, frames = graph_of(make, shape), images(0, FRAMES, *shape)
    explained = check(model, frames)
    host = lower(model).host
    assert isinstance(host, GraphHost)
    outputs = {node.name: node.output[0] for node in model.graph.node}
    for region in explained.regions:
        if region.nodes and region.integers:
            n = region.integers
            tensor = outputs[region.nodes[-1].name]
            ends = [n.multiplier * end + n.offset for end in (n.low, n.high)]
            real = [scale * end for scale in n.scale for end in ends]
            values = host.graph.execute(frames, [tensor])[tensor]
            slack = 1e-5 * max(map(abs, real))
            assert min(real) + n.bias[0] - slack <= values.min(), region
            assert values.max() <= max(real) + n.bias[1] + slack, region


@pytest.mark.parametrize("bits", (0, 4))
def test_rounded_trunk(bits: int) -> None:
    explained = check(graph_of(rprelu), images(0, FRAMES, *test_joins.SHAPE), trunk_bits=bits)
    (region,) = (region for region in explained.regions if region.nodes[-1].name == "Add_1")
    assert [unit.kind for unit in region.kernels] == ["TwoSlopeUnit", "AddStreams"]
    assert (
        region.rules[0]
        == f"branch from Conv_1 rounded to a grid of 2^-{bits}: two straight lines per channel"
    )
    assert {"PRelu_0", "Mul_0", "Add_0"} <= {node.name for node in region.nodes}


def test_sums_decided_exactly() -> None:
    def make() -> nn.Module:
        return nn.Sequential(pixels(), conv(2, 4, 3, SmallBinaryWeight), affine(4), sign())

    explained = check(graph_of(make), images(0, FRAMES, *test_joins.SHAPE), exact_sums=True)
    assert "the exact integer sum decides, not its float32 rounding" in explained.regions[-1].rules


def test_integer_input_and_top1() -> None:
    net = nn.Sequential(conv(2, 4), affine(4), sign(), nn.Flatten(), dense(144, 5))
    torch.manual_seed(0)
    raw = load(net.eval(), np.zeros((1, *test_joins.SHAPE), np.float32))
    raw.set_tensor_datatype(raw.graph.input[0].name, DataType["UINT8"])
    scores = raw.graph.output[0].name
    raw.graph.node.append(onnx.helper.make_node("ArgMax", [scores], ["label"], axis=1, keepdims=0))
    raw.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("label", TensorProto.INT64, [1]))
    frames = np.random.default_rng(0).integers(0, 256, (FRAMES, *test_joins.SHAPE))
    explained = check(streamline(load(raw))[0], frames)
    first, *_, last = explained.regions
    assert not first.nodes and first.integers.type == "uint8" and first.integers.high == 255
    assert (last.kernels[0].kind, last.integers.low, last.integers.high) == ("LabelSelect", 0, 4)


def test_absorbed_nodes_and_fused_thresholds() -> None:
    explained = check(graph_of(chain), images(0, FRAMES, *test_joins.SHAPE))
    (region,) = (region for region in explained.regions if region.nodes[-1].name == "BipolarQuant_3")
    assert [node.op_type for node in region.nodes[:-1]] == ["Add", "BatchNormalization", "PRelu", "MaxPool"]
    assert region.fused_into == ("Conv_0",)
    assert [unit.name for unit in region.kernels] == ["MaxPool_0_window", "MaxPool_0"]


@pytest.mark.parametrize("width", (80, 100))
def test_text(width: int, snapshot: SnapshotAssertion) -> None:
    torch.manual_seed(0)
    model, applied = streamline(load(chain().eval(), np.zeros((1, *test_joins.SHAPE), np.float32)))
    assert text_of(explain(model, "chain", transformations=applied), width) == snapshot


def test_refusal_shows_the_way_up_to_it() -> None:
    model = graph_of(lambda: Net(lambda n, x: x + n.norm(n.a(n.s(x))), norm=affine(4)))
    with pytest.raises(ModelError) as error:
        lower(model)
    explained = explain(model)
    refusal = explained.refusal
    assert refusal.reason == str(error.value) and refusal.exit_code == 1
    assert (refusal.node.name, refusal.node.op_type) == ("Add_1", "Add")
    trunk, branch = refusal.inputs
    assert trunk.shape == (1, 4, 8, 8) and trunk.known == "integers of Conv_0" and not trunk.waiting
    assert branch.waiting == ("Mul_0", "Add_0") and branch.integers.high == 36
    heads = [region.nodes[-1].name for region in explained.regions]
    assert heads == ["Quant_0", "Conv_0", "BipolarQuant_2", "Conv_1", "Add_0"]
    # the refused node reads the trunk, so its thresholds stay a kernel
    assert [unit.name for unit in explained.regions[2].kernels] == ["BipolarQuant_2"]
    text = text_of(explained)
    for part in ("node    Add_1, Add", "Mul_0, Add_0", "--trunk-bits 4"):
        assert part in text


@pytest.mark.parametrize("name", REFUSED)
def test_every_refusal_is_explained(name: str) -> None:
    make, texts = REFUSED[name]
    model = graph_of(make, test_patterns.SHAPE)
    explained = explain(model)
    refusal = explained.refusal
    assert all(text in refusal.reason for text in texts)
    assert refusal.node is None or refusal.node.name in refusal.reason
    units = [unit.name for region in explained.regions for unit in region.kernels]
    nodes = [node.name for region in explained.regions for node in region.nodes]
    assert len(set(units)) == len(units) and len(set(nodes)) == len(nodes)
    assert refusal.node is None or refusal.node.name not in nodes
    assert "refused" in text_of(explained)


def test_bad_trunk_bits_are_no_part_of_an_explanation() -> None:
    with pytest.raises(ConfigError, match="trunk_bits=13; legal: 0 to 12"):
        explain(graph_of(chain), trunk_bits=13)


def test_design_without_graph() -> None:
    design = lower(graph_of(chain))
    explained = explain_design(design)
    assert [r.kernels[0].name for r in explained.regions] == [node.name for node in design.nodes]
    assert "graph" not in text_of(explained).splitlines()[2]


def test_json_keeps_everything() -> None:
    explained = explain(graph_of(rprelu))
    facts = json.loads(json.dumps(explained.facts))
    assert facts["refusal"]["node"] == {"name": "Add_1", "op_type": "Add"}
    assert [r["rules"] for r in facts["regions"]] == [list(r.rules) for r in explained.regions]
    assert facts["regions"][1]["integers"]["scale"] == [2**-4, 2**-4]
