"""FracBNN's parts and networks: what they compute, and that they learn and compile without a remainder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bnn2fpga import compile, verify
from bnn2fpga.training.config import TrainConfig
from bnn2fpga.training.fractional import AsNormed, FractionalConv2d, OnGrid, RPReLU, Thermometer
from bnn2fpga.training.layers import SHIFT_GRID, standardize
from bnn2fpga.training.models import build_model
from bnn2fpga.training.trainer import binary_layers, train
from tests.training.images import stripes

SMALL = {"width": 2, "halves": 2, "levels": 8}
SHAPE = (1, 8, 8)


def made(name: str, seed: int = 0, **parameters: bool) -> torch.nn.Module:
    """A network with parameters as after some training."""
    torch.manual_seed(seed)
    net = build_model(name, SHAPE, 3, SMALL | parameters)
    with torch.no_grad():
        for key, parameter in net.named_parameters():
            if not key.endswith("weight"):
                parameter += 0.3 * torch.randn_like(parameter)
        for key, buffer in net.named_buffers():
            if key.endswith("norm.running_var"):
                buffer *= 30
            if key.endswith("running_mean"):
                buffer += torch.randn_like(buffer)
            if key.endswith("running_deviation"):
                buffer += 4 * torch.rand_like(buffer)
            if key.endswith("input_mean"):
                buffer += torch.rand_like(buffer) - 0.5
            if key.endswith("input_deviation"):
                buffer *= 0.5 + torch.rand_like(buffer)
            if key.endswith(("above_mean", "below_mean")):
                buffer += torch.randn_like(buffer)
    return net.eval()


def frames(count: int) -> np.ndarray:
    return stripes(count * 3).test_images[:count] / np.float32(256)


def test_thermometer_rounds_half_up() -> None:
    x = (torch.arange(256) / 256).view(1, 1, 16, 16)
    counts = (Thermometer(1, 32)(x) > 0).sum(1).flatten()
    assert torch.equal(counts, torch.floor(torch.arange(256) / 8 + 0.5).clamp_max(32).long())
    two = Thermometer(2, 4)(torch.tensor([0.1, 0.9]).view(1, 2, 1, 1)).flatten()
    assert two.tolist() == [-1, -1, -1, -1, 1, 1, 1, 1]


def test_grid_rounds_half_up() -> None:
    x = torch.tensor([-0.375, -0.25, -0.125, 0.0, 0.125, 0.25, 0.374, 0.375])
    assert (OnGrid(2)(x) * 4).tolist() == [-1, -1, 0, 0, 1, 1, 1, 2]


@pytest.mark.parametrize("stride", [1, 2])
def test_gated_convolution(stride: int) -> None:
    """Both signs, both sums and the gate, one after the other."""
    torch.manual_seed(0)
    layer = FractionalConv2d(3, 4, beta=1.5, stride=stride).eval()
    with torch.no_grad():
        layer.bias_in.normal_(0, 0.2)
        layer.delta.normal_()
    x = torch.randn(2, 3, 6, 6)
    u = x / 1.5 + layer.bias_in
    codes = (u >= -2 / 3).int() + (u >= 0).int() + (u >= 2 / 3).int()
    high, low = 2.0 * (codes // 2) - 1, 2.0 * (codes % 2) - 1
    weight = torch.where(standardize(layer.weight) >= 0, 1.0, -1.0)
    m, rest = (torch.nn.functional.conv2d(part, weight, padding=1, stride=stride) for part in (high, low))
    expected = 2 * m + torch.where(m > layer.delta * 27**0.5, rest, torch.zeros(()))
    torch.testing.assert_close(layer.gated_sums(x, layer.fold()), expected)
    _, scale, shift, _ = layer.fold()
    torch.testing.assert_close(layer(x), expected * scale + shift)
    assert torch.all(scale.abs().log2() % 1 == 0)


def test_training_and_evaluation_give_the_same_values() -> None:
    torch.manual_seed(1)
    layer = FractionalConv2d(3, 4, beta=1.0)
    x = torch.randn(2, 3, 6, 6)
    trained = layer.train()(x)
    torch.testing.assert_close(layer.eval()(x), trained)
    trained.sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in layer.train().parameters())
    assert layer.delta.grad is not None and layer.delta.grad.abs().sum() > 0


def test_folded_batch_norm_is_what_was_trained() -> None:
    """To the bit, with the batch's own mean and deviation; about that of PyTorch before it is snapped."""
    torch.manual_seed(1)
    layer = FractionalConv2d(3, 8, beta=1.0, folded_norm=True)
    layer.momentum = 1.0
    with torch.no_grad():
        layer.gain.normal_()
        layer.shift.normal_()
    x = torch.randn(16, 3, 6, 6)
    trained = layer.train()(x)
    assert torch.equal(layer.eval()(x), trained)
    _, scale, shift, _ = layer.fold()
    assert torch.all(scale.abs().log2() % 1 == 0) and torch.all(shift / scale / SHIFT_GRID % 1 == 0)
    sums = layer.gated_sums(x, layer.fold())
    usual = torch.nn.functional.batch_norm(sums, None, None, layer.gain, layer.gain * layer.shift, True)
    ratio = (trained / usual).median(dim=0).values.amax((1, 2))
    assert ratio.min() > 0.6 and ratio.max() < 1.6
    trained.square().sum().backward()
    assert layer.gain.grad is not None and torch.all(layer.gain.grad != 0)


