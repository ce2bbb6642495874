"""FracBNN's CIFAR-10 network: its own fixed point bit for bit, and the folded integer trunk."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from bnn2fpga.backends.hls import hls_project
from bnn2fpga.boards.board import load_board
from bnn2fpga.build.compiler import compile
from bnn2fpga.design.graph import Design
from bnn2fpga.errors import BuildError, ConfigError, ModelError
from bnn2fpga.frontend.importers.fracnet import (
    Fixed,
    FracNet,
    affine,
    binary_conv,
    channels_last,
    floating_point_stage,
    load_fracnet,
    rounded,
    thermometer,
    truncated,
)
from bnn2fpga.frontend.importers.fracnet_design import import_fracnet
from bnn2fpga.frontend.importers.fracnet_trunk import FoldedTrunk, fold_trunk, shrunk
from bnn2fpga.frontend.lowering.power_sums import sums_of_powers
from bnn2fpga.planning.estimate import estimate
from bnn2fpga.planning.folding.fold import fold
from bnn2fpga.planning.timing.schedule import deadlock
from bnn2fpga.simulation.cpp import CppSimulator
from tests.networks.shared import shared_arrays, shared_file

FINE = {"grid_bits": 16, "terms": 16, "slope_bits": 8}
"""A fold that rounds next to nothing."""


@cache
def arrays(name: str) -> dict[str, Any]:
    return shared_arrays(name)


@cache
def fracnet() -> FracNet:
    return load_fracnet(shared_file("models/fracnet_cifar10.npz"))


@cache
def folded() -> FoldedTrunk:
    return fold_trunk(fracnet())


def golden() -> dict[str, Any]:
    return arrays("models/golden_cifar10.npz")


def cifar() -> dict[str, Any]:
    return arrays("data/cifar10_lossless.npz")


# ---- the reference mode ----------------------------------------------------------------------------


def test_golden_logits() -> None:
    logits = fracnet().reference_logits(golden()["images_nchw_uint8"])
    np.testing.assert_array_equal(logits, golden()["fracnet_logits_raw_x128"])


def test_image_layouts_and_batches_agree() -> None:
    images = golden()["images_nchw_uint8"][:17]
    np.testing.assert_array_equal(
        fracnet().reference_logits(images.transpose(0, 2, 3, 1)), golden()["fracnet_logits_raw_x128"][:17]
    )
    assert fracnet().reference_logits(images[:0]).shape == (0, 10)
    assert folded().logits(images[:0]).shape == (0, 10)


@pytest.mark.long
def test_labels_of_846_images() -> None:
    labels = fracnet().reference_logits(cifar()["test_image"][:846]).argmax(axis=1)
    np.testing.assert_array_equal(labels, golden()["fracnet_argmax_all846"])
    assert (labels == cifar()["test_label"][:846]).sum() == 745


def test_parameters_are_rounded_half_up() -> None:
    net = fracnet()
    fixed = [net.first_norm.weight, net.first_norm.bias, net.linear.weight, net.linear.bias]
    for stage in net.stages:
        fixed += [stage.threshold, stage.norm.weight, stage.norm.bias, stage.post.weight, stage.post.bias]
        fixed += [stage.rprelu.shift_x, stage.rprelu.slope, stage.rprelu.shift_y]
    for parameter in fixed:
        np.testing.assert_array_equal(parameter.raw, np.floor(parameter.real * 256 + 0.5))
    assert sum(int((stage.rprelu.slope.real < 0).sum()) for stage in net.stages) == 513


def test_rounding() -> None:
    values = np.array([-5, -3, -2, -1, 1, 2, 3, 5])
    np.testing.assert_array_equal(rounded(values, 1), [-2, -1, -1, 0, 1, 1, 2, 3])
    np.testing.assert_array_equal(truncated(values, 1), [-2, -1, -1, 0, 0, 1, 1, 2])
    np.testing.assert_array_equal(rounded(np.array([-(1 << 20), 1 << 20]), 1), [-32768, 32767])
    np.testing.assert_array_equal(shrunk(values.reshape(1, 2, 4, 1)).ravel(), [-1, -1, 1, 1])


@pytest.mark.parametrize("stride", [1, 2])
def test_binary_conv_is_a_sum_over_the_kernel(stride: int) -> None:
    random = np.random.default_rng(0)
    planes = random.choice(np.array([-1, 1], np.float32), (2, 6, 6, 5))
    weights = random.choice(np.array([-1, 1], np.int8), (3, 5, 3, 3))
    sums = binary_conv(planes, weights, stride)
    padded = np.zeros((2, 8, 8, 5))
    padded[:, 1:-1, 1:-1] = planes
    for row, column in np.ndindex(*sums.shape[1:3]):
        window = padded[:, row * stride : row * stride + 3, column * stride : column * stride + 3]
        np.testing.assert_array_equal(
            sums[:, row, column], np.einsum("nyxc,ocyx->no", window, weights.astype(np.float64))
        )


def test_thermometer_rounds_half_to_even() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    bits = thermometer(pixels, fracnet().counts)
    np.testing.assert_array_equal((bits > 0).sum(axis=-1).ravel(), np.rint(np.arange(256) / 8))


# ---- the float network -----------------------------------------------------------------------------


def test_float_labels_of_100_images() -> None:
    """Counts recorded from this implementation; the slow test compares with published ones."""
    net, images = fracnet(), golden()["images_nchw_uint8"]
    labels = net.float_logits(images).argmax(axis=1)
    assert (labels == golden()["labels"]).sum() == 92
    assert (labels == golden()["fracnet_logits_raw_x128"].argmax(axis=1)).sum() == 95


# ---- the folded trunk ------------------------------------------------------------------------------


def test_fine_fold_is_the_float_network() -> None:
    """Every trunk, taken through its gauge, is the float network's, and so are the labels."""
    net, images = fracnet(), channels_last(golden()["images_nchw_uint8"][:8])
    fold = fold_trunk(net, **FINE)
    x = affine(net.first_sums(images), net.first_norm)
    gauges = [stage.gauge for stage in fold.stages] + [fold.gauge]
    for index, (trunk, gauge) in enumerate(zip(fold.trunks(images), gauges, strict=True)):
        np.testing.assert_allclose(gauge.gain * trunk / 2.0**16 + gauge.offset, x, atol=1e-3)
        if index < len(net.stages):
            x = floating_point_stage(x, net.stages[index])
    np.testing.assert_allclose(fold.logits(images), net.float_logits(images), atol=1e-2)


