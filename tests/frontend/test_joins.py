"""Branches that meet again: exact in integers on one grid, or refused; never a deadlock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d

from bnn2fpga.backends.hls import hls_project
from bnn2fpga.boards.board import load_board
from bnn2fpga.design.graph import Design
from bnn2fpga.errors import ModelError, ToolError
from bnn2fpga.frontend import load, lower
from bnn2fpga.planning.folding.fold import fold
from bnn2fpga.planning.timing.schedule import deadlock
from bnn2fpga.simulation.cpp import CppSimulator
from tests.frontend.nets import affine, conv, dense, images, levels, pixels, sign
from tests.frontend.test_patterns import check_exact
from tests.some_slow import some_slow

SHAPE = (2, 8, 8)


class Net(nn.Module):
    """A stem of 5-bit pixels and a convolution, three more parts, and any way through them."""

    def __init__(self, forward: Callable[[Net, Tensor], Tensor], **parts: nn.Module) -> None:
        super().__init__()
        self.input, self.stem = pixels(), conv(2, 4, padding=1)
        self.a, self.b, self.c = conv(4, 4, padding=1), conv(4, 4, padding=1), conv(8, 4, padding=1)
        self.s, self.t, self.u = sign(), sign(), sign()
        self.head = dense(4, 3)
        for name, part in parts.items():
            setattr(self, name, part)
        self.way = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.way(self, self.stem(self.input(x)))


def bi_real(net: Net, x: Tensor) -> Tensor:
    """Sums of signs added to what they were made from."""
    return x + net.a(net.s(x))


def two_blocks(net: Net, x: Tensor) -> Tensor:
    x = x + net.a(net.s(x))
    return net.c(torch.cat([net.u(x), net.t(x + net.b(net.t(x)))], 1))


def three_blocks(net: Net, x: Tensor) -> Tensor:
    for part, act in ((net.a, net.s), (net.b, net.t), (net.d, net.u)):
        x = x + part(act(x))
    return x


def quantized(net: Net, x: Tensor) -> Tensor:
    x = net.s(x)
    return net.b(net.t(x + net.u(net.a(x))))


def shortcut(net: Net, x: Tensor) -> Tensor:
    x = net.s(x)
    return avg_pool2d(x, 2) + net.t(net.d(x))


NETS: dict[str, Callable[[], Net]] = {
    "residual of sums": lambda: Net(bi_real),
    "residual of sums, then a sign": lambda: Net(lambda n, x: n.b(n.t(bi_real(n, x)))),
    "residual of signs": lambda: Net(quantized),
    "residual of 4-bit numbers": lambda: Net(
        quantized, s=levels(4, True, step=1.0), t=levels(4, True), u=levels(4, True, step=1.0)
    ),
    "residual of 8-bit numbers, then two bits": lambda: Net(
        quantized, s=levels(8, True, step=1.0), t=levels(2, step=4.0), u=levels(8, True, step=1.0)
    ),
    "residual of scales 1/8 and 1/2": lambda: Net(
        quantized, s=levels(4, True, step=0.125), t=levels(4, True), u=levels(4, True)
    ),
    "residual of a scaled branch": lambda: Net(lambda n, x: n.b(n.t(x + 0.25 * n.a(n.s(x))))),
    "batch-norm-like affine behind the join": lambda: Net(
        lambda n, x: n.b(n.t(n.norm(bi_real(n, x)))), norm=affine(4)
    ),
    "concat of signs": lambda: Net(lambda n, x: n.c(torch.cat([n.s(x), n.t(n.a(n.s(x)))], 1))),
    "concat of signs and numbers": lambda: Net(
        lambda n, x: n.c(torch.cat([n.s(x), n.t(n.a(n.s(x)))], 1)), t=levels(2)
    ),
    "concat of raw sums": lambda: Net(
        lambda n, x: n.c(n.t(torch.cat([n.a(n.s(x)), n.b(n.s(x))], 1))), b=conv(4, 4, 1), t=sign()
    ),
    "concat of raw sums and 4-bit numbers": lambda: Net(
        lambda n, x: n.c(n.t(n.norm(torch.cat([n.a(n.s(x)), n.u(x)], 1)))),
        u=levels(4, True, step=0.25),
        norm=affine(8),
    ),
    "chain with a fork of three": lambda: Net(two_blocks),
    "three residual blocks": lambda: Net(three_blocks, d=conv(4, 4, padding=1)),
    "depthwise": lambda: Net(lambda n, x: n.a(n.s(x)), a=conv(4, 4, padding=1, groups=4)),
    "average pool in the body": lambda: Net(lambda n, x: n.a(n.s(avg_pool2d(x, 2)))),
    "average pool of 3x3": lambda: Net(lambda n, x: n.a(n.t(avg_pool2d(n.s(x), 3, 2)))),
    "average pool on the shortcut": lambda: Net(
        shortcut, s=levels(2), t=levels(4, step=0.125), d=conv(4, 4, padding=1, stride=2)
    ),
    "global average before the head": lambda: Net(
        lambda n, x: n.head(n.t(adaptive_avg_pool2d(n.s(x), 1).flatten(1) + 0.1))
    ),
    "global average as the result": lambda: Net(lambda n, x: adaptive_avg_pool2d(n.a(n.s(x)), 1).flatten(1)),
}


COMPILED = (
    "residual of scales 1/8 and 1/2",
    "chain with a fork of three",
    "depthwise",
    "average pool on the shortcut",
    "global average as the result",
)
"""Those whose C++ is compiled too; the kernels' own tests compile each kernel."""


