"""After calibration every layer starts centred and of unit variance."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bnn2fpga.errors import ConfigError
from bnn2fpga.training.calibration import calibrate, settle
from bnn2fpga.training.fractional import FractionalConv2d, RPReLU
from bnn2fpga.training.layers import MOMENTUM, BinaryConv2d, follows
from bnn2fpga.training.models import build_model

SMALL = {"width": 4, "halves": 2, "levels": 8}


def images() -> Tensor:
    """64 smooth ones, far from centred."""
    torch.manual_seed(0)
    small = torch.rand(64, 3, 4, 4) * 0.5 + 0.4
    return torch.nn.functional.interpolate(small, scale_factor=2).mul(256).floor() / 256


def observed(net: nn.Module, kind: type[nn.Module]) -> list[Tensor]:
    """The outputs of the layers of `kind`, in order."""
    outputs: list[Tensor] = []

    def keep(layer: Any, inputs: Any, y: Any) -> None:
        if isinstance(layer, kind):
            outputs.append(y)

    handles = [layer.register_forward_hook(keep) for layer in net.modules()]
    with torch.no_grad():
        net.train()(images())
    for handle in handles:
        handle.remove()
    return outputs


def test_without_batch_norm() -> None:
    torch.manual_seed(1)
    net = build_model("wsfracbnn", (3, 8, 8), 10, SMALL)
    calibrate(net, images())
    for y in observed(net, BinaryConv2d):
        assert y.mean((0, 2, 3)).abs().max() < 0.25
        # scales are powers of two: off by a factor of the square root of 2 at most
        assert y.std((0, 2, 3)).min() > 0.65 and y.std((0, 2, 3)).max() < 1.55
    for y in observed(net, RPReLU):
        assert y.mean((0, 2, 3)).abs().max() < 0.02
    layers = [layer for layer in net.modules() if isinstance(layer, FractionalConv2d)]
    betas = [(layer.beta * layer.input_deviation).mean().item() for layer in layers]
    assert len(betas) == 6 and 0.5 < min(betas) < max(betas) < 2
    plain = build_model("wsfracbnn", (3, 8, 8), 10, SMALL | {"tracked": False})
    calibrate(plain, images())
    betas = [layer.beta.item() for layer in plain.modules() if isinstance(layer, FractionalConv2d)]
    assert len(betas) == 6 and 0.5 < min(betas) < max(betas) < 2


def test_folded_batch_norm_keeps_its_gains() -> None:
    net = build_model("wsfracbnn", (3, 8, 8), 10, SMALL | {"folded_norm": True})
    calibrate(net, images())
    convolutions = [layer for layer in net.modules() if isinstance(layer, BinaryConv2d)]
    assert all(torch.all(layer.gain == 1) and torch.all(layer.shift == 0) for layer in convolutions)
    for y in observed(net, RPReLU):
        assert y.mean((0, 2, 3)).abs().max() < 0.02


def test_batch_norm_needs_none() -> None:
    with pytest.raises(ConfigError, match="folded_norm is for networks without batch norms"):
        build_model("fracbnn", (3, 8, 8), 10, SMALL | {"folded_norm": True})
    with pytest.raises(ConfigError, match="centred is for networks without batch norms"):
        build_model("fracbnn", (3, 8, 8), 10, SMALL | {"centred": True})
    with pytest.raises(ConfigError, match="tracked is for networks without batch norms"):
        build_model("fracbnn", (3, 8, 8), 10, SMALL | {"tracked": True})
    with pytest.raises(ConfigError, match="scale_terms=3: the powers of two of a scale; legal: 1, 2"):
        build_model("wsfracbnn", (3, 8, 8), 10, {"scale_terms": 3})
    with pytest.raises(ConfigError, match="leave centred out"):
        build_model("wsfracbnn", (3, 8, 8), 10, SMALL | {"centred": True, "folded_norm": True})
    net = build_model("fracbnn", (3, 8, 8), 10, SMALL)
    before = {name: value.clone() for name, value in net.named_parameters()}
    calibrate(net, images())
    assert all(torch.equal(value, before[name]) for name, value in net.named_parameters())


@pytest.mark.parametrize(
    ("model", "parameters"), [("fracbnn", {}), ("wsfracbnn", {}), ("wsfracbnn", {"folded_norm": True})]
)
def test_running_means_become_those_of_all_images(model: str, parameters: dict[str, Any]) -> None:
    torch.manual_seed(1)
    net = build_model(model, (3, 8, 8), 10, SMALL | parameters)
    before = {name: value.clone() for name, value in net.named_parameters()}
    settle(net, images().split(48))  # 48, then 16
    net.eval()
    assert all(torch.equal(value, before[name]) for name, value in net.named_parameters())
    means = {name: value.clone() for name, value in net.named_buffers() if "running_mean" in name}
    layers = [layer for layer in net.modules() if follows(layer) or isinstance(layer, nn.BatchNorm2d)]
    usual = {nn.BatchNorm2d: 0.1}
    assert layers and all(layer.momentum == usual.get(type(layer), MOMENTUM) for layer in layers)
    with torch.no_grad():
        signs = net.thermometer(net.pixels(images()))
        sums = net.first(signs)
    first = net.first
    if model == "fracbnn":
        torch.testing.assert_close(means["start.running_mean"], sums.mean((0, 2, 3)), atol=1e-4, rtol=1e-4)
    elif parameters:
        real = nn.functional.conv2d(signs, first.quant_weight().value, padding=1)
        torch.testing.assert_close(first.running_mean, real.mean((0, 2, 3)), atol=1e-4, rtol=1e-4)
    else:
        torch.testing.assert_close(first.input_mean, signs.mean((0, 2, 3)), atol=1e-6, rtol=1e-5)


def test_running_deviations_settle_layer_by_layer() -> None:
    torch.manual_seed(1)
    net = build_model("wsfracbnn", (3, 8, 8), 10, SMALL)
    for _ in range(20):
        settle(net, [images()])
    inputs: dict[nn.Module, Tensor] = {}
    for half in net.halves:
        for layer in (half.conv, half.rprelu):
            layer.register_forward_pre_hook(lambda layer, x: inputs.update({layer: x[0]}))
    with torch.no_grad():
        net.eval()(images())
    for half in net.halves:
        x, y = inputs[half.conv], inputs[half.rprelu] + half.rprelu.folded_before.view(1, -1, 1, 1)
        deviation = x.std((0, 2, 3), correction=0, keepdim=True)
        torch.testing.assert_close(half.conv.input_deviation, deviation, atol=1e-4, rtol=1e-4)
        above, below = y.clamp_min(0).mean((0, 2, 3)), y.clamp_max(0).mean((0, 2, 3))
        torch.testing.assert_close(half.rprelu.above_mean, above, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(half.rprelu.below_mean, below, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("model", ["mlp", "convnet"])
def test_other_networks(model: str) -> None:
    torch.manual_seed(1)
    net = build_model(model, (1, 8, 8), 10, {})
    digits = images()[:, :1]
    calibrate(net, digits)
    with torch.no_grad():
        assert net(digits).isfinite().all()
