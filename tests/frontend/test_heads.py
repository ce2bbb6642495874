"""How networks begin and end: float layers on the host, several outputs; at every level and by the driver."""

from __future__ import annotations

from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.util.cleanup import cleanup_model
from torch import nn

from bnn2fpga.build.compiler import Options, Pipeline
from bnn2fpga.build.verify import climb, random_frames
from bnn2fpga.driver import Accelerator
from bnn2fpga.errors import ModelError
from bnn2fpga.frontend import explain
from bnn2fpga.kernels.concat_streams import ConcatStreams
from bnn2fpga.kernels.shift_unit import ShiftUnit
from tests.driver.deployments import deploy_pipeline
from tests.frontend.nets import affine, conv, dense, levels, norm, pixels, sign
from tests.networks.shared import shared_file
from tests.some_slow import some_slow

FRAMES = 40
SHAPE = (2, 7, 8)
PIXELS = (3, 5, 5)


def executed(path: Path, frames: np.ndarray) -> list[np.ndarray]:
    """What qonnx computes of the file, a frame at a time; an array for each output."""
    model = cleanup_model(ModelWrapper(str(path)))
    name = model.graph.input[0].name
    found = [execute_onnx(model, {name: frames[at : at + 1]}) for at in range(len(frames))]
    return [np.concatenate([one[value.name] for one in found]) for value in model.graph.output]


def close(found: np.ndarray, expected: np.ndarray) -> bool:
    """Equal but for the order in which floats were added."""
    return found.shape == expected.shape and bool(
        np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
    )


def each(results: Any) -> tuple[np.ndarray, ...]:
    return results if isinstance(results, tuple) else (results,)


def pipeline_of(net: nn.Module, shape: tuple[int, ...], **options: Any) -> Pipeline:
    torch.manual_seed(0)
    return Pipeline(net.eval(), Options(name="net", **options), torch.zeros(1, *shape))


def climbed(pipeline: Pipeline, frames: np.ndarray, until: str = "RTL") -> list[str]:
    """The names of the levels up to `until`, all of which are equal."""
    names = []
    for level in climb(pipeline, frames, cpp_frames=8, rtl_frames=2):
        assert level.equal == level.frames, level
        names.append(level.name)
        if level.name == until and level.compared == "integers":
            break
    return names


# --- files of others


@pytest.mark.parametrize(
    ("name", "outputs", "products"),
    [
        ("last_layer_float", 1, 640),
        ("two_float_layers_at_end", 1, 4688),
        ("first_conv_float", 1, 7776),
        ("two_heads", 2, 0),
    ],
)
def test_cases(name: str, outputs: int, products: int, tmp_path: Path) -> None:
    path = shared_file(f"cases/networks/{name}.onnx")
    pipeline = Pipeline(path, Options(exact_sums=True, host_layers=name == "first_conv_float"))
    frames = random_frames(pipeline, FRAMES, seed=1)
    expected = executed(path, frames)
    found = each(pipeline.folded.run(frames))
    assert len(found) == len(expected) == outputs and all(map(close, found, expected))
    assert climbed(pipeline, frames, "RTL" if name == "two_heads" else "numpy")
    folder = deploy_pipeline(pipeline, frames, tmp_path / "deploy")
    with Accelerator(folder, "numpy") as accelerator:
        assert accelerator.reasons == {"encode": None, "decode": None}
        assert accelerator.selftest() == 16
        assert all(map(close, each(accelerator.logits(frames)), expected))
        for labels, scores in zip(each(accelerator.predict(frames)), expected, strict=True):
            assert (labels == scores.reshape(FRAMES, -1).argmax(axis=1)).all()
    assert sum(node.multiply_accumulates for node in pipeline.folded.host.share().work) == products


def test_a_float_layer_in_front_is_refused_with_both_ways_out() -> None:
    pipeline = Pipeline(shared_file("cases/networks/first_conv_float.onnx"), Options())
    with pytest.raises(ModelError, match=r"Conv_0: .*put a QuantIdentity there.*--host-layers"):
        _ = pipeline.lowered


# --- float layers at the end


HEADS: dict[str, Callable[[], nn.Module]] = {
    "softmax": lambda: nn.Sequential(dense(75, 6), nn.Softmax(dim=1)),
    "log softmax": lambda: nn.Sequential(dense(75, 6), nn.LogSoftmax(dim=1)),
    "sigmoid": lambda: nn.Sequential(dense(75, 6), nn.Sigmoid()),
    "two float layers": lambda: nn.Sequential(
        dense(75, 6), sign(), nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 4), nn.Softmax(dim=1)
    ),
    "batch norms and curves": lambda: nn.Sequential(
        *(dense(75, 6), sign(), nn.Linear(6, 9), norm(9, nn.BatchNorm1d), nn.PReLU()),
        *(nn.Linear(9, 9), nn.Tanh(), nn.Linear(9, 4), nn.Hardtanh(), nn.LeakyReLU()),
    ),
}