@pytest.mark.long
def test_fine_fold_labels_of_1017_images() -> None:
    images = cifar()["test_image"]
    expected = fracnet().float_logits(images).argmax(axis=1)
    np.testing.assert_array_equal(fold_trunk(fracnet(), **FINE).logits(images).argmax(axis=1), expected)
    assert (expected == cifar()["test_label"]).sum() == 901
    assert (expected[:846] == cifar()["test_label"][:846]).mean() == pytest.approx(0.8948, abs=1e-4)
    assert (expected[:846] == golden()["fracnet_argmax_all846"]).mean() == pytest.approx(0.914, abs=5e-4)


def test_folded_labels_of_100_images() -> None:
    images = golden()["images_nchw_uint8"]
    labels = folded().logits(images).argmax(axis=1)
    assert (labels == golden()["labels"]).sum() >= 90
    assert (labels == fracnet().float_logits(images).argmax(axis=1)).sum() >= 90


@pytest.mark.long
def test_folded_accuracy_on_1017_images() -> None:
    labels = folded().logits(cifar()["test_image"]).argmax(axis=1)
    assert (labels == cifar()["test_label"]).mean() >= 0.885


def test_trunks_fit_their_types() -> None:
    images, types = channels_last(golden()["images_nchw_uint8"][:16]), folded().trunk_types
    assert [kind.bits for kind in types[::6]] == [13, 17, 19, 22]
    for trunk, kind in zip(folded().trunks(images), types, strict=True):
        kind.check(trunk, "trunk")


def test_folded_stages_use_two_shifts() -> None:
    for stage in folded().stages:
        signs, shifts = stage.branch.terms
        assert signs.shape[1] <= 2
        assert shifts.max() <= 13
        assert np.all(np.diff(stage.activation, axis=1) >= 0)


def test_sums_of_powers_are_the_nearest() -> None:
    values = np.linspace(-70, 70, 1501)
    powers = np.concatenate([[0], 2 ** np.arange(8), -(2 ** np.arange(8))])
    nearest = np.abs(values[:, None] - (powers[:, None] + powers).ravel()).min(axis=1)
    np.testing.assert_allclose(np.abs(values - sums_of_powers(values, 2)), nearest)


# ---- the kernels ------------------------------------------------------------------------------------


@cache
def compiled() -> Design:
    return import_fracnet(shared_file("models/fracnet_cifar10.npz"))


def on_board() -> Design:
    return fold(compiled(), load_board("pynq-z2"), 100.0)


@pytest.mark.slow
def test_kernels_compute_the_folded_trunk() -> None:
    images = golden()["images_nchw_uint8"]
    sums = compiled().simulate(compiled().host.encode(images))
    np.testing.assert_array_equal(sums.reshape(len(images), -1), folded().pooled(images))
    np.testing.assert_allclose(compiled().run(images), folded().logits(images))


