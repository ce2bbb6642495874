"""Graphs that FINN has streamlined: MultiThreshold, lowered convolutions, XNOR products, at every level."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.infer_shapes import InferShapes
from torch import nn

from bnn2fpga.errors import ModelError
from bnn2fpga.frontend import load, lower, streamline
from bnn2fpga.frontend.graph.execute import Graph
from bnn2fpga.frontend.lowering.graph_host import GraphHost
from tests.frontend.finn_graphs import STAGES, finn_onnx
from tests.frontend.nets import conv, dense, images, integers, levels, norm, pixels, sign
from tests.frontend.test_patterns import FRAMES, check_graph, kernels, seeded

SHAPE = (3, 6, 7)


class Residual(nn.Module):
    """A sum of two branches of one scale."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.left, self.right = pixels(), conv(3, 4), conv(4, 4, 1)
        self.mid, self.one, self.two = levels(2), levels(3, True), levels(3, True)
        self.norm, self.last, self.head = norm(4), levels(2), conv(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.mid(self.left(self.first(x)))
        return self.head(self.last(self.norm(self.one(x) + self.two(self.right(x)))))


NETS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "binary": (
        lambda: nn.Sequential(
            pixels(), conv(3, 4), norm(4), sign(), conv(4, 5, 3), norm(5), sign(), nn.Flatten(), dense(30, 3)
        ),
        SHAPE,
    ),
    "a pool": (
        lambda: nn.Sequential(
            levels(4, True), conv(3, 4, weight=integers(3)), norm(4), levels(2), nn.MaxPool2d(2),
            nn.Flatten(), dense(16, 5, integers(4)),
        ),
        SHAPE,
    ),
    "padded, depthwise": (
        lambda: nn.Sequential(
            levels(4, True), conv(3, 4, weight=integers(3), padding=1, stride=2), norm(4), levels(2),
            conv(4, 4, groups=4, weight=integers(2, narrow=True)), norm(4), levels(3, True), nn.Flatten(),
            dense(8, 5, integers(4)),
        ),
        SHAPE,
    ),
    "dense layers": (
        lambda: nn.Sequential(
            sign(), dense(20, 8), norm(8, nn.BatchNorm1d), sign(), dense(8, 8), norm(8, nn.BatchNorm1d),
            sign(), dense(8, 4),
        ),
        (20,),
    ),
    "a residual": (Residual, SHAPE),
}  # fmt: skip


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("name", NETS)
def test_every_stage_of_finn(name: str, stage: str) -> None:
    """The integers are those that qonnx computes of FINN's graph, the kernels those of the network itself."""
    make, shape = NETS[name]
    raw = load(finn_onnx(seeded(make, 0), shape, stage))
    design = check_graph(raw, images(0, FRAMES, *shape), 0, exact_sums=True, powers_of_two=False)
    example = np.zeros((1, *shape), np.float32)
    plain = kernels(lower(streamline(load(seeded(make, 0).eval(), example))[0], exact_sums=True))
    assert [kind for kind in kernels(design) if "Mvu" in kind] == [kind for kind in plain if "Mvu" in kind]


@settings(max_examples=4, deadline=None)
@given(
    st.integers(1, 4),
    st.integers(1, 4),
    st.sampled_from([{}, {"padding": 1}, {"stride": 2}, {"dilation": 2}]),
    st.sampled_from([1, 2, (1, 3)]),
    st.sampled_from(STAGES[1:]),
    st.integers(0, 999),
)
def test_any_convolution(
    weight: int, activation: int, options: dict, kernel: object, stage: str, seed: int
) -> None:
    """Weights and activations of any bits, at every level."""

    def make() -> nn.Module:
        kind = {"weight": integers(weight)} if weight > 1 else {}
        between = levels(activation) if activation > 1 else sign()
        layers = [pixels(), conv(3, 4, **kind), norm(4), between]
        layers += [conv(4, 4, kernel, **kind, **options), norm(4), between, nn.Flatten()]
        count = nn.Sequential(*layers).eval()(torch.zeros(1, *SHAPE)).shape[1]
        return nn.Sequential(*layers, dense(count, 3, **kind))

    raw = load(finn_onnx(seeded(make, seed), SHAPE, stage))
    check_graph(raw, images(seed, FRAMES, *SHAPE), seed, cpp=True, exact_sums=True, powers_of_two=False)


def thresholds_only(layout: str, rows: int, scale: float, bias: float, count: int) -> ModelWrapper:
    """A MultiThreshold on the input, a product, a MultiThreshold and a product, on (1, 5, 4) or (1, 4, 5)."""
    random = np.random.default_rng(count)
    shape = [1, 5, 4] if layout.endswith("C") else [1, 4, 5]
    kind = {"domain": "qonnx.custom_op.general", "data_layout": layout, "out_dtype": "INT8"}
    kind |= {"out_scale": float(scale), "out_bias": float(bias)}
    nodes = [
        helper.make_node("MultiThreshold", ["x", "t0"], ["a"], "First", **kind),
        helper.make_node("MatMul", ["a", "w"], ["b"], "Product"),
        helper.make_node("MultiThreshold", ["b", "t1"], ["c"], "Second", **kind),
        helper.make_node("MatMul", ["c", "w"], ["y"], "Last"),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    model = ModelWrapper(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]))
    model.set_initializer("t0", random.normal(0, 1, (rows, count)).astype(np.float32))
    model.set_initializer("t1", random.integers(-9, 9, (rows, count)).astype(np.float32))
    model.set_initializer("w", random.integers(-3, 4, (shape[2], shape[2])).astype(np.float32))
    return model