def made(name: str, seed: int) -> Net:
    torch.manual_seed(seed)
    return NETS[name]().eval()


@some_slow("seed", (0, 1))
@pytest.mark.parametrize("name", NETS)
def test_exact_at_every_level(name: str, seed: int) -> None:
    check_exact(made(name, seed), SHAPE, seed, cpp=seed == 0 and name in COMPILED)


@pytest.mark.parametrize(
    ("net", "text"),
    [
        (
            lambda: Net(lambda n, x: x + 0.75 * n.a(n.s(x))),
            "which have no common integer grid; give both branches one scale, or scales whose ratio is",
        ),
        (
            lambda: Net(quantized, u=levels(4, True, step=0.17)),
            "Add_0: adds tensors of scales 1 and 0.17 (channel 0), which have no common integer grid",
        ),
        (
            lambda: Net(lambda n, x: x + n.norm(n.a(n.s(x))), norm=affine(4)),
            "Add_1: joins Conv_1 behind float nodes that are no exact integers",
        ),
        (
            lambda: Net(lambda n, x: x + 0.3 * n.a(n.s(x))),
            "Add_0: joins Conv_1 behind float nodes that are no exact integers",
        ),
        (
            lambda: Net(lambda n, x: n.c(torch.cat([n.s(x), n.t(n.a(n.s(x)))], 1)), t=levels(2, step=0.17)),
            "Concat_0: concatenates bipolar of scale 1 and uint2 of scale 0.17; quantize both alike",
        ),
        (
            lambda: Net(lambda n, x: n.a(n.s(avg_pool2d(n.s(x), 3, 1, 1)))),
            "a padded average pool; legal: no padding",
        ),
        (
            lambda: Net(lambda n, x: n.s(x) * n.t(n.a(n.s(x)))),
            "Mul_0: Mul joins two streams; legal: a tensor times a comparison",
        ),
    ],
)
def test_refused_joins(net: Callable[[], Net], text: str) -> None:
    torch.manual_seed(0)
    with pytest.raises(ModelError) as error:
        lower(load(net().eval(), np.zeros((1, *SHAPE), np.float32)))
    assert text in str(error.value) and "\n" not in str(error.value)


def run_threads(design: Design, frames: np.ndarray, folder: Path) -> np.ndarray:
    hls_project(design, "xc7z020clg400-1", 100.0).write(folder)
    simulator = CppSimulator.compile(design, folder, folder / "threads", True, ["-O0"])
    return simulator.run(
        design.host.encode(frames).reshape(len(frames), *design.inputs[0].stream.shape)
    ).outputs[0]


@some_slow("name", ["residual of sums", "chain with a fork of three", "average pool on the shortcut"])
def test_planned_fifos_never_deadlock_and_small_ones_do(name: str, tmp_path: Path) -> None:
    """Every kernel in a thread of its own, FIFOs of the planned depths, then of two beats; as predicted."""
    design = lower(load(made(name, 0), np.zeros((1, *SHAPE), np.float32)))
    folded = fold(design, load_board("pynq-z2"), 100.0, 10_000)
    frames = images(0, 6, *SHAPE)
    expected = folded.simulate(folded.host.encode(frames))
    np.testing.assert_array_equal(run_threads(folded, frames, tmp_path / "planned"), expected)
    assert not deadlock(folded)
    assert all(edge.depth < edge.stream.beats for edge in folded.edges), "room for a whole frame"
    small = replace(folded, edges=tuple(replace(edge, depth=2) for edge in folded.edges))
    assert deadlock(small)
    with pytest.raises(ToolError, match=r"deadlock: stream .* is full"):
        run_threads(small, frames, tmp_path / "small")