@pytest.mark.slow
def test_accuracy_of_the_kernels() -> None:
    images, labels = cifar()["test_image"], cifar()["test_label"]
    assert len(images) == 1017
    assert (compiled().run(images).argmax(axis=1) == labels).mean() >= 0.885


@pytest.mark.slow
def test_fits_a_pynq_z2_without_a_multiplier() -> None:
    """Whatever is multiplied in the generated C++ has a constant factor: a shift, or part of an address."""
    design = on_board()
    report = estimate(design, load_board("pynq-z2"))
    assert report.total.dsps == 0 and max(report.shares.values()) <= 0.8
    files = hls_project(design, "xc7z020clg400-1", 100.0).files
    for name, text in files.items():
        if name.startswith("kernels/"):
            code = re.sub(r"//.*|^#.*|static const [^;]*;", "", text, flags=re.MULTILINE)
            for left, right in re.findall(r"([\w\])]+) \* ([\w(]+)", code):
                assert left.isdigit() or right.strip("(").isdigit(), f"{name}: {left} * {right}"
            assert not re.search(r"\*=|/ [a-z]|float|double", code)


@pytest.mark.long
def test_cpp_on_20_images(tmp_path: Path) -> None:
    design = on_board()
    frames = design.host.encode(cifar()["test_image"][:20])
    hls_project(design, "xc7z020clg400-1", 100.0).write(tmp_path)
    found = CppSimulator.compile(design, tmp_path, tmp_path / "run").run(frames).outputs[0]
    np.testing.assert_array_equal(found, design.simulate(frames))


@pytest.mark.long  # a minute
def test_planned_fifos_pass_frames() -> None:
    assert deadlock(on_board()) == ()


def test_import_through_the_api() -> None:
    design = compile(shared_file("models/fracnet_cifar10.npz"), fps=2000)
    assert design.target is not None and design.name == "fracnet_cifar10"
    with pytest.raises(BuildError, match="pixels must be integers 0 to 255"):
        design.run(np.full((1, 32, 32, 3), 0.5))


# ---- refusals --------------------------------------------------------------------------------------


def test_refuses_what_is_not_an_npz(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file"):
        load_fracnet(tmp_path / "absent.npz")
    (tmp_path / "text.npz").write_text("text")
    np.save(tmp_path / "array.npy", np.zeros(3))
    for name in ("text.npz", "array.npy"):
        with pytest.raises(ModelError, match=r"not a readable \.npy or \.npz file|array .* is missing"):
            load_fracnet(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("layer2_0/conv1/weight_bits", None, "layer2_0/conv1/weight_bits is missing"),
        ("meta/block_order", None, "meta/block_order is missing"),
        ("bn1/weight_q8", np.zeros(15, np.int16), r"bn1/weight_q8 has shape \(15,\), not \(16,\)"),
        ("conv1/weight_bits", np.full((16, 96, 3, 3), 2, np.uint8), "conv1/weight_bits .* outside 0 to 1"),
        ("layer2_0/conv1/stride", np.int32(1), "layer2_0/conv1/stride .* outside 2 to 2"),
        ("linear/bias_float", np.full(10, np.nan, np.float32), "linear/bias_float .* not finite"),
        ("linear/bias_q8", np.zeros(10), "linear/bias_q8 has type float64"),
    ],
)
def test_names_the_wrong_array(
    tmp_path: Path, name: str, value: npt.NDArray[Any] | None, message: str
) -> None:
    changed = {key: array for key, array in arrays("models/fracnet_cifar10.npz").items() if key != name}
    if value is not None:
        changed[name] = value
    np.savez(tmp_path / "net.npz", **changed)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=message):
        load_fracnet(tmp_path / "net.npz")


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((32, 32, 3), np.uint8),
        np.zeros((1, 28, 28, 3), np.uint8),
        np.zeros((1, 32, 32, 3), np.float32),
    ],
)
def test_refuses_what_are_not_images(images: npt.NDArray[Any]) -> None:
    with pytest.raises(BuildError, match="do not fit"):
        fracnet().reference_logits(images)


def test_refuses_a_negative_trunk_norm() -> None:
    net = fracnet()
    weight = net.stages[3].post.weight
    post = replace(net.stages[3].post, weight=Fixed(-weight.real, -weight.raw))
    stages = (*net.stages[:3], replace(net.stages[3], post=post), *net.stages[4:])
    with pytest.raises(ModelError, match=r"stage 3: bn_post: weight .* not positive"):
        fold_trunk(replace(net, stages=stages))


def test_refuses_an_impossible_grid() -> None:
    with pytest.raises(ConfigError, match="grid_bits=-1"):
        fold_trunk(fracnet(), grid_bits=-1)