@pytest.mark.parametrize("layout", ["NWC", "NCW"])
@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize(("scale", "bias", "count"), [(1, 0, 1), (2, -1, 1), (0.5, -4, 15), (0.25, -0.75, 6)])
def test_thresholds_of_any_layout_and_scale(
    layout: str, rows: int, scale: float, bias: float, count: int
) -> None:
    """Unsorted rows, one for all channels or one each, in front of the design and within."""
    raw = load(thresholds_only(layout, rows, scale, bias, count))
    frames = images(count, FRAMES, *raw.get_tensor_shape(raw.graph.input[0].name)[1:])
    host = check_graph(raw, frames, 0).host
    assert isinstance(host, GraphHost)
    assert host.encoding.program is not None and host.encoding.exact
    np.testing.assert_array_equal(host.encoding.program.run(frames)[0], host.encode(frames))


def test_a_border_of_bits_is_minus_one() -> None:
    """FINN's XNOR of a zero-padded convolution pads with bit 0, which is -1: the graph says so, so it is."""
    net = seeded(lambda: nn.Sequential(sign(), conv(3, 4), norm(4), sign(), conv(4, 5)), 3)
    model = finn_onnx(net, SHAPE, "xnor")
    last = model.get_nodes_by_op_type("Im2Col")[1]
    kept = [one for one in last.attribute if one.name != "pad_amount"]
    del last.attribute[:]
    last.attribute.extend([*kept, helper.make_attribute("pad_amount", [1, 0, 1, 0])])
    design = check_graph(load(model), images(0, FRAMES, *SHAPE), 0)
    assert kernels(design).count("XnorMvu") == 2


def test_bits_that_others_read_stay_bits() -> None:
    """An XNOR product whose input is also the graph's output keeps 0 and 1."""
    net = seeded(lambda: nn.Sequential(sign(), dense(20, 8), norm(8, nn.BatchNorm1d), sign(), dense(8, 4)), 0)
    model = finn_onnx(net, (20,), "xnor")
    product = model.get_nodes_by_op_type("XnorPopcountMatMul")[1]
    model.graph.output.append(helper.make_tensor_value_info(product.input[0], TensorProto.FLOAT, [1, 8]))
    raw = load(model)
    design, frames = lower(streamline(raw)[0]), images(0, FRAMES, 20)
    assert isinstance(design.host, GraphHost)
    wanted = Graph(raw).execute(frames)
    for have, value in zip(design.run(frames), raw.graph.output, strict=True):
        np.testing.assert_array_equal(have, wanted[value.name])


def test_refusals() -> None:
    with pytest.raises(ModelError, match=r"MultiThreshold_0: out_scale -1.0 is not positive; turn its"):
        lower(streamline(load(thresholds_only("NWC", 1, -1.0, 0.0, 3)))[0])
    with pytest.raises(ModelError, match=r"MultiThreshold_0: out_bias 0.3\d* is no multiple of out"):
        lower(streamline(load(thresholds_only("NWC", 1, 1.0, 0.3, 3)))[0])
    hardware = helper.make_node("MVAU_hls", ["x"], ["y"], "Unit", domain="finn.custom_op.fpgadataflow.hls")
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [hardware], "g", [value("x", TensorProto.FLOAT, [1, 4])], [value("y", TensorProto.FLOAT, [1, 4])]
    )
    with pytest.raises(ModelError, match=r"Unit: MVAU_hls is a hardware layer of FINN"):
        load(ModelWrapper(helper.make_model(graph)))


def test_an_annotated_input() -> None:
    model = thresholds_only("NWC", 4, 1.0, 0.0, 7)
    model.set_tensor_datatype("x", DataType["INT4"])
    raw = load(model)
    frames = np.random.default_rng(0).integers(-8, 8, (FRAMES, 5, 4)).astype(np.float32)
    check_graph(raw, frames, 0)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize(("window", "stride", "bits", "signed"), [(2, 2, 2, 0), (3, 1, 4, 1), (4, 4, 3, 1)])
def test_averages_of_finn(layout: str, window: int, stride: int, bits: int, signed: int) -> None:
    """QuantAvgPool2d drops bits of the sum; a frame at a time by qonnx is the reference."""
    shape = [1, 4, 5, 3] if layout == "NHWC" else [1, 3, 4, 5]
    domain, random = "qonnx.custom_op.general", np.random.default_rng(window)
    nodes = [
        helper.make_node(
            "QuantAvgPool2d", ["x"], ["a"], domain=domain, kernel=window, stride=stride, ibits=4, obits=bits,
            signed=signed, data_layout=layout,
        ),
        helper.make_node("Conv", ["a", "w"], ["y"]),
    ]  # fmt: skip
    if layout == "NHWC":
        nodes.insert(1, helper.make_node("Transpose", ["a"], ["b"], perm=[0, 3, 1, 2]))
        nodes[2].input[0] = "b"
    value = helper.make_tensor_value_info
    outputs = [1, 2, (4 - window) // stride + 1, (5 - window) // stride + 1]
    graph = helper.make_graph(
        nodes, "graph", [value("x", TensorProto.FLOAT, shape)], [value("y", TensorProto.FLOAT, outputs)]
    )
    imports = [helper.make_opsetid("", 13), helper.make_opsetid(domain, 1)]
    model = ModelWrapper(helper.make_model(graph, opset_imports=imports))
    model.set_initializer("w", random.integers(-3, 4, (2, 3, 1, 1)).astype(np.float32))
    model.set_tensor_datatype("x", DataType["INT4" if signed else "UINT4"])
    design = lower(streamline(load(model))[0])
    low = -8 if signed else 0
    frames = random.integers(low, low + 16, (FRAMES, *shape[1:])).astype(np.float32)
    reference = model.transform(InferShapes())
    wanted = [execute_onnx(reference, {"x": frame[None]})["y"][0] for frame in frames]
    np.testing.assert_array_equal(design.run(frames), wanted)