@pytest.mark.parametrize("name", HEADS)
def test_float_heads(name: str, tmp_path: Path) -> None:
    """The driver gives what the graph gives, with numpy alone."""
    pipeline = pipeline_of(nn.Sequential(nn.Flatten(), pixels(), HEADS[name]()), PIXELS, exact_sums=True)
    check_driver(pipeline, tmp_path)


IMAGES: dict[str, Callable[[], nn.Module]] = {
    "a 1x1 convolution, pooled": lambda: nn.Sequential(
        sign(), nn.Conv2d(4, 5, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Softmax(dim=1)
    ),
    "convolutions of any kind": lambda: nn.Sequential(
        *(sign(), nn.Conv2d(4, 6, 3, padding=1, groups=2), nn.MaxPool2d(2, 1), nn.ReLU6()),
        *(nn.Conv2d(6, 5, (1, 2), dilation=(1, 2), stride=(2, 1), bias=False), nn.AvgPool2d(2, 1, 1)),
    ),
    "a float residual": lambda: nn.Sequential(sign(), nn.Conv2d(4, 4, 1), Gated()),
    "pooled in the fabric": lambda: nn.Sequential(
        levels(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    ),
}


class Gated(nn.Module):
    """x * sigmoid(x) beside sums of its channels: a graph that is no chain."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = x[:, ::2].mean(dim=(2, 3), keepdim=True)
        return torch.cat([x * torch.sigmoid(x), mean + x[:, 1::2]], dim=1)


@pytest.mark.parametrize("name", IMAGES)
def test_float_heads_on_images(name: str, tmp_path: Path) -> None:
    net = nn.Sequential(pixels(), conv(2, 4), affine(4), IMAGES[name]())
    check_driver(pipeline_of(net, SHAPE, exact_sums=True), tmp_path)


def check_driver(pipeline: Pipeline, folder: Path) -> None:
    frames = random_frames(pipeline, FRAMES, seed=3)
    with Accelerator(deploy_pipeline(pipeline, frames, folder / "deploy"), "numpy") as accelerator:
        assert accelerator.reasons == {"encode": None, "decode": None}
        found, expected = each(accelerator.logits(frames)), each(pipeline.folded.run(frames))
        assert all(
            one.dtype == own.dtype and close(one, own) for one, own in zip(found, expected, strict=True)
        )
        assert all(len(np.unique(one)) > 1 for one in found)
        for labels, scores in zip(each(accelerator.predict(frames)), expected, strict=True):
            flat = scores.reshape(FRAMES, -1)
            assert (labels == (flat[:, 0] if flat.shape[1] == 1 else flat.argmax(axis=1))).all()
        assert accelerator.selftest() == 16
        assert all(len(one) == 0 for one in each(accelerator.logits(frames[:0])))


# --- what no kernel takes at the end


ENDS: dict[str, Callable[[], nn.Module]] = {
    "normalized features": lambda: nn.Sequential(
        conv(4, 3), nn.Flatten(), nn.LayerNorm(36), nn.Linear(36, 3)
    ),
    "bilinear": lambda: nn.Sequential(conv(4, 3), nn.Upsample(scale_factor=2, mode="bilinear")),
    "a product of two": lambda: Product(),
}


class Product(nn.Module):
    """Two branches multiplied, on 5 x 6."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = conv(4, 3, 1), conv(4, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.left(x) * self.right(x)


@pytest.mark.parametrize("name", ENDS)
def test_ends_without_a_kernel(name: str) -> None:
    """Refused with the way out; which works, at every level up to the design's integers."""
    make = lambda: nn.Sequential(pixels(), conv(2, 4), affine(4), sign(), ENDS[name]())  # noqa: E731
    with pytest.raises(ModelError, match=r"or let the host compute it \(--host-layers\)"):
        _ = pipeline_of(make(), SHAPE, exact_sums=True).lowered
    pipeline = pipeline_of(make(), SHAPE, exact_sums=True, host_layers=True)
    assert climbed(pipeline, random_frames(pipeline, FRAMES), "numpy")
    rules = [rule for region in pipeline.explained.regions for rule in region.rules]
    assert any("no kernel takes it, on the host as the network's end" in rule for rule in rules)


def test_the_middle_stays_refused() -> None:
    """--host-layers does not take what comes back into the network."""
    net = nn.Sequential(pixels(), conv(2, 4), nn.InstanceNorm2d(4), sign(), conv(4, 3))
    with pytest.raises(ModelError, match=r"depends on the frame's own mean; use BatchNormalization$"):
        _ = pipeline_of(net, SHAPE, host_layers=True).lowered


# --- float layers in front


FRONTS: dict[str, Callable[[], nn.Module]] = {
    "convolution and batch norm": lambda: nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), norm(4), nn.ReLU(), nn.MaxPool2d(2), levels(3), conv(4, 3, 2)
    ),
    "binary weights on floats": lambda: nn.Sequential(conv(2, 4), affine(4), sign(), conv(4, 3, 2)),
}


