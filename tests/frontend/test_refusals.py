"""What cannot be built is refused in one line that says where, what, and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from brevitas.nn import QuantIdentity
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from torch import nn

from bnn2fpga.design.graph import Design
from bnn2fpga.errors import BuildError, ModelError
from bnn2fpga.frontend import load, lower, streamline
from bnn2fpga.frontend.graph.split_gemm import SplitGemm
from tests.frontend.nets import (
    Affine,
    Call,
    TernaryWeight,
    affine,
    conv,
    dense,
    images,
    integers,
    levels,
    norm,
    pixels,
    sign,
)
from tests.frontend.test_patterns import SHAPE, body, check_graph, classes, seeded

EXAMPLE = np.zeros((1, *SHAPE), np.float32)


def build(model: nn.Module | ModelWrapper) -> Design:
    return lower(streamline(load(model.eval() if isinstance(model, nn.Module) else model, EXAMPLE))[0])


@contextmanager
def refusal(*parts: str, kind: type[BuildError] = ModelError) -> Iterator[None]:
    """The body raises `kind` with one line that holds every part."""
    with pytest.raises(BuildError) as caught:
        yield
    text = str(caught.value)
    assert type(caught.value) is kind
    assert "\n" not in text
    for part in parts:
        assert part in text, text


class Call2(nn.Module):
    """A function of what two networks make of the same input."""

    def __init__(self, first: nn.Module, second: nn.Module, function: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.first, self.second, self.function = first, second, function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self.first(x), self.second(x))


def with_gains(*gains: float) -> Affine:
    layer = affine(len(gains))
    layer.gain.data = torch.tensor(gains, dtype=torch.float32).reshape(1, -1, 1, 1)
    return layer


NETS: dict[str, tuple[Callable[[], nn.Module], list[str]]] = {
    "no quantizer at the input": (
        lambda: nn.Sequential(conv(2, 4), affine(4), sign()),
        ["Conv_0: float values reach it", "the graph's input", "--input uint8", "put a QuantIdentity there"],
    ),
    "no quantizer at all": (
        lambda: nn.Sequential(affine(2), nn.ReLU()),
        ["no quantizer between the graph's input and its output: nothing to build in hardware"],
    ),
    "float weights": (
        lambda: nn.Sequential(pixels(), nn.Conv2d(2, 4, 3, bias=False)),
        ["Conv_0: float weights; quantize them to 1 to 8 bits", "QuantType.BINARY"],
    ),
    "float between layers": (
        lambda: body(affine(4), nn.ReLU(), conv(4, 5)),
        ["Conv_1: float values reach it", "put a QuantIdentity in front of it"],
    ),
    "sums into sums": (
        lambda: body(conv(4, 5)),
        ["Conv_1: its input has no single scale; put a quantizer with one scale in front of it"],
    ),
    "a bias behind the quantizer": (
        lambda: body(affine(4), sign(), affine(4), conv(4, 5)),
        ["Conv_1: float values reach it", "put a QuantIdentity in front of it"],
    ),
    "ten-bit weights": (
        lambda: body(affine(4), sign(), conv(4, 5, weight=integers(10))),
        ["Conv_1: weights of -", "; legal: 1 to 8 bits, -128 to 127 or 0 to 255", "bit_width=8"],
    ),
    "an interpolation": (
        lambda: body(affine(4), sign(), nn.Upsample(scale_factor=2, mode="bilinear"), conv(4, 5, 2)),
        ["Resize_0: Resize is legal with mode nearest and whole factors; use nn.Upsample("],
    ),
    "unsupported operator": (
        lambda: body(affine(4), sign(), Call(lambda x: x.cumsum(1)), conv(4, 5, 2)),
        ["CumSum_0: CumSum has no kernel and no exact form", "end the file in front of it"],
    ),
    "reflected padding": (
        lambda: body(affine(4), sign(), nn.ReflectionPad2d(1), conv(4, 5, 2)),
        ["Pad_0: pads by reflect; legal is a constant border", "take the Pad out of the network"],
    ),
    "two quantizers of the input": (
        lambda: Call2(pixels(), sign(), lambda a, b: a + b),
        ["a second quantizer of the graph's float input; use one"],
    ),
    "two max pools": (
        lambda: body(affine(4), nn.MaxPool2d(2), nn.MaxPool2d(2), sign()),
        ["BipolarQuant_1: two max pools without a quantizer between them; put one there"],
    ),
    "positions of their own before a max pool": (
        lambda: body(Affine(4, 5, 6), nn.MaxPool2d(2), sign()),
        ["MaxPool_0: the nodes before this max pool treat positions differently", "put a quantizer"],
    ),
    "positions of their own behind a falling max pool": (
        lambda: body(
            with_gains(1, -1, 1, 1), nn.MaxPool2d(2), nn.Flatten(), norm(24, nn.BatchNorm1d), sign()
        ),
        ["BipolarQuant_1: behind MaxPool_0 every position has thresholds of its own", "before the flatten"],
    ),
    "neither rising nor falling behind a falling max pool": (
        lambda: body(with_gains(1, -1, 1, 1), nn.MaxPool2d(2), nn.PReLU(init=-1.0), levels(2)),
        ["Quant_1: behind MaxPool_0 the activation rises and falls", "move the pool behind the quantizer"],
    ),
    "a window in the padding": (
        lambda: body(affine(4), sign(), nn.MaxPool2d(2, 3, ceil_mode=True)),
        ["MaxPool_0: ceil_mode gives (2, 2), the graph says (2, 3)", "use ceil_mode=0"],
    ),
    "a padded pool of floats": (
        lambda: body(affine(4), nn.MaxPool2d(2), nn.ConstantPad2d(1, -1.0), sign(), conv(4, 5)),
        ["Pad_0: legal is one constant padding of height and width, right before a quantizer"],
    ),
    "a border of other values": (
        lambda: body(affine(4), levels(2), nn.ConstantPad2d(1, 0.3), conv(4, 5)),
        ["Conv_1: its input is padded with 0.3", "is no multiple of 0.5"],
    ),
    "two borders": (
        lambda: body(affine(4), sign(), nn.ConstantPad2d(1, 1.0), conv(4, 5, padding=1)),
        ["Conv_1: its input is padded with 1.0, which is followed by zero padding; pad once"],
    ),
    "a padded tensor pooled": (
        lambda: body(affine(4), sign(), nn.ConstantPad2d(1, 1.0), nn.MaxPool2d(2)),
        ["MaxPool_0: a padded tensor feeds a max pool; pad before a convolution only"],
    ),
    "a padded tensor flattened": (
        lambda: classes(body(affine(4), sign(), nn.ConstantPad2d(1, 1.0))),
        ["Flatten_0: a padded tensor is reshaped; pad right before the convolution"],
    ),
    "a padded tensor scaled": (
        lambda: body(affine(4), sign(), nn.ConstantPad2d(1, 1.0), affine(4), sign()),
        ["Mul_1: stands between a Pad and the convolution; pad right before the convolution"],
    ),
    "a padded tensor at the end": (
        lambda: body(affine(4), sign(), nn.ConstantPad2d(1, 1.0), sign()),
        ["a padded tensor leaves the network; pad before a convolution"],
    ),
    "a matrix product along the width": (
        lambda: body(affine(4), sign(), dense(6, 5)),
        ["MatMul_0: its input arrives in another order than it needs; remove the transpose"],
    ),
    "an image in another order": (
        lambda: nn.Sequential(
            *(pixels(), nn.Flatten(), dense(112, 24), sign()),
            *(Call(lambda x: x.view(-1, 6, 2, 2)), conv(6, 3, 2)),
        ),
        ["Conv_0: its input (1, 6, 2, 2) does not arrive pixel by pixel"],
    ),
    "a product of activations": (
        lambda: body(affine(4), sign(), Call(lambda x: x @ x.transpose(2, 3))),
        ["MatMul_0: its two sides arrive in an order that no kernel takes; legal: token after token"],
    ),
    "a thousand levels of a curve": (
        lambda: body(affine(4), nn.Sigmoid(), levels(11, step=1 / 2048)),
        [
            "Quant_1: an activation with",
            "steps is too wild; at most 1023 are built",
            "or two straight lines a channel; quantize to fewer bits there",
        ],
    ),
    "result joined": (
        lambda: Call2(
            classes(body(affine(4), sign()), lambda _: nn.Softmax(1)), nn.Flatten(), lambda a, b: a + b[:, :6]
        ),
        ["joins the network's result with float values in front of the first quantizer", "join a quantized"],
    ),
}


@pytest.mark.parametrize("name", NETS)
def test_network(name: str) -> None:
    make, parts = NETS[name]
    with refusal(*parts):
        build(seeded(make, 0))


# files and other sources


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "net.onnx"
    load(seeded(lambda: classes(body(affine(4), sign())), 0), EXAMPLE).save(str(path))
    return path


def test_missing_file(tmp_path: Path) -> None:
    with refusal("absent.onnx: no such file"):
        load(tmp_path / "absent.onnx")
    with refusal("absent.onnx: no such file"):
        load(str(tmp_path / "absent.onnx"))


@pytest.mark.parametrize(
    "content", [b"", b"layers:\n  - conv\n", b"\x00" * 64, b"PK\x03\x04", b"\x89HDF\r\n"]
)
def test_not_an_onnx_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    with refusal("model.onnx: not an ONNX file"):
        load(tmp_path / "model.onnx")


def test_a_folder(tmp_path: Path) -> None:
    with refusal("not an ONNX file"):
        load(tmp_path)


@pytest.mark.parametrize("tenth", range(1, 10))
def test_truncated_file(saved: Path, tmp_path: Path, tenth: int) -> None:
    content = saved.read_bytes()
    (tmp_path / "cut.onnx").write_bytes(content[: len(content) * tenth // 10])
    with refusal("cut.onnx: not an ONNX file"):
        load(tmp_path / "cut.onnx")


@pytest.mark.parametrize(("thing", "name"), [(None, "NoneType"), (3, "int"), (np.zeros(3), "ndarray")])
def test_arbitrary_object(thing: object, name: str) -> None:
    with refusal(f"a {name} is no model; legal: QONNX file, ModelWrapper, Brevitas module"):
        load(thing)


def test_module_without_example_input() -> None:
    with refusal("a Brevitas module needs example_input, a tensor (1, …), to be exported"):
        load(body(sign()))


def test_module_that_the_example_does_not_fit() -> None:
    with refusal("Sequential: cannot be exported to QONNX: ", "expected input"):
        load(body(sign()), np.zeros((1, 5, 7, 8)))
    with refusal("Sequential: cannot be exported to QONNX: ", "expected input"):
        load(body(sign()), np.zeros((2, 7, 8)))  # no batch axis


@pytest.mark.parametrize("example", ["text", [[1, 2], [3]], 1.0, {}])
def test_example_input_that_is_no_array(example: object) -> None:
    with refusal(f"example_input is a {type(example).__name__}, not an array (1, …)"):
        load(body(sign()), example)


def test_module_with_one_bit_integers() -> None:
    with refusal("2.act_quant: Brevitas exports integers of 1 bit as -1 and +1; use QuantType.BINARY or 2"):
        load(body(levels(1)), EXAMPLE)


# graphs that no Brevitas module gives


def loaded(*layers: nn.Module) -> ModelWrapper:
    return load(seeded(lambda: body(*layers), 0), EXAMPLE)


def open_axis(model: ModelWrapper, axis: int) -> ModelWrapper:
    """The model with one axis of its input left open."""
    shape = model.graph.input[0].type.tensor_type.shape
    shape.dim[axis].Clear()
    shape.dim[axis].dim_param = "n"
    return model


def test_dynamic_image_size() -> None:
    with refusal("shape", "export with static shapes"):
        load(open_axis(loaded(sign(), conv(4, 5)), 2))


def test_dynamic_batch_is_fine() -> None:
    check_graph(load(open_axis(loaded(affine(4), sign(), conv(4, 5)), 0)), images(0, 4, *SHAPE), 0)


def test_several_outputs() -> None:
    """They are built, but for those that no layer computes."""
    with refusal("does not depend on the input; leave it out", "return_quant_tensor=False"):
        loaded(affine(4), QuantIdentity(return_quant_tensor=True))


@pytest.mark.parametrize(
    ("op_type", "place", "value", "parts"),
    [
        ("Quant", 2, 0.5, ["zero point [0.5]", "is not one integer; legal: one zero point, 1 to 16 bits"]),
        ("Quant", 2, [0.0, 1.0, 2.0, 3.0], ["zero point [0. 1. 2.]", "is not one integer"]),
        ("Quant", 3, 2.5, ["bit width [2.5] is not one integer"]),
        ("Quant", 3, 24.0, ["bit width [24.] is not one integer"]),
        ("Quant", 1, -0.5, ["scale -0.5 is not positive"]),
        ("BipolarQuant", 1, 0.0, ["scale 0.0 is not positive"]),
    ],
)
def test_quantizer_parameters(op_type: str, place: int, value: float | list[float], parts: list[str]) -> None:
    model = loaded(affine(4), levels(2) if op_type == "Quant" else sign())
    node = model.get_nodes_by_op_type(op_type)[-1]
    values = np.asarray(value, np.float32)
    model.set_initializer(node.input[place], values.reshape(1, -1, 1, 1) if values.ndim else values)
    with refusal(f"{node.name}: ", *parts), np.errstate(all="ignore"):
        lower(model)


def test_scale_computed_at_run_time() -> None:
    model = loaded(affine(4), levels(2))
    node = model.get_nodes_by_op_type("Quant")[-1]
    largest = onnx.helper.make_node("ReduceMax", [model.graph.input[0].name], ["largest"], keepdims=0)
    model.graph.node.insert(0, largest)
    node.input[1] = "largest"
    with refusal(f"{node.name}: its scale or bit width is computed at run time; make it constant"):
        lower(load(model))


def test_input_scale_a_channel() -> None:
    model = loaded(affine(4), sign())
    node = next(n for n in model.graph.node if n.op_type == "Quant")
    model.set_initializer(node.input[1], np.array([0.5, 0.25], np.float32).reshape(1, 2, 1, 1))
    with refusal("the input's scale varies over channels; use one scale"):
        lower(model)


def test_activation_scale_a_channel_before_a_convolution() -> None:
    model = loaded(affine(4), levels(2), conv(4, 5))
    node = model.get_nodes_by_op_type("Quant")[-1]
    model.set_initializer(node.input[1], np.array([0.5, 0.25, 1, 2], np.float32).reshape(1, 4, 1, 1))
    with refusal("Conv_1: its input has no single scale; put a quantizer with one scale in front of it"):
        lower(model)


def test_weight_scale_an_input_channel() -> None:
    model = loaded(affine(4), sign(), conv(4, 5))
    node = model.get_nodes_by_op_type("BipolarQuant")[1]
    assert model.get_initializer(node.input[0]).shape == (5, 4, 3, 3)
    model.set_initializer(node.input[1], np.array([0.5, 0.25, 1, 2], np.float32).reshape(1, 4, 1, 1))
    with refusal("Conv_1: weight scales vary within an output channel; use one a channel or tensor"):
        lower(model)


def weight_quantizer(model: ModelWrapper) -> onnx.NodeProto:
    """The only Quant node that quantizes a constant."""
    (node,) = (
        n for n in model.get_nodes_by_op_type("Quant") if model.get_initializer(n.input[0]) is not None
    )
    return node


def test_asymmetric_weights() -> None:
    """-1 to 1 around a zero point of 1 are -2 to 0; around 200 they do not fit eight bits any more."""
    model = loaded(affine(4), sign(), conv(4, 5, weight=TernaryWeight))
    node = weight_quantizer(model)
    model.set_initializer(node.input[2], np.asarray(1, np.float32))
    check_graph(model, images(0, 4, *SHAPE), 0, cpp=True)
    model.set_initializer(node.input[2], np.asarray(200, np.float32))
    with refusal("Conv_1: weights of -199 to -199; legal: 1 to 8 bits, -128 to 127 or 0 to 255"):
        lower(model)


def test_unsigned_weights() -> None:
    """Of two bits and of one."""
    model = loaded(affine(4), sign(), conv(4, 5, weight=TernaryWeight))
    node = weight_quantizer(model)
    for attribute in node.attribute:
        attribute.i = 0 if attribute.name in ("signed", "narrow") else attribute.i
    check_graph(model, images(0, 4, *SHAPE), 0, cpp=True)
    model.set_initializer(node.input[3], np.asarray(1, np.float32))
    check_graph(model, images(0, 4, *SHAPE), 0, cpp=True)


def test_float_annotation_of_the_input() -> None:
    model = load(nn.Sequential(conv(2, 4), affine(4), sign()), EXAMPLE)
    model.set_tensor_datatype(model.graph.input[0].name, DataType["FIXED<8,4>"])
    with refusal("the graph's input is annotated FIXED<8,4>; legal: FLOAT32 or an integer type"):
        lower(model)


def test_transformations_left_out() -> None:
    biased = nn.Sequential(pixels(), conv(2, 4, bias=True), sign(), nn.Flatten(), dense(120, 5, bias=True))
    model = load(biased, EXAMPLE)
    with refusal("Conv_0: has a bias input; run ExtractBiasFromConv, which makes it an Add"):
        lower(model)
    dense_model = load(nn.Sequential(pixels(), nn.Flatten(), dense(112, 5, bias=True)), EXAMPLE)
    with refusal("Gemm_0: is a Gemm; run SplitGemm, which makes it a MatMul and an Add"):
        lower(dense_model)
    assert lower(streamline(dense_model, [SplitGemm()])[0]).nodes


# inputs of a design


def test_input_shape() -> None:
    design = build(seeded(lambda: classes(body(affine(4), sign())), 0))
    for shape in ((3, 7, 8), (3, 2, 8, 7), (2, 7, 8), (3, 2, 7, 8, 1), (3,), ()):
        with refusal(
            f"input of shape {shape} does not fit the network; legal: (N, 2, 7, 8)", kind=BuildError
        ):
            design.run(np.zeros(shape))
    with refusal("input of shape (2, 7, 8) does not fit (N, 7, 8, 2)", kind=BuildError):
        design.simulate(np.zeros((2, 7, 8), np.int64))


def test_values_outside_an_annotated_input() -> None:
    model = load(seeded(lambda: nn.Sequential(conv(2, 4), affine(4), sign()), 0), EXAMPLE)
    model.set_tensor_datatype(model.graph.input[0].name, DataType["INT4"])
    design = lower(model)
    with refusal("the network takes integers, the input has others", kind=BuildError):
        design.run(np.full((1, *SHAPE), 0.5))
    with refusal("input: value 8 is outside int4 (-8 to 7)", kind=BuildError):
        design.run(np.full((1, *SHAPE), 8))
