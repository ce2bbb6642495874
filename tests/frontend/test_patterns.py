"""Networks that people build, each compared at every level from PyTorch to the generated C++."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import pytest
import torch
from brevitas.quant import Int8BiasPerTensorFloatInternalScaling
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from torch import nn

from bnn2fpga.backends.hls import hls_project
from bnn2fpga.design.graph import Design
from bnn2fpga.errors import ModelError
from bnn2fpga.frontend import load, lower, streamline
from bnn2fpga.frontend.graph.execute import Array, Graph
from bnn2fpga.frontend.graph.frames_at_once import frames_at_once
from bnn2fpga.frontend.lowering import threshold_search
from bnn2fpga.frontend.lowering.graph_host import GraphHost
from bnn2fpga.planning.folding.width_converters import refold
from bnn2fpga.simulation.cpp import CppSimulator
from tests.frontend.nets import (
    Affine,
    Call,
    SmallBinaryWeight,
    TernaryWeight,
    TwoBitWeight,
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
from tests.headers import short_run
from tests.some_slow import some_slow

FRAMES = 24
SHAPE = (2, 7, 8)
SEEDS = (0, 1, 2)

Make = Callable[[], nn.Module]


def check_exact(
    net: nn.Module,
    shape: tuple[int, ...],
    seed: int,
    cpp: bool = False,
    *,
    exact_sums: bool = False,
    powers_of_two: bool = True,
    ties: bool = False,
) -> Design:
    """Compares Brevitas, QONNX, the streamlined graph, the Design and, if asked for, C++; the Design.

    With `ties`, PyTorch's choice among equal scores is not compared. Without `powers_of_two`, float
    outputs are equal up to rounding only; the integers always are.
    """
    frames = images(seed, FRAMES, *shape)
    with torch.no_grad():
        eager = net.eval()(torch.from_numpy(frames)).numpy()
    raw = load(net, np.zeros((1, *shape), np.float32))
    outputs = Graph(raw).execute(frames, batch=frames_at_once(raw))[raw.graph.output[0].name]
    if not ties:
        assert_close(eager.reshape(outputs.shape), outputs)
    return check_graph(raw, frames, seed, cpp, exact_sums, powers_of_two)


def check_graph(
    raw: ModelWrapper,
    frames: Array,
    seed: int,
    cpp: bool = False,
    exact_sums: bool = False,
    powers_of_two: bool = True,
) -> Design:
    """The levels of `check_exact` from a loaded QONNX graph on."""
    (name,), (result,) = [v.name for v in raw.graph.input], [v.name for v in raw.graph.output]
    outputs = Graph(raw).execute(frames, batch=frames_at_once(raw))[result]
    for index in range(2):  # batches are this project's own doing; qonnx takes one frame
        alone = execute_onnx(raw, {name: frames[index : index + 1]})[result]
        assert_close(alone.reshape(outputs[:1].shape), outputs[index : index + 1])
    design = lower(streamline(raw)[0], "pattern", exact_sums)
    host = design.host
    assert isinstance(host, GraphHost)
    tensors = host.graph.execute(frames, [core.tensor for core in host.cores])
    assert_close(tensors[host.graph.output], outputs)
    compare = np.testing.assert_array_equal if powers_of_two else assert_close
    compare(design.run(frames), tensors[host.graph.output])
    integers = design.simulate(host.encode(frames))
    np.testing.assert_array_equal(integers.reshape(len(frames), -1), host.scores(tensors))
    assert len(np.unique(integers)) > 1, "the network computes nothing"
    if cpp:
        np.testing.assert_array_equal(run_cpp(design, frames, seed), integers)
    return design


def run_cpp(design: Design, frames: Array, seed: int) -> Array:
    """What the generated C++ computes at a random folding."""
    random = np.random.default_rng(seed)
    choices = {node.name: list(node.kernel.foldings()) for node in design.nodes}
    folded = refold(design, {name: every[random.integers(len(every))] for name, every in choices.items()})
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        hls_project(folded, "xc7z020clg400-1", 100.0).write(folder)
        simulator = CppSimulator.compile(folded, folder, folder / "run", flags=short_run())
        return simulator.run(folded.host.encode(frames)).outputs[0]


def assert_close(have: Array, want: Array) -> None:
    """Equal up to float32 rounding of the largest value; a wrong threshold is far beyond that."""
    assert have.dtype.kind == want.dtype.kind
    np.testing.assert_allclose(have, want, rtol=0, atol=1e-5 * max(1.0, np.abs(want).max(initial=0)))


def kernels(design: Design) -> list[str]:
    """The kinds of its kernels, in order."""
    return [type(node.kernel).__name__ for node in design.nodes]


def body(*layers: nn.Module) -> nn.Sequential:
    """Quantized input, an integer convolution to 4 channels of 5 x 6, then `layers`."""
    return nn.Sequential(pixels(), conv(2, 4), *layers)


def then(first: nn.Module, *last: Callable[[int], nn.Module], flat: bool = True) -> nn.Sequential:
    """`first`, flattened, then layers that are told how many features or channels there are."""
    layers = [first, nn.Flatten()] if flat else [first]
    for make in last:
        net = nn.Sequential(*layers).eval()
        layers.append(make(net(torch.zeros(1, *SHAPE)).shape[1]))
    return nn.Sequential(*layers)


def classes(first: nn.Module, *last: Callable[[int], nn.Module]) -> nn.Sequential:
    """`first`, flattened, 6 scores, then `last`."""
    return then(first, lambda features: dense(features, 6), *last)


def biased(layer: nn.Module) -> nn.Module:
    """`layer` with a random bias."""
    layer.bias.data = torch.randn_like(layer.bias)
    return layer


def binary_conv(*size: int, outputs: int = 5, **options: object) -> Make:
    """Sign, a binary convolution under test, sign, dense."""
    return lambda: classes(
        body(affine(4), sign(), conv(4, outputs, *size, **options), affine(outputs), sign())
    )


def pad(value: float, *layers: nn.Module) -> Make:
    """Sign, an explicit asymmetric border, a binary convolution."""
    return lambda: body(affine(4), sign(), nn.ConstantPad2d((1, 2, 0, 1), value), *layers, conv(4, 5))


CONVOLUTIONS: dict[str, Make] = {
    "zero padding": binary_conv(3, padding=1),
    "wide zero padding": binary_conv(3, padding=2),
    "stride": binary_conv(3, stride=2, padding=1),
    "5x5": binary_conv(5, padding=2),
    "2x4, strides and padding of its own": binary_conv((2, 4), stride=(1, 2), padding=(1, 0)),
    "1x1": binary_conv(1),
    "1x1 with stride": binary_conv(1, stride=(2, 3)),
    "dilation": binary_conv((3, 2), dilation=(2, 3), padding=(2, 1)),
    "padding same": binary_conv(3, padding="same"),
    "padded pixels": lambda: nn.Sequential(pixels(), conv(2, 4, padding=1), affine(4), sign(), conv(4, 5)),
    "scaled signs": lambda: body(affine(4), sign(), Call(lambda x: 0.75 * x), conv(4, 5)),
    "scaled levels": lambda: body(affine(4), levels(3, signed=True), Call(lambda x: x / 4), conv(4, 5)),
    "one channel": lambda: nn.Sequential(pixels(), conv(2, 1), affine(1), sign(), conv(1, 3)),
    "two groups": binary_conv(3, padding=1, groups=2, outputs=6),
    "three groups of one channel, two kernels each": lambda: nn.Sequential(
        pixels(), conv(2, 3), affine(3), sign(), conv(3, 6, groups=3)
    ),
    "two groups whose sums are of different widths": lambda: body(
        affine(4), levels(4), conv(4, 2, 1, groups=2, weight=TwoBitWeight)
    ),
    "bias": lambda: then(
        nn.Sequential(pixels(), biased(conv(2, 4, bias=True)), sign(), biased(conv(4, 3, bias=True)), sign()),
        lambda features: biased(dense(features, 5, bias=True)),
    ),
    "quantized bias": lambda: nn.Sequential(
        pixels(),
        biased(conv(2, 4, bias=True, bias_quant=Int8BiasPerTensorFloatInternalScaling)),
        sign(),
        conv(4, 5),
    ),
}


class RPReLU(nn.Module):
    """PReLU between two shifts, slopes of both signs."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.before = nn.Parameter(torch.randn(1, channels, 1, 1))
        self.prelu = prelu(channels)
        self.behind = nn.Parameter(torch.randn(1, channels, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.prelu(x + self.before) + self.behind


LEVELS = torch.arange(1, 9) * 3.5 / 16


class OneHot(nn.Module):
    """Every channel repeated by a fixed 1x1 convolution."""

    def __init__(self, channels: int, count: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.eye(channels).repeat_interleave(count, 0)[:, :, None, None])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.conv2d(x, self.weight)


def repeat_and_compare(repeat: Callable[[torch.Tensor], torch.Tensor], levels: torch.Tensor) -> Make:
    """Channels repeated, a level a channel taken off, sign."""
    return lambda: nn.Sequential(
        pixels(), Call(lambda x: repeat(x) - levels[None, :, None, None]), sign(), conv(16, 5, padding=1)
    )


class Signs(nn.Module):
    """sign(x - t) for each level t, concatenated."""

    def __init__(self) -> None:
        super().__init__()
        self.input, self.sign, self.conv = pixels(), sign(), conv(16, 5, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.input(x)
        return self.conv(torch.cat([self.sign(x - level) for level in LEVELS.tolist()], 1))


THERMOMETERS: dict[str, Make] = {
    "concatenated signs": Signs,
    "tile": repeat_and_compare(lambda x: x.repeat(1, 8, 1, 1), LEVELS.repeat_interleave(2)),
    "concatenated copies": repeat_and_compare(lambda x: torch.cat([x] * 8, 1), LEVELS.repeat_interleave(2)),
    "repeat_interleave": repeat_and_compare(lambda x: x.repeat_interleave(8, 1), LEVELS.repeat(2)),
    "broadcast": lambda: nn.Sequential(
        pixels(),
        Call(lambda x: (x.unsqueeze(2) - LEVELS[None, None, :, None, None]).flatten(1, 2)),
        sign(),
        conv(16, 5),
    ),
    "broadcast, sign, flatten": lambda: nn.Sequential(
        pixels(),
        Call(lambda x: x.unsqueeze(2) - LEVELS[None, None, :, None, None]),
        sign(),
        nn.Flatten(1, 2),
        conv(16, 5),
    ),
    "fixed 1x1 convolution": lambda: nn.Sequential(
        pixels(), OneHot(2, 8), Call(lambda x: LEVELS.repeat(2)[None, :, None, None] - x), sign(), conv(16, 5)
    ),
}

PADS: dict[str, Make] = {
    "-1": pad(-1.0),
    "0": pad(0.0),
    "1": pad(1.0),
    "a value of no level": pad(3.0),
    "0, then a quantizer": pad(0.0, sign()),
    "-1, then a quantizer": pad(-1.0, sign()),
    "two-bit activation": lambda: body(affine(4), levels(2), nn.ConstantPad2d(1, -0.5), conv(4, 5)),
    "pixels": lambda: nn.Sequential(pixels(), nn.ConstantPad2d(1, 0.25), conv(2, 4), affine(4), sign()),
    "before the input's quantizer": lambda: nn.Sequential(nn.ConstantPad2d(1, -1.0), body()),
    "at the end": lambda: body(affine(4), levels(2), nn.ConstantPad2d(1, -1.0)),
    "zero padding on top of zeros": lambda: body(
        affine(4), sign(), nn.ZeroPad2d(1), conv(4, 5, padding=1), affine(5), sign()
    ),
}

CHAINS: dict[str, Callable[[], list[nn.Module]]] = {
    "gain and bias": lambda: [affine(4)],
    "batch norm": lambda: [norm(4)],
    "PReLU": lambda: [affine(4), prelu(4)],
    "RPReLU": lambda: [affine(4), RPReLU(4)],
    "one PReLU slope": lambda: [affine(4), nn.PReLU(init=-0.3)],
    "LeakyReLU": lambda: [norm(4), nn.LeakyReLU(0.1)],
    "Hardtanh": lambda: [affine(4), nn.Hardtanh(-0.75, 1.25)],
    "ReLU6": lambda: [affine(4), nn.ReLU6()],
    "clamp": lambda: [affine(4), Call(lambda x: x.clamp(-0.7, 1.2))],
    "SiLU": lambda: [affine(4), nn.SiLU()],
    "GELU": lambda: [affine(4), nn.GELU()],
    "Mish": lambda: [affine(4), nn.Mish()],
    "tanh": lambda: [affine(4), nn.Tanh()],
    "ELU": lambda: [affine(4), nn.ELU()],
    "softplus": lambda: [affine(4), nn.Softplus()],
    "hard swish": lambda: [affine(4), nn.Hardswish()],
    "absolute value": lambda: [affine(4), Call(torch.abs)],
    "square": lambda: [affine(4), Call(lambda x: x * x)],
    "x + relu(x)": lambda: [affine(4), Call(lambda x: x + torch.relu(x))],
    "1.3 - x": lambda: [Call(lambda x: 1.3 - x)],
    "where": lambda: [affine(4), Call(lambda x: torch.where(x > 0, x, 0.3 * x))],
    "a bias a position": lambda: [Affine(4, 5, 6)],
    "requantized": lambda: [affine(4), levels(3, signed=True), affine(4)],
}

POOLS: dict[str, nn.Module] = {
    "2x2": nn.MaxPool2d(2),
    "overlapping": nn.MaxPool2d(3, 2),
    "padded": nn.MaxPool2d(3, 2, 1),
    "sparse": nn.MaxPool2d(2, 3),
    "2x3 with stride 1": nn.MaxPool2d((2, 3), 1),
    "ceil mode": nn.MaxPool2d(3, 2, ceil_mode=True),
    "padded, ceil mode": nn.MaxPool2d(3, 2, 1, ceil_mode=True),
    "dilated": nn.MaxPool2d(2, 2, dilation=2),
}

POOL_PLACES: dict[str, Callable[[nn.Module], nn.Module]] = {
    "before sign": lambda pool: body(affine(4), pool, sign(), conv(4, 3, 1)),
    "between batch norm and gains": lambda pool: body(norm(4), pool, affine(4), levels(2), conv(4, 3, 1)),
    "behind sign": lambda pool: body(affine(4), sign(), pool, conv(4, 3, 1)),
    "behind signed levels": lambda pool: body(affine(4), levels(3, signed=True), pool, conv(4, 3, 1)),
    "on the sums": lambda pool: body(pool, affine(4), sign(), conv(4, 3, 1)),
    "before PReLU": lambda pool: body(pool, prelu(4), levels(4, signed=True), conv(4, 3, 1)),
    "between gains and PReLU": lambda pool: body(affine(4, False), pool, prelu(4), sign(), conv(4, 3, 1)),
    "on the input": lambda pool: nn.Sequential(pixels(), pool, conv(2, 3, 1)),
    "at the end": lambda pool: body(affine(4), pool),
}

LAYOUTS: dict[str, Make] = {
    "sums flattened, batch norm": lambda: classes(
        then(body(), lambda features: norm(features, nn.BatchNorm1d), lambda _: levels(2))
    ),
    "pool, flatten, sign": lambda: classes(
        nn.Sequential(body(affine(4), nn.MaxPool2d(2), nn.Flatten(), sign()))
    ),
    "pool, flatten, batch norm": lambda: classes(
        then(body(nn.MaxPool2d(2)), lambda features: norm(features, nn.BatchNorm1d), lambda _: sign())
    ),
    "batch norm, pool, flatten, PReLU": lambda: classes(
        then(body(affine(4, False), nn.MaxPool2d(2)), lambda features: prelu(features), lambda _: levels(2))
    ),
    "pool of the whole image, batch norms": lambda: classes(
        then(body(norm(4), nn.MaxPool2d((5, 6))), lambda n: norm(n, nn.BatchNorm1d), lambda _: sign())
    ),
    "flattened by permute": lambda: classes(
        body(affine(4), sign(), Call(lambda x: x.permute(0, 2, 3, 1).flatten(1)))
    ),
    "view of a computed shape": lambda: classes(
        body(affine(4), sign(), Call(lambda x: x.view(x.shape[0], -1)))
    ),
    "view of a constant shape": lambda: classes(body(affine(4), sign(), Call(lambda x: x.view(-1, 120)))),
    "squeezed": lambda: classes(
        body(affine(4), sign(), conv(4, 5, (5, 6)), Call(lambda x: x.squeeze(-1).squeeze(-1)), sign())
    ),
    "reshaped to an image": lambda: then(
        classes(body(affine(4), sign()), lambda n: norm(n, nn.BatchNorm1d), lambda _: sign()),
        lambda n: Call(lambda x: x.view(-1, n, 1, 1)),
        lambda n: conv(n, 3, 1),
        flat=False,
    ),
    "matrix product over channels": lambda: body(
        affine(4),
        sign(),
        Call(lambda x: x.permute(0, 2, 3, 1)),
        dense(4, 5),
        Call(lambda x: x.permute(0, 3, 1, 2)),
        affine(5),
        sign(),
        conv(5, 3),
    ),
}

WEIGHTS: dict[str, Make] = {
    "ternary": lambda: body(affine(4), sign(), conv(4, 5, weight=TernaryWeight), affine(5), sign()),
    "two bits": lambda: body(
        affine(4), sign(), conv(4, 5, padding=1, weight=TwoBitWeight), affine(5), sign()
    ),
    "two bits times two bits": lambda: body(affine(4), levels(2), conv(4, 5, weight=TwoBitWeight)),
    "ternary times signed": lambda: body(affine(4), levels(4, signed=True), conv(4, 5, weight=TernaryWeight)),
    "two-bit scores": lambda: then(body(affine(4), levels(2)), lambda n: dense(n, 5, TwoBitWeight)),
    "signed 8-bit pixels": lambda: nn.Sequential(
        levels(8, signed=True, step=1 / 64), conv(2, 4, padding=1), affine(4), sign(), conv(4, 3)
    ),
    "unsigned 8-bit pixels, ternary": lambda: nn.Sequential(
        levels(8, step=1 / 128), conv(2, 4, weight=TernaryWeight), affine(4), sign(), conv(4, 3)
    ),
}

ENDS: dict[str, Callable[[], list[nn.Module]]] = {
    "scores": lambda: [],
    "float scale": lambda: [Call(lambda x: 0.3 * x)],
    "bias a score": lambda: [Affine(6)],
    "batch norm": lambda: [norm(6, nn.BatchNorm1d)],
    "PReLU": lambda: [Affine(6), prelu(6)],
    "softmax": lambda: [nn.Softmax(1)],
    "quantized scores": lambda: [Affine(6), levels(4, signed=True)],
    "quantized scores and bias": lambda: [Affine(6), levels(4, signed=True), Affine(6)],
}

TOPS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "argmax": lambda x: torch.argmax(x, 1),
    "argmax, axis kept": lambda x: torch.argmax(x, -1, keepdim=True),
    "topk": lambda x: x.topk(1).indices,
    "topk, squeezed": lambda x: x.topk(1).indices.squeeze(1),
    "topk, first": lambda x: x.topk(1).indices[:, 0],
    "max": lambda x: x.max(1).indices,
    "argmax plus one": lambda x: torch.argmax(x, 1) + 1,
}

CPP = {
    "2x4, strides and padding of its own",
    "a value of no level",
    "SiLU",
    "padded, ceil mode",
    "sums flattened, batch norm",
    "two bits times two bits",
}
"""Those that are also compiled, with the first seed; the kernels' own tests compile many more."""

every_seed = some_slow("seed", SEEDS)


def seeded(make: Make, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return make()


@some_slow("seed", range(3))
def test_zero_padding_negative_gains_prelu_and_pool_before_sign_and_two_bits_are_exact_at_every_level(
    seed: int,
) -> None:
    """A Brevitas-exported net with zero-padded binary convs, negative gains, PReLU before sign, max pool
    before sign and a 2-bit activation: exact at every level (incl. C++) over several random seeds."""
    random = np.random.default_rng(seed)
    shape = (int(random.integers(1, 4)), *random.integers(6, 10, 2).tolist())
    widths = random.integers(2, 7, 3).tolist()
    torch.manual_seed(seed)
    net = nn.Sequential(
        *(pixels(), conv(shape[0], widths[0], padding=1), affine(widths[0]), prelu(widths[0]), sign()),
        *(conv(widths[0], widths[1], padding=1), affine(widths[1]), nn.MaxPool2d(2), sign()),
        *(conv(widths[1], widths[2], padding=1), affine(widths[2]), levels(2)),
        *(nn.Flatten(), dense(widths[2] * (shape[1] // 2) * (shape[2] // 2), 5)),
    )
    assert any((layer.gain < 0).any() for layer in net if isinstance(layer, Affine))
    design = check_exact(net, shape, seed, cpp=True)
    assert kernels(design).count("SlidingWindow") == 4


@every_seed
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution(name: str, seed: int) -> None:
    check_exact(seeded(CONVOLUTIONS[name], seed), SHAPE, seed, name in CPP and not seed)


@every_seed
@pytest.mark.parametrize("name", PADS)
def test_explicit_pad(name: str, seed: int) -> None:
    check_exact(seeded(PADS[name], seed), SHAPE, seed, name in CPP and not seed)


@every_seed
@pytest.mark.parametrize("name", CHAINS)
def test_chain_before_a_two_bit_quantizer_and_a_sign(name: str, seed: int) -> None:
    def make() -> nn.Module:
        return body(*CHAINS[name](), levels(2), conv(4, 4), affine(4), levels(2, signed=True), conv(4, 3, 1))

    check_exact(seeded(make, seed), SHAPE, seed, name in CPP and not seed)
    if name not in ("SiLU", "GELU", "Mish"):  # far below 0 they round to zeros of either sign
        check_exact(seeded(lambda: body(*CHAINS[name](), sign(), conv(4, 3)), seed), SHAPE, seed)


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_quantizer(bits: int, signed: bool, narrow: bool) -> None:
    def make() -> nn.Module:
        act = levels(bits, signed, narrow, step=2.0 ** (2 - bits))
        return body(affine(4), *([] if signed else [nn.ReLU()]), act, conv(4, 3, padding=1))

    design = check_exact(seeded(make, bits), SHAPE, bits)
    kind = design.edges[-2].stream.type
    assert (kind.bits, kind.signed) == (bits, signed)


@every_seed
@pytest.mark.parametrize("name", THERMOMETERS)
def test_thermometer(name: str, seed: int) -> None:
    """One encoder, however it is written."""
    design = check_exact(seeded(THERMOMETERS[name], seed), SHAPE, seed, name in CPP and not seed)
    assert kernels(design)[0] == "ThermometerEncoder" and "Threshold" not in kernels(design)


@pytest.mark.parametrize("kind", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_auto_pad(kind: str) -> None:
    """PyTorch never exports it; even kernels and strides make one side wider."""

    def make() -> nn.Module:
        pool = nn.MaxPool2d(2, (2, 1))
        return body(affine(4), sign(), conv(4, 5, (4, 3), stride=(1, 2)), affine(5), pool, sign())

    exported = load(seeded(make, 0), np.zeros((1, *SHAPE)))
    for node in [*exported.get_nodes_by_op_type("Conv")[1:], *exported.get_nodes_by_op_type("MaxPool")]:
        kept = [a for a in node.attribute if a.name not in ("pads", "auto_pad")]
        del node.attribute[:]
        node.attribute.extend([*kept, onnx.helper.make_attribute("auto_pad", kind)])
    del exported.graph.value_info[:]
    exported.graph.output[0].type.tensor_type.ClearField("shape")
    check_graph(load(exported), images(0, FRAMES, *SHAPE), 0)


@every_seed
def test_one_bit_unsigned_quantizer(seed: int) -> None:
    raw = load(seeded(lambda: body(affine(4), levels(2), conv(4, 3, padding=1)), seed), np.zeros((1, *SHAPE)))
    quantizer = raw.get_nodes_by_op_type("Quant")[-1]
    raw.set_initializer(quantizer.input[3], np.asarray(1, np.float32))
    design = check_graph(raw, images(seed, FRAMES, *SHAPE), seed)
    assert "uint1" in {str(edge.stream.type) for edge in design.edges}


@pytest.mark.parametrize("name", POOLS)
def test_max_pool(name: str) -> None:
    for seed, (place, make) in enumerate(POOL_PLACES.items()):
        cpp = name in CPP and place == "before sign"
        check_exact(seeded(lambda make=make: make(POOLS[name]), seed), SHAPE, seed, cpp)


def test_max_pool_behind_negative_gains_works_on_the_quantized_levels() -> None:
    """Pooling bits takes a fraction of the memory of pooling sums."""
    design = check_exact(seeded(lambda: body(affine(4), nn.MaxPool2d(2), sign(), conv(4, 3, 1)), 0), SHAPE, 0)
    pooled = [edge.stream.type for edge in design.edges if edge.target.node == "MaxPool_0"]
    assert [kind.bits for kind in pooled] == [1]


@every_seed
@pytest.mark.parametrize("name", LAYOUTS)
def test_layout(name: str, seed: int) -> None:
    check_exact(seeded(LAYOUTS[name], seed), SHAPE, seed, name in CPP and not seed)


@every_seed
@pytest.mark.parametrize("name", WEIGHTS)
def test_weights(name: str, seed: int) -> None:
    check_exact(seeded(WEIGHTS[name], seed), SHAPE, seed, name in CPP and not seed)


@every_seed
@pytest.mark.parametrize("name", ENDS)
def test_end(name: str, seed: int) -> None:
    net = seeded(lambda: classes(body(affine(4), sign()), *((lambda _, x=x: x) for x in ENDS[name]())), seed)
    assert kernels(check_exact(net, SHAPE, seed))[-1] == "XnorMvu"


@pytest.mark.parametrize("name", TOPS)
@pytest.mark.parametrize(
    ("scores", "kernel"),
    [("plain", "LabelSelect"), ("scaled", "LabelSelect"), ("negated", "XnorMvu"), ("biased", "XnorMvu")],
)
def test_top1_is_a_kernel_where_integers_order_the_scores_and_the_hosts_otherwise(
    name: str, scores: str, kernel: str
) -> None:
    between = {
        "plain": nn.Identity(),
        "scaled": Call(lambda x: 0.3 * x + 0.1),
        "negated": Call(lambda x: -x),
        "biased": Affine(6, negative=False),
    }[scores]
    net = seeded(lambda: classes(body(affine(4), sign()), lambda _: between, lambda _: Call(TOPS[name])), 0)
    # torch.topk may take any of several largest scores
    design = check_exact(net, SHAPE, 0, ties="topk" in name, cpp=(name, scores) == ("argmax", "plain"))
    assert kernels(design)[-1] == kernel


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.topk(1).values,
        lambda x: x.topk(3).values,
        lambda x: x.topk(1, largest=False).values,
        lambda x: x.softmax(1).argmax(1),
    ],
)
def test_other_selections_are_the_hosts(function: Callable[[torch.Tensor], torch.Tensor]) -> None:
    net = seeded(lambda: classes(body(affine(4), sign()), lambda _: Call(function)), 0)
    assert kernels(check_exact(net, SHAPE, 0))[-1] == "XnorMvu"


@every_seed
def test_dense_network(seed: int) -> None:
    def make() -> nn.Module:
        hidden = [dense(20, 11), norm(11, nn.BatchNorm1d), sign(), dense(11, 7), Affine(7), levels(2)]
        return nn.Sequential(sign(), *hidden, dense(7, 5))

    check_exact(seeded(make, seed), (20,), seed, cpp=not seed)


@pytest.mark.parametrize("kind", ["UINT8", "INT8", "INT4", "BIPOLAR", "TERNARY"])
def test_annotated_integer_input_needs_no_quantizer(kind: str) -> None:
    raw = load(
        seeded(lambda: nn.Sequential(conv(2, 4), affine(4), sign(), conv(4, 3)), 0), np.zeros((1, *SHAPE))
    )
    raw.set_tensor_datatype(raw.graph.input[0].name, DataType[kind])
    datatype, random = DataType[kind], np.random.default_rng(0)
    values = np.arange(datatype.min(), datatype.max() + 1, 2 if kind == "BIPOLAR" else 1)
    frames = random.choice(values, (FRAMES, *SHAPE)).astype(np.float32)
    design = check_graph(raw, frames, 0)
    assert design.inputs[0].stream.type.low == datatype.min()


def small(*layers: nn.Module, weight: type = SmallBinaryWeight) -> nn.Sequential:
    """Weights of +-0.1, whose products float32 does not add up exactly."""
    return nn.Sequential(
        *(pixels(), conv(2, 4, weight=weight), *layers),
        *(sign(), conv(4, 5, weight=weight, padding=1), affine(5), levels(2), conv(5, 3, 1)),
    )


@some_slow("seed", (0, 1))  # with others a threshold is near, or all is 0
def test_inexact_sums_are_built_where_no_threshold_is_near(seed: int) -> None:
    check_exact(seeded(lambda: small(affine(4)), seed), SHAPE, seed)


@some_slow("seed", (0, 1))  # with others a threshold is near, or all is 0
def test_scales_that_are_no_powers_of_two(seed: int) -> None:
    def make() -> nn.Module:
        first = [levels(4, step=0.1), conv(2, 4, weight=SmallBinaryWeight), affine(4), levels(3, step=0.3)]
        second = [conv(4, 5, weight=SmallBinaryWeight, padding=1), affine(5), levels(2, step=0.7)]
        return nn.Sequential(*first, *second, conv(5, 3, 1, weight=SmallBinaryWeight))

    check_exact(seeded(make, seed), SHAPE, seed, powers_of_two=False)


@every_seed
def test_a_threshold_on_an_inexact_sum_is_refused_with_the_way_out(seed: int) -> None:
    net = seeded(small, seed)
    model, _ = streamline(load(net, np.zeros((1, *SHAPE))))
    with pytest.raises(
        ModelError,
        match=r"BipolarQuant_\d: channel 0 lies on a threshold at sum 0, where the rounding of the float "
        r"sum in Conv_0 decides; make its scales powers of two, or allow exact_sums \(--exact-sums",
    ):
        lower(model)
    frames = images(seed, FRAMES, *SHAPE)
    with torch.no_grad():
        exact = net.double()(torch.from_numpy(frames.astype(np.float64))).numpy()
    np.testing.assert_array_equal(lower(model, exact_sums=True).run(frames), exact)


def test_searched_thresholds_of_inexact_sums_are_checked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """What trying every value refuses, bisection refuses; with exact sums both find the same steps."""
    model = load(seeded(small, 0), np.zeros((1, *SHAPE)))
    frames = images(0, FRAMES, *SHAPE)
    tried = lower(model, exact_sums=True).run(frames)
    monkeypatch.setattr(threshold_search, "WIDE", 100)
    with pytest.raises(ModelError, match="lies on a threshold, where the rounding of the float sum"):
        lower(model)
    np.testing.assert_array_equal(lower(model, exact_sums=True).run(frames), tried)


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        (lambda: [Call(lambda x: x.repeat(1, 2, 1, 1))], "repeated channels leave the network"),
        (
            lambda: [Call(lambda x: x.repeat(1, 2, 1, 1)), conv(4, 3)],
            "its input repeats channels; put",
        ),
    ],
)
def test_repeated_channels_need_a_quantizer(layers: Callable[[], list[nn.Module]], text: str) -> None:
    model = load(seeded(lambda: nn.Sequential(pixels(), *layers()), 0), np.zeros((1, *SHAPE)))
    with pytest.raises(ModelError, match=text):
        lower(model)


@pytest.mark.parametrize("scale", [1.0, -0.3])
def test_top1_of_inexact_sums_is_refused_with_the_way_out(scale: float) -> None:
    """Equal sums are told apart by their rounding, which differs even between two batch sizes."""
    last = [Call(lambda x: scale * x), Call(lambda x: torch.argmax(x, 1))]
    net = then(
        body(affine(4), sign()), lambda n: dense(n, 6, SmallBinaryWeight), *((lambda _, x=x: x) for x in last)
    )
    model, _ = streamline(load(net, np.zeros((1, *SHAPE))))
    with pytest.raises(
        ModelError,
        match=r"ArgMax_0: the rounding of the float sum in MatMul_0 decides between equal scores; make its "
        r"scales powers of two, or allow exact_sums \(--exact-sums",
    ):
        lower(model)
    design = lower(model, exact_sums=True)
    assert kernels(design)[-1] == ("LabelSelect" if scale > 0 else "XnorMvu")
    frames = images(0, FRAMES, *SHAPE)
    exact = net[:-1].double()(torch.from_numpy(frames.astype(np.float64))).detach().numpy()
    equal = np.isclose(exact, exact.max(1, keepdims=True), atol=1e-9)
    assert (equal.sum(1) > 1).any()
    np.testing.assert_array_equal(design.run(frames), equal.argmax(1))


def test_a_threshold_is_refused_on_a_sum_and_built_between_sums() -> None:
    weight = np.float64(np.float32(0.1)) / 16
    for offset, refused in ((0.0, True), (1e-4, True), (0.01, False), (0.5, False), (0.99, False)):
        net = seeded(lambda: small(affine(4, negative=False)), 0)
        net[2].gain.data = torch.ones(1, 4, 1, 1)
        net[2].bias.data = torch.full((1, 4, 1, 1), -(3 + offset) * weight)
        if refused:
            with pytest.raises(ModelError, match="channel 0 lies on a threshold at sum 3,"):
                lower(streamline(load(net, np.zeros((1, *SHAPE))))[0])
        else:
            check_exact(net, SHAPE, 0)


def test_a_bias_of_a_millionth_decides_the_sign_of_zero() -> None:
    """Transformations that take small numbers for 0 (RemoveIdentityOps) would change the output."""
    net = seeded(lambda: body(affine(4), sign(), conv(4, 3)), 0)
    net[2].gain.data = torch.ones(1, 4, 1, 1)
    outputs = []
    for bias in (-1e-6, 0.0):
        net[2].bias.data = torch.full((1, 4, 1, 1), bias)
        design = check_exact(net, SHAPE, 0)
        outputs.append(design.run(images(0, FRAMES, *SHAPE)))
    assert np.any(outputs[0] != outputs[1])


def test_any_batch_size() -> None:
    design = check_exact(seeded(lambda: classes(body(affine(4), sign())), 0), SHAPE, 0)
    frames = images(1, 5, *SHAPE)
    whole = design.run(frames)
    assert design.run(frames[:0]).shape == (0, 6)
    np.testing.assert_array_equal(np.concatenate([design.run(frame[None]) for frame in frames]), whole)


def test_a_module_stays_as_it_was() -> None:
    net = seeded(lambda: nn.Sequential(pixels(), conv(2, 4), norm(4), sign(), conv(4, 3)), 0).train()
    net[2].eval()  # frozen statistics
    state = {name: value.clone() for name, value in net.state_dict().items()}
    load(net, torch.zeros((5, *SHAPE), requires_grad=True))
    assert [part.training for part in (net, *net)] == [True, True, True, False, True, True]
    assert all(torch.equal(state[name], value) for name, value in net.state_dict().items())


def test_a_saved_file_gives_the_same_design(tmp_path: Path) -> None:
    net = seeded(lambda: classes(body(affine(4), sign())), 0)
    raw = load(net, np.zeros((1, *SHAPE)))
    raw.save(str(tmp_path / "net.onnx"))
    frames = images(0, FRAMES, *SHAPE)
    runs = [lower(streamline(load(m))[0]).run(frames) for m in (raw, tmp_path / "net.onnx")]
    np.testing.assert_array_equal(*runs)


__all__ = ["check_exact", "check_graph"]
