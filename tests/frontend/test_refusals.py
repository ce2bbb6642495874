"""What cannot be exact is refused: one line with the node, the reason and the way out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from brevitas.core.quant import QuantType
from brevitas.nn import QuantConv2d, QuantIdentity, QuantLinear
from torch import Tensor, nn

from bnn2fpga import compile
from bnn2fpga.errors import BuildError, ModelError
from bnn2fpga.frontend import load, lower, streamline
from bnn2fpga.training.layers import BinaryWeightQuant, UnsignedActQuant, sign
from tests.models import small_onnx, text_file, truncated_onnx

SHAPE = (4, 6, 6)


class ThreeBitWeight(BinaryWeightQuant):  # type: ignore[misc]
    quant_type = QuantType.INT
    bit_width = 3
    narrow_range = True


class TenthWeight(BinaryWeightQuant):  # type: ignore[misc]
    restrict_scaling_type = "FP"
    scaling_const = 0.1


def conv(outputs: int = 4, weight: type = BinaryWeightQuant, **options: object) -> nn.Module:
    return QuantConv2d(4, outputs, 3, weight_quant=weight, **{"bias": False, "padding": 1, **options})


class Residual(nn.Module):
    """A branch whose scale is no power of two of the shortcut's."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.sign, self.branch = conv(), sign(), conv()
        self.input = sign()

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(self.input(x))
        return x + 0.3 * self.branch(self.sign(x))


class Product(nn.Module):
    """Two activations multiplied."""

    def __init__(self) -> None:
        super().__init__()
        self.input, self.left, self.right = sign(), conv(), conv()

    def forward(self, x: Tensor) -> Tensor:
        x = self.input(x)
        return self.left(x) * self.right(x)


def refusal(net: nn.Module) -> str:
    """The text with which a network is refused."""
    torch.manual_seed(0)
    with pytest.raises(ModelError) as error:
        lower(streamline(load(net.eval(), torch.zeros(1, *SHAPE)))[0])
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: nn.Sequential(sign(), nn.Conv2d(4, 4, 3, bias=False)),
            "Conv_0: float weights; quantize them to 1 or 2",
        ),
        (
            lambda: nn.Sequential(sign(), conv(weight=ThreeBitWeight)),
            "Conv_0: 3-bit weights, -3 to 3; legal: 1 or 2 bits, -2 to 1",
        ),
        (lambda: nn.Sequential(sign(), conv(4, groups=2)), "Conv_0: a grouped convolution (group=2)"),
        (
            lambda: nn.Sequential(conv(), sign()),
            "Conv_0: float values reach it: no quantizer stands between the graph's",
        ),
        (
            lambda: nn.Sequential(sign(), conv(), nn.PReLU(), conv()),
            "Conv_1: float values reach it: no quantizer stands between it and the nodes before; put a",
        ),
        (
            lambda: nn.Sequential(sign(), nn.Upsample(scale_factor=2), conv()),
            "Resize_0: Resize is not supported; supported: Abs, Add",
        ),
        (
            lambda: nn.Sequential(
                sign(), conv(), nn.PReLU(), nn.MaxPool2d(2), nn.PReLU(), nn.MaxPool2d(2), sign()
            ),
            "two max pools without a quantizer between them; put one there",
        ),
        (
            lambda: nn.Sequential(sign(), conv(weight=TenthWeight), sign()),
            "make its scales powers of two, or allow exact_sums (--exact-sums: the exact integer sum",
        ),
        (Product, "Mul_0: "),
        (Residual, "Add_0: "),
        (lambda: nn.Sequential(nn.ReLU(), nn.Flatten()), "nothing to build in hardware"),
    ],
)
def test_refused_networks(make: Callable[[], nn.Module], text: str) -> None:
    torch.manual_seed(0)
    assert text in refusal(make())


def test_exact_sums_builds_what_rounding_made_ambiguous() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(sign(), conv(weight=TenthWeight), sign()).eval()
    model, _ = streamline(load(net, torch.zeros(1, *SHAPE)))
    design = lower(model, exact_sums=True)
    images = np.random.default_rng(0).normal(size=(8, *SHAPE)).astype(np.float32)
    exact = torch.nn.functional.conv2d(
        torch.from_numpy(np.where(images >= 0, 1.0, -1.0)),
        torch.where(net[1].weight >= 0, 1.0, -1.0).double(),
        padding=1,
    )
    np.testing.assert_array_equal(design.run(images), np.where(exact.detach().numpy() >= 0, 1, -1))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (text_file, "not an ONNX file"),
        (truncated_onnx, "not an ONNX file"),
        (lambda folder: folder / "absent.onnx", "no such file"),
        (lambda folder: folder, "not an ONNX file"),
    ],
)
def test_refused_files(tmp_path: Path, make: Callable[[Path], Path], text: str) -> None:
    path = make(tmp_path)
    with pytest.raises(BuildError) as error:
        load(path)
    assert str(error.value).startswith(f"{path}: ") and text in str(error.value)
    assert "\n" not in str(error.value)


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty.onnx").touch()
    with pytest.raises(ModelError, match="no graph in it"):
        load(tmp_path / "empty.onnx")


def test_what_is_no_model() -> None:
    with pytest.raises(
        ModelError, match="a int is no model; legal: QONNX file, ModelWrapper, Brevitas module"
    ):
        load(42)
    with pytest.raises(ModelError, match="needs example_input"):
        load(nn.Sequential(sign()))
    with pytest.raises(ModelError, match="Sequential: cannot be exported to QONNX: "):
        load(nn.Sequential(QuantLinear(3, 3, bias=False)), torch.zeros(1, 5))


def test_two_outputs(tmp_path: Path) -> None:
    model = onnx.load(str(small_onnx(tmp_path)))
    inner = next(info for info in model.graph.value_info if info.name == model.graph.node[-2].output[0])
    model.graph.output.append(inner)
    model.graph.value_info.remove(inner)
    onnx.save(model, str(tmp_path / "two.onnx"))
    with pytest.raises(ModelError, match="the graph has 1 inputs and 2 outputs; one of each is supported"):
        load(tmp_path / "two.onnx")


def test_wrong_input_shape(tmp_path: Path) -> None:
    design = compile(small_onnx(tmp_path))
    with pytest.raises(
        BuildError, match=r"input of shape \(3, 6, 6\) does not fit the network; legal: \(N, 1, 6, 6\)"
    ):
        design.run(np.zeros((3, 6, 6), np.float32))


def test_pixels_of_too_many_steps() -> None:
    """An activation that is not a step function of reasonable size names its node."""
    wide = QuantIdentity(act_quant=UnsignedActQuant, bit_width=12, max_val=64.0)
    net = nn.Sequential(QuantIdentity(act_quant=UnsignedActQuant, bit_width=12, max_val=1.0), conv(), wide)
    assert "too wild; at most 1023 are built" in refusal(net)
