"""Integers that no quantizer names: signs, comparisons, and affine maps of integers before a layer."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from torch import nn

from bnn2fpga.errors import ModelError
from bnn2fpga.frontend import load, lower, streamline
from tests.frontend.nets import Call, affine, conv, dense, images, levels, norm, pixels, sign
from tests.frontend.test_patterns import FRAMES, check_exact, check_graph, kernels, seeded

SHAPE = (2, 6, 7)


def torch_sign() -> nn.Module:
    return Call(torch.sign)


def where(high: float = 1.0, low: float = -1.0, at: float = 0.1) -> nn.Module:
    return Call(lambda x: torch.where(x >= at, high, low))


class SignWeights(nn.Conv2d):
    """A convolution whose weights torch.sign binarizes."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.conv2d(x, torch.sign(self.weight), padding=self.padding)


NETS: dict[str, Callable[[], nn.Module]] = {
    "sign everywhere": lambda: nn.Sequential(
        torch_sign(), SignWeights(2, 4, 3), norm(4), torch_sign(), SignWeights(4, 3, 3, padding=1)
    ),
    "sign of sums that can be 0": lambda: nn.Sequential(
        sign(), conv(2, 4), torch_sign(), conv(4, 3, padding=1)
    ),
    "where, of 1 and -1": lambda: nn.Sequential(where(), conv(2, 4), norm(4), where(), conv(4, 3, padding=1)),
    "where, of 3/4 and 0": lambda: nn.Sequential(
        pixels(), conv(2, 4), norm(4), where(0.75, 0.0), conv(4, 3, padding=1), affine(3), sign()
    ),
    "a comparison as a number": lambda: nn.Sequential(
        pixels(), conv(2, 4), norm(4), Call(lambda x: (x > 0.3).float()), conv(4, 3)
    ),
    "a comparison, times 2, minus 1": lambda: nn.Sequential(
        pixels(), conv(2, 4), norm(4), Call(lambda x: (x > 0.3).float() * 2 - 1), nn.MaxPool2d(2),
        conv(4, 3, 2),
    ),
    "sign, average": lambda: nn.Sequential(
        pixels(), conv(2, 4), norm(4), torch_sign(), nn.AvgPool2d(2), affine(4), sign(), conv(4, 3, 1)
    ),
    "sign, padded": lambda: nn.Sequential(
        pixels(), conv(2, 4), norm(4), torch_sign(), nn.ConstantPad2d(1, -1.0), conv(4, 3)
    ),
    "signs made 0 and 1": lambda: nn.Sequential(
        sign(), Call(lambda x: (x + 1) / 2), conv(2, 4, padding=1), norm(4), sign(),
        Call(lambda x: (x + 1) / 2), conv(4, 3, padding=1),
    ),
    "numbers moved off zero": lambda: nn.Sequential(
        levels(3), Call(lambda x: x * 2 - 3.5), conv(2, 4, padding=1), norm(4), levels(2),
        Call(lambda x: 3 - 2 * x), conv(4, 3, padding=1),
    ),
    "numbers squared": lambda: nn.Sequential(levels(3, True), Call(lambda x: x**2), conv(2, 4)),
}  # fmt: skip


@pytest.mark.parametrize("name", NETS)
def test_networks(name: str) -> None:
    check_exact(seeded(NETS[name], 0), SHAPE, 0, cpp=name in ("signs made 0 and 1", "sign everywhere"))


def test_the_sign_of_0_stays_0_at_the_input() -> None:
    raw = load(seeded(NETS["sign everywhere"], 0).eval(), np.zeros((1, *SHAPE), np.float32))
    frames = images(0, FRAMES, *SHAPE)
    frames[frames < 0.3] = 0
    check_graph(raw, frames, 0)


def test_a_sign_that_is_never_0_takes_one_bit() -> None:
    design = lower(streamline(load(seeded(NETS["sign everywhere"], 0), np.zeros((1, *SHAPE), np.float32)))[0])
    assert [
        str(node.kernel.inputs[0].type) for node in design.nodes if "Window" in type(node.kernel).__name__
    ] == [
        "int2n",
        "bipolar",
    ]


def test_the_host_maps_the_input() -> None:
    design = check_exact(seeded(NETS["signs made 0 and 1"], 0), SHAPE, 0)
    assert str(design.inputs[0].stream.type) == "uint1" and kernels(design)[0] == "SlidingWindow"