@pytest.mark.parametrize("floating", [False, True])
def test_centred_sums_have_no_mean_left(floating: bool) -> None:
    """Up to the grid of the shift; both M and its gate."""
    torch.manual_seed(1)
    layer = FractionalConv2d(4, 8, beta=1.0, centred=True).train()
    layer.float_weights, layer.momentum = floating, 1.0
    inner = torch.randn(2048, 4, 3, 3) + torch.tensor([0.8, -0.5, 0.3, 0.0]).view(-1, 1, 1)
    layer(inner)  # the mean is that of this batch from here on
    weight = layer.fold().weight if floating else torch.where(layer.fold().weight >= 0, 1.0, -1.0)
    high = torch.where(inner >= 0, 1.0, -1.0)
    m = torch.nn.functional.conv2d(high, weight)
    left = 2 * m.mean((0, 2, 3)) - layer.fold().mean.flatten()
    assert left.abs().mean() < 0.1 * 2 * m.mean((0, 2, 3)).abs().mean()
    layer.fold().shift.sum().backward()
    assert layer.weight.grad is not None
    if not floating:
        plain = FractionalConv2d(4, 8, beta=1.0)
        plain.load_state_dict(layer.state_dict(), strict=False)
        _, scale, shift, _ = layer.fold()
        moved = (shift - plain.fold().shift) / scale + layer.fold().mean
        assert moved.abs().max() <= SHIFT_GRID
        assert torch.equal(layer.eval()(inner), layer.train()(inner))


def test_slopes_are_powers_of_two() -> None:
    unit = RPReLU(64, powers=True)
    with torch.no_grad():
        unit.slope.normal_()
        unit.before.normal_()
    unit.eval()
    assert torch.all(unit.folded_slope.abs().log2() % 1 == 0) and torch.any(unit.folded_slope < 0)
    assert torch.all(unit.folded_before * 64 % 1 == 0)
    x = torch.randn(2, 64, 3, 3)
    torch.testing.assert_close(unit(x), unit.train()(x))


def test_tracked_activations_see_every_channel_alike() -> None:
    """What is divided by the deviation of a batch that was seen; a batch has no part in its own outputs."""
    torch.manual_seed(1)
    layer = FractionalConv2d(3, 4, beta=1.0, tracked=True).train()
    layer.momentum = 1.0
    scale = torch.tensor([0.25, 1.0, 3.0]).view(-1, 1, 1)
    x = torch.randn(256, 3, 6, 6)
    first = layer(x * scale)
    torch.testing.assert_close(layer.input_deviation.flatten(), scale.flatten(), rtol=0.05, atol=0)
    assert not torch.equal(layer(x * scale), first)
    plain = FractionalConv2d(3, 4, beta=1.0)
    plain.load_state_dict(layer.state_dict(), strict=False)
    expected = plain.eval()(x * scale / layer.input_deviation)
    torch.testing.assert_close(layer.eval()(x * scale), expected)
    assert torch.equal(layer.eval()(x * scale), layer.train()(x * scale))


@pytest.mark.parametrize("powers", [False, True])
def test_tracked_slopes_move_no_mean(powers: bool) -> None:
    torch.manual_seed(1)
    unit = RPReLU(8, powers, slope=-0.5, tracked=True).train()
    unit.momentum = 1.0
    x = torch.randn(512, 8, 4, 4)
    unit(x)  # the means are those of this batch from here on
    y = unit(x)
    assert y.mean((0, 2, 3)).abs().max() <= 2.0**-7 + 1e-5  # half of the shift's grid
    y.sum().backward()
    assert unit.slope.grad is not None and unit.slope.grad.abs().max() < 1e-2 * x.clamp_max(0).sum().abs() / 8
    assert torch.equal(unit.eval()(x), unit.train()(x))


