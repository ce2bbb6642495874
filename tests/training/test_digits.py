"""Binary layers without batch norm: the formulas, the gradients, the demo network and its export."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from brevitas.export import export_qonnx
from hypothesis import given, settings
from hypothesis import strategies as st
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.change_batchsize import ChangeBatchSize
from qonnx.util.cleanup import cleanup_model
from torch.nn import functional as F

from bnn2fpga.training import (
    BinaryConv2d,
    BinaryLinear,
    DigitsData,
    DigitsNet,
    EpochResult,
    Sign,
    SignPool,
    accuracy,
    load_digits_data,
    standardize,
    train_digits,
)
from bnn2fpga.training.digits import INPUT_SHAPE, _reproducible, _shifts
from bnn2fpga.training.layers import MAX_EXPONENT, MIN_EXPONENT, on_grid, power_of_two, two_powers

BINARY_LAYERS = (BinaryConv2d, BinaryLinear)


def part(data: DigitsData, count: int) -> DigitsData:
    """The first `count` training images and 20 test images."""
    return DigitsData(
        data.train_images[:count], data.train_labels[:count], data.test_images[:20], data.test_labels[:20]
    )


@pytest.fixture(scope="module")
def data() -> DigitsData:
    return load_digits_data()


@pytest.fixture(scope="module")
def trained(data: DigitsData) -> DigitsNet:
    return train_digits(part(data, 512), epochs=2)


# -- layers ------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(
    shape=st.sampled_from([(1, 2), (3, 7), (4, 1, 3, 3), (5, 6, 2, 3)]),
    gamma=st.sampled_from([1.0, 1.7139, 2.66]),
    scale=st.floats(0.1, 100),
    offset=st.floats(-3, 3),
    seed=st.integers(0, 99),
)
def test_standardized_weights_have_zero_mean_and_norm_gamma(
    shape: tuple[int, ...], gamma: float, scale: float, offset: float, seed: int
) -> None:
    latent = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * scale + offset
    latent[:, 0] += scale  # no constant rows: their standard deviation is 0
    rows = latent.flatten(1).double().numpy()
    deviation = rows.std(1, keepdims=True)
    expected = gamma * (rows - rows.mean(1, keepdims=True)) / ((deviation + 1e-5) * rows.shape[1] ** 0.5)
    actual = standardize(latent, gamma)
    assert actual.shape == shape
    rows_now = actual.flatten(1).numpy()
    # 24-bit subtraction of the mean: the error grows with mean / deviation
    tolerance = 1e-5 * (1 + float((abs(rows).max(1, keepdims=True) / deviation).max()))
    np.testing.assert_allclose(rows_now, expected, atol=tolerance)
    np.testing.assert_allclose(rows_now.mean(1), 0, atol=tolerance)
    norm = gamma * (deviation / (deviation + 1e-5))[:, 0]
    np.testing.assert_allclose(np.linalg.norm(rows_now, axis=1), norm, atol=tolerance * shape[-1] * 4)


def test_power_of_two_is_exact_and_straight_through() -> None:
    exponents = range(MIN_EXPONENT - 2, MAX_EXPONENT + 3)
    value = torch.tensor([s * 1.3 * 2.0**e for e in exponents for s in (1, -1)], requires_grad=True)
    snapped = power_of_two(value)
    clipped = [min(max(e, MIN_EXPONENT), MAX_EXPONENT) for e in exponents]
    assert snapped.tolist() == [s * 2.0**e for e in clipped for s in (1, -1)]
    snapped.sum().backward()
    assert value.grad.eq(1).all()
    assert power_of_two(torch.tensor([0.0, 1.5])).tolist() == [2.0**MIN_EXPONENT, 2.0]


def test_two_powers_are_the_nearest_and_straight_through() -> None:
    legal = np.array([2.0**k * m for k in range(-16, 16) for m in (1, 9 / 8, 5 / 4, 3 / 2, 7 / 4, 15 / 8)])
    value = torch.rand(1000).mul(31).sub(16).exp2().mul(torch.tensor([1.0, -1.0]).repeat(500))
    value.requires_grad_()
    snapped = two_powers(value)
    distances = np.abs(legal[:, None] - value.detach().abs().numpy())
    np.testing.assert_array_equal(snapped.detach().abs(), legal[distances.argmin(axis=0)])
    assert torch.equal(snapped.sign(), value.sign())
    snapped.sum().backward()
    assert value.grad is not None and value.grad.eq(1).all()
    assert two_powers(torch.tensor([0.0, 1e9])).tolist() == [2.0**MIN_EXPONENT, 2.0**MAX_EXPONENT]


def test_grid_rounds_half_up_and_straight_through() -> None:
    value = torch.tensor([-1.5, -0.6, -0.5, 0.49, 0.5, 2.0], requires_grad=True)
    snapped = on_grid(value, 1.0)
    assert snapped.tolist() == [-1, -1, 0, 0, 1, 2]
    snapped.sum().backward()
    assert value.grad.eq(1).all()


def test_sign_passes_gradients_between_minus_one_and_one_only() -> None:
    x = torch.tensor([-1.5, -0.9, 0.0, 0.9, 1.5], requires_grad=True)
    y = Sign()(x)
    assert y.tolist() == [-1, -1, 1, 1, 1]
    y.sum().backward()
    assert x.grad.tolist() == [0, 1, 1, 1, 0]


def test_sign_pool_trains_what_it_runs_and_rewards_the_largest_input() -> None:
    x = torch.randn(2, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    layer = SignPool(2)
    training, running = layer.train()(x), layer.eval()(x)
    assert running.shape == (2, 3, 2, 3) and set(running.unique().tolist()) == {-1.0, 1.0}
    assert torch.equal(training, running)
    window = torch.tensor([[[[0.1, 0.2], [0.7, -0.3]]]], requires_grad=True)
    layer.train()(window).sum().backward()
    assert window.grad.flatten().tolist() == [0, 0, 1, 0]


@pytest.mark.parametrize("padding", [0, 1])
def test_convolution_is_bits_then_scale_and_shift(padding: int) -> None:
    torch.manual_seed(padding)
    layer = BinaryConv2d(3, 8, 3, padding=padding)
    with torch.no_grad():
        layer.gain.copy_(torch.randn(8))  # of either sign
        layer.shift.copy_(torch.randn(8))
    x = torch.randint(0, 2, (2, 3, 5, 6)) * 2.0 - 1
    rows = layer.weight.detach().flatten(1)
    bits = torch.where(rows > rows.mean(1, keepdim=True), 1.0, -1.0).view_as(layer.weight)
    total = F.conv2d(x, bits, padding=padding)
    magnitude = standardize(layer.weight.detach()).abs().mean((1, 2, 3))
    scale = power_of_two(layer.gain.detach() * magnitude).view(-1, 1, 1)
    units = on_grid(layer.shift.detach() / magnitude).view(-1, 1, 1)
    assert torch.equal(layer(x), scale * (total + units))
    layer(x).square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in (layer.weight, layer.gain, layer.shift))


def test_last_layer_is_an_integer_times_its_scale() -> None:
    layer = BinaryLinear(12, 5, output_scale=0.25)
    scores = layer(torch.randint(0, 2, (7, 12)) * 2.0 - 1).detach() * 4
    assert scores.shape == (7, 5)
    assert torch.equal(scores, scores.round()) and scores.abs().max() <= 12
    assert [name for name, _ in layer.named_parameters()] == ["weight"]


# -- data and training -------------------------------------------------------------------------------------


def test_data_is_split_by_seed_class_by_class(data: DigitsData) -> None:
    assert data.train_images.shape == (1437, *INPUT_SHAPE[1:]) and data.train_images.dtype == np.float32
    assert data.test_images.shape == (360, *INPUT_SHAPE[1:]) and data.test_labels.dtype == np.int64
    images = np.concatenate([data.train_images, data.test_images])
    assert images.min() == 0 and images.max() == 1 and (images * 16 == np.round(images * 16)).all()
    assert np.bincount(data.test_labels).min() >= 34
    assert (load_digits_data(0).test_images == data.test_images).all()
    assert (load_digits_data(1).test_images != data.test_images).any()


def test_shifts_start_with_the_image_itself() -> None:
    images = torch.rand(2, 1, 8, 8)
    shifted = _shifts(images)
    assert shifted.shape == (9, 2, 1, 8, 8) and torch.equal(shifted[0], images)
    assert len({tuple(s.flatten().tolist()) for s in shifted}) == 9


def test_training_lowers_the_loss_and_repeats_exactly(data: DigitsData, trained: DigitsNet) -> None:
    results: list[EpochResult] = []
    again = train_digits(part(data, 512), epochs=2, on_epoch=results.append)
    assert [(r.epoch, r.epochs) for r in results] == [(1, 2), (2, 2)]
    assert results[1].loss < results[0].loss
    assert results[1].test_accuracy == accuracy(again, data.test_images[:20], data.test_labels[:20])
    first, second = trained.state_dict(), again.state_dict()
    assert first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)
    other = train_digits(part(data, 64), epochs=1, seed=1).state_dict()
    assert any(not torch.equal(first[k], other[k]) for k in first)
    assert not again.training


def test_training_leaves_torch_as_it_was() -> None:
    def state() -> tuple[object, ...]:
        deterministic = torch.are_deterministic_algorithms_enabled()
        return torch.get_rng_state().sum().item(), torch.get_num_threads(), deterministic

    before = state()
    with pytest.raises(KeyError), _reproducible(3):
        assert torch.get_num_threads() == 1 and torch.are_deterministic_algorithms_enabled()
        torch.rand(5)
        raise KeyError
    assert state() == before


@pytest.mark.long
@pytest.mark.parametrize("seed", [0, 1])
def test_demo_reaches_its_accuracy(seed: int) -> None:
    data = load_digits_data(seed)
    assert accuracy(train_digits(data, seed=seed), data.test_images, data.test_labels) > 0.96


# -- export ------------------------------------------------------------------------------------------------


def scores(net: DigitsNet, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    with torch.no_grad():
        return np.asarray(net(torch.from_numpy(images)).numpy())


@pytest.mark.parametrize("dynamo", [False, True])
def test_export_holds_constants_and_computes_the_same(
    data: DigitsData, trained: DigitsNet, dynamo: bool, tmp_path: Path
) -> None:
    path = tmp_path / "digits.onnx"
    export_qonnx(trained, args=torch.zeros(INPUT_SHAPE), export_path=str(path), dynamo=dynamo)
    model = cleanup_model(ModelWrapper(str(path)))
    product = "Gemm" if dynamo else "MatMul"
    stage = ["Mul", "Add", "BipolarQuant"]
    path_ops = ["Quant", "Conv", *stage, "Conv", *stage, "MaxPool", "Conv", *stage, "Reshape"]
    path_ops += [product, *stage, product, "Mul"]
    constant = {
        node.output[0] for node in model.graph.node if model.get_initializer(node.input[0]) is not None
    }
    nodes = list(model.graph.node)
    assert [node.op_type for node in nodes if node.output[0] not in constant] == path_ops

    weights = [model.get_initializer(n.input[0]) for n in nodes if n.output[0] in constant]
    layers = [layer for layer in trained.modules() if isinstance(layer, BINARY_LAYERS)]
    for weight, layer in zip(weights, layers, strict=True):
        rows = weight.T if product == "MatMul" and weight.ndim == 2 else weight.reshape(len(weight), -1)
        assert set(np.unique(rows)) == {-1, 1}
        latent = layer.weight.detach().flatten(1).numpy()
        assert ((rows >= 0) == (latent > latent.mean(1, keepdims=True))).mean() > 0.9999
    for node in nodes:
        if node.op_type == "BipolarQuant":
            assert model.get_initializer(node.input[1]) == 1

    images = data.test_images[:20]
    batched = cleanup_model(model.transform(ChangeBatchSize(len(images))))
    feed = {batched.graph.input[0].name: images}
    produced = execute_onnx(batched, feed)[batched.graph.output[0].name]
    np.testing.assert_array_equal(produced, scores(trained, images))
    assert (produced * 16 == np.round(produced * 16)).all()


def test_export_follows_weights_loaded_later(data: DigitsData, trained: DigitsNet, tmp_path: Path) -> None:
    net = DigitsNet().eval()
    net.load_state_dict(trained.state_dict())
    path = tmp_path / "digits.onnx"
    export_qonnx(net, args=torch.zeros(INPUT_SHAPE), export_path=str(path), dynamo=False)
    model = cleanup_model(ModelWrapper(str(path)))
    produced = execute_onnx(model, {model.graph.input[0].name: data.test_images[:1]})
    np.testing.assert_array_equal(produced[model.graph.output[0].name], scores(trained, data.test_images[:1]))