def annotated(nodes: Callable[[Callable[..., str]], None], kind: str, shape: tuple[int, ...]) -> ModelWrapper:
    """A graph of one input of integers, built by `nodes` with a function that adds a node."""
    made: list[onnx.NodeProto] = []
    constants: dict[str, np.ndarray] = {}
    numbers = count()

    def add(op: str, *inputs: object, domain: str = "", **attributes: object) -> str:
        names = []
        for value in inputs:
            if not isinstance(value, str):
                constants[f"c{next(numbers)}"] = np.asarray(value)
                value = list(constants)[-1]
            names.append(value)
        made.append(onnx.helper.make_node(op, names, [f"t{next(numbers)}"], domain=domain, **attributes))
        return str(made[-1].output[0])

    result = nodes(add)
    float_ = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        made,
        "annotated",
        [onnx.helper.make_tensor_value_info("x", float_, [1, *shape])],
        [onnx.helper.make_tensor_value_info(str(result), float_, None)],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [onnx.helper.make_opsetid("", 13), onnx.helper.make_opsetid("qonnx.custom_op.general", 1)]
    model = ModelWrapper(onnx.helper.make_model(graph, opset_imports=opsets))
    model.set_tensor_datatype("x", DataType[kind])
    return model


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from(["UINT8", "INT8", "UINT4", "INT3", "BIPOLAR"]),
    st.integers(-200, 200),
    st.sampled_from([1, 2, -0.5, 0.25]),
    st.integers(0, 99),
)
def test_any_affine_map_of_annotated_integers(kind: str, offset: int, scale: float, seed: int) -> None:
    """Padded with zeros behind the map, which is no integer of the input itself."""
    random = np.random.default_rng(seed)

    def nodes(add: Callable[..., str]) -> str:
        mapped = add("Mul", add("Add", "x", np.float32(offset)), np.float32(scale))
        weights = np.sign(random.normal(size=(4, 2, 3, 3))).astype(np.float32)
        sums = add("Conv", mapped, weights, pads=[1, 1, 1, 1])
        moved = add("Add", sums, random.normal(0, 50, (1, 4, 1, 1)).astype(np.float32))
        return add("BipolarQuant", moved, np.float32(1), domain="qonnx.custom_op.general")

    model = load(annotated(nodes, kind, (2, 5, 5)))
    low, high = int(DataType[kind].min()), int(DataType[kind].max())
    frames = random.integers(low, high + 1, (FRAMES, 2, 5, 5))
    frames = np.where((frames == 0) & (kind == "BIPOLAR"), 1, frames).astype(np.float32)
    check_graph(model, frames, seed)


def divided(divisor: float, bias: float) -> ModelWrapper:
    def nodes(add: Callable[..., str]) -> str:
        weights = np.sign(np.random.default_rng(0).normal(size=(4, 2, 3, 3))).astype(np.float32)
        sums = add("Conv", add("Div", "x", np.float32(divisor)), weights)
        moved = add("Add", sums, np.float32([bias, 0.37, -0.3, 1.7]).reshape(1, 4, 1, 1))
        return add("BipolarQuant", moved, np.float32(1), domain="qonnx.custom_op.general")

    return load(annotated(nodes, "UINT8", (2, 5, 5)))


def test_pixels_divided_by_255() -> None:
    """Exact where no threshold lies within the rounding of float32 sums."""
    frames = np.random.default_rng(1).integers(0, 256, (FRAMES, 2, 5, 5)).astype(np.float32)
    check_graph(divided(255, 0.123), frames, 0)


def test_a_threshold_within_the_rounding_of_x_over_255_is_named() -> None:
    model = streamline(divided(255, 0.0))[0]
    with pytest.raises(ModelError) as error:
        lower(model)
    assert "channel 0 lies on a threshold at sum 0" in str(error.value)
    assert "--exact-sums" in str(error.value)
    frames = np.random.default_rng(1).integers(0, 256, (FRAMES, 2, 5, 5))
    weights = np.sign(np.random.default_rng(0).normal(size=(4, 2, 3, 3)))
    windows = np.lib.stride_tricks.sliding_window_view(frames, (3, 3), (2, 3))
    sums = np.einsum("nchwij,ocij->nohw", windows, weights)
    wanted = np.where(sums + 255 * np.array([0, 0.37, -0.3, 1.7]).reshape(4, 1, 1) >= 0, 1, -1)
    np.testing.assert_array_equal(lower(model, exact_sums=True).run(frames.astype(np.float32)), wanted)


def test_dense_layers_of_signs() -> None:
    check_exact(seeded(lambda: nn.Sequential(nn.Flatten(), torch_sign(), dense(84, 5)), 0), SHAPE, 0)