def test_gradients_as_batch_norm_leaves_them() -> None:
    """But for the deviation, by which batch norm divides."""
    torch.manual_seed(1)
    x = (3 * torch.randn(16, 4, 5, 5) + 1).requires_grad_()
    to = torch.randn_like(x)
    (found,) = torch.autograd.grad((AsNormed.apply(x) * to).sum(), x)
    normed = torch.nn.functional.batch_norm(x, None, None, training=True, eps=1e-3)
    (expected,) = torch.autograd.grad((normed * to).sum(), x)
    deviation = x.var((0, 2, 3), correction=0, keepdim=True).add(1e-3).sqrt()
    torch.testing.assert_close(found, expected * deviation)
    assert torch.equal(AsNormed.apply(x), x)


@pytest.mark.parametrize(
    ("seed", "parameters"),
    [
        (0, {}),
        pytest.param(1, {}, marks=pytest.mark.long),
        pytest.param(0, {"folded_norm": True}, marks=pytest.mark.long),
        pytest.param(0, {"centred": False}, marks=pytest.mark.long),
        pytest.param(0, {"tracked": False}, marks=pytest.mark.long),
        pytest.param(0, {"alpha": 0.25, "scale_terms": 1}, marks=pytest.mark.long),
    ],
)
@pytest.mark.slow
def test_without_batch_norm_nothing_is_rounded_away(seed: int, parameters: dict[str, Any]) -> None:
    """All levels give the same integers; no float but the last layer."""
    net = made("wsfracbnn", seed, **parameters)
    ladder = verify(net, frames(12), example_input=torch.zeros(1, *SHAPE))
    assert ladder.ok and not any(level.tolerated for level in ladder.levels)
    names = [level.name for level in ladder.levels]
    assert names == ["QONNX", "streamlined", "numpy", "numpy", "driver", "packed", "C++", "RTL"]


@pytest.mark.slow
def test_with_batch_norm_the_trunk_is_rounded() -> None:
    net = made("fracbnn")
    ladder = verify(net, frames(12), example_input=torch.zeros(1, *SHAPE), trunk_bits=4)
    assert ladder.ok and sum(level.tolerated for level in ladder.levels) == 1


@pytest.mark.parametrize(
    ("model", "parameters", "standardized"),
    [("fracbnn", {}, False), ("fracbnn", {"standardized": True}, True), ("wsfracbnn", {}, True)],
)
def test_published_weights_keep_their_mean(
    model: str, parameters: dict[str, bool], standardized: bool
) -> None:
    """FracBNN's bits are the signs of its weights, WSFracBNN's those of the distances to their mean."""
    for layer in binary_layers(made(model, **parameters)):
        mean = layer.weight.mean((1, 2, 3), keepdim=True)
        assert mean.abs().min() > 0
        assert torch.equal(layer.folded_weight > 0, layer.weight >= (mean if standardized else 0))


@pytest.mark.slow
def test_kernels_of_the_network() -> None:
    design = compile(made("wsfracbnn"), example_input=torch.zeros(1, *SHAPE))
    kinds = [type(node.kernel).__name__ for node in design.nodes]
    assert kinds.count("GateStreams") == 6 and kinds.count("TwoSlopeUnit") == 7
    assert kinds.count("ThermometerEncoder") == 1 and kinds.count("XnorMvu") == 13
    assert all(node.kernel.resources.dsps == 0 for node in design.nodes)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "parameters", "changes"),
    [
        ("fracbnn", {}, {}),
        ("fracbnn", {"standardized": True}, {}),
        ("fracbnn", {}, {"float_epochs": 3}),
        ("wsfracbnn", {}, {}),
        ("wsfracbnn", {}, {"float_epochs": 3}),
        ("wsfracbnn", {}, {"clip": 0.1}),
        ("wsfracbnn", {"folded_norm": True}, {}),
        ("wsfracbnn", {"centred": False}, {"float_epochs": 3, "clip": 0.1}),
    ],
)
def test_they_learn(tmp_path: Path, model: str, parameters: dict[str, Any], changes: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    settings: dict[str, Any] = {
        "model": model,
        "data": "none",
        "parameters": SMALL | {"width": 4} | parameters,
        "epochs": 6,
        "batch": 16,
        "learning_rate": 1e-2,
    }
    _, epochs = train(TrainConfig(**settings | changes), stripes(192), tmp_path)
    assert epochs[-1].test_accuracy > 0.6 and epochs[-1].loss < epochs[0].loss