@pytest.mark.parametrize("name", FRONTS)
def test_float_fronts(name: str, tmp_path: Path) -> None:
    """Refused unless allowed; then the host's integers are the driver's, and all levels start from them."""
    with pytest.raises(ModelError, match="--host-layers"):
        _ = pipeline_of(FRONTS[name](), SHAPE, exact_sums=True).lowered
    pipeline = pipeline_of(FRONTS[name](), SHAPE, exact_sums=True, host_layers=True)
    assert climbed(pipeline, random_frames(pipeline, FRAMES), "numpy").count("host") == 2
    check_driver(pipeline, tmp_path)
    text = [rule for region in pipeline.explained.regions for rule in region.rules]
    assert any("multiply-accumulates a frame" in rule for rule in text)


def test_a_tie_in_front_is_counted_and_changes_no_other_level(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that the driver rounds to another side than the graph: the levels behind it stay equal."""
    pipeline = pipeline_of(FRONTS["binary weights on floats"](), SHAPE, exact_sums=True, host_layers=True)
    frames = random_frames(pipeline, FRAMES)
    host: Any = pipeline.folded.host
    integers = host.encode(frames)
    integers[3, 7] *= -1
    monkeypatch.setattr(type(host), "encode", lambda self, x: integers)
    levels = takewhile(lambda level: level.name != "C++", climb(pipeline, frames))
    found = {(level.name, level.compared): level for level in levels}
    tie = found.pop(("host", "first integers, float ties"))
    assert (tie.equal, tie.ok, tie.difference.frame) == (FRAMES - 1, True, 3)
    assert all(level.equal == level.frames for level in found.values())


def test_a_front_that_the_driver_cannot_compute_is_refused() -> None:
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.GELU(), sign(), conv(4, 3, 2))
    with pytest.raises(ModelError, match=r"Gelu_0: Gelu has no form in the driver.*; quantize in front"):
        _ = pipeline_of(net, SHAPE, host_layers=True).lowered


# --- several outputs


class Heads(nn.Module):
    """Several functions of one trunk."""

    def __init__(self, trunk: nn.Module, *heads: nn.Module) -> None:
        super().__init__()
        self.trunk, self.heads = trunk, nn.ModuleList(heads)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        y = self.trunk(x)
        return tuple(head(y) for head in self.heads)


class Label(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.argmax(x.flatten(1), dim=1)


def trunk() -> nn.Module:
    return nn.Sequential(pixels(), conv(2, 4), affine(4), sign())


SEVERAL: dict[str, Callable[[], nn.Module]] = {
    "pictures of unequal size": lambda: Heads(trunk(), conv(4, 3, 1), conv(4, 2, 3)),
    "sums of unequal types": lambda: Heads(trunk(), conv(4, 3, 1), conv(4, 2, 3, padding=1)),
    "three of one size": lambda: Heads(trunk(), conv(4, 3, 1), conv(4, 5, 1), conv(4, 2, 1)),
    "a picture, a vector and the features": lambda: Heads(
        trunk(), conv(4, 3, 1), nn.Sequential(nn.Flatten(), dense(120, 7)), nn.Identity()
    ),
    "a label and its scores": lambda: Heads(
        nn.Sequential(trunk(), nn.Flatten(), dense(120, 5)), nn.Identity(), Label(), nn.Softmax(dim=1)
    ),
    "a float head beside a quantized one": lambda: Heads(
        trunk(), nn.Sequential(nn.Conv2d(4, 3, 1), nn.Sigmoid()), conv(4, 2, 1)
    ),
}


@some_slow("name", list(SEVERAL), always=2)
def test_several_outputs(name: str, tmp_path: Path) -> None:
    pipeline = pipeline_of(SEVERAL[name](), SHAPE, exact_sums=True)
    frames = random_frames(pipeline, FRAMES)
    assert len(pipeline.lowered.outputs) == 1
    assert climbed(pipeline, frames)[-2:] == ["C++", "RTL"]
    check_driver(pipeline, tmp_path)
    explained = explain(pipeline.streamlined[0], exact_sums=True)
    units = [unit.name for region in explained.regions for unit in region.kernels]
    assert sorted(units) == sorted(node.name for node in pipeline.lowered.nodes)


def test_unequal_heads_are_widened_and_joined() -> None:
    design = pipeline_of(SEVERAL["sums of unequal types"](), SHAPE, exact_sums=True).lowered
    kinds = [type(node.kernel) for node in design.nodes]
    assert kinds.count(ConcatStreams) == 1 and kinds.count(ShiftUnit) == 1


def test_outputs_keep_their_names() -> None:
    path = shared_file("cases/networks/two_heads.onnx")
    assert Pipeline(path, Options()).lowered.host.share().outputs == ("16", "18")
