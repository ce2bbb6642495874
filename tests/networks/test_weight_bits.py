"""Networks of 2, 3 and 8 bit weights with Brevitas' own quantizers: random weights, published shapes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from brevitas import nn as qnn
from brevitas.quant import Int8WeightPerChannelFloat, Int8WeightPerTensorFloat
from torch import nn

from bnn2fpga import compile
from bnn2fpga.backends.rtl import rtl_project
from bnn2fpga.frontend import load
from bnn2fpga.frontend.graph_reference import compute_graph
from bnn2fpga.planning.usage import resources
from bnn2fpga.simulation.rtl import RtlSimulator
from tests.frontend.nets import SmallBinaryWeight, sign
from tests.networks.shared import run_cpp
from tests.rtl.runtime import runtime

FRAMES = 1000


def mlp(bits: int, *sizes: int) -> nn.Module:
    """Dense layers with weights and activations of `bits`, on inputs of 8."""
    weight = Int8WeightPerTensorFloat.let(bit_width=bits)
    layers: list[nn.Module] = [qnn.QuantIdentity(bit_width=8)]
    for inputs, outputs in pairwise(sizes[:-1]):
        linear = qnn.QuantLinear(inputs, outputs, bias=True, weight_quant=weight)
        layers += [linear, nn.BatchNorm1d(outputs), qnn.QuantReLU(bit_width=bits)]
    return nn.Sequential(*layers, qnn.QuantLinear(sizes[-2], sizes[-1], bias=True, weight_quant=weight))


def kws() -> tuple[nn.Module, tuple[int, ...]]:
    """FINN's keyword spotting."""
    return mlp(3, 490, 256, 256, 256, 12), (490,)


def cybersecurity() -> tuple[nn.Module, tuple[int, ...]]:
    """FINN's network intrusion detector."""
    return mlp(2, 600, 64, 64, 64, 1), (600,)


def vgg_8_bit_ends() -> tuple[nn.Module, tuple[int, ...]]:
    """The usual recipe of binary networks: the first and the last layer have 8 bits."""
    weight = Int8WeightPerChannelFloat
    layers = [qnn.QuantIdentity(bit_width=8), qnn.QuantConv2d(3, 16, 3, bias=False, weight_quant=weight)]
    layers += [nn.BatchNorm2d(16), sign()]
    for inputs, outputs in ((16, 16), (16, 32)):
        conv = qnn.QuantConv2d(inputs, outputs, 3, padding=1, bias=False, weight_quant=SmallBinaryWeight)
        layers += [conv, nn.MaxPool2d(2), nn.BatchNorm2d(outputs), sign()]
    linear = qnn.QuantLinear(512, 10, bias=True, weight_quant=Int8WeightPerTensorFloat)
    return nn.Sequential(*layers, nn.Flatten(), linear), (3, 18, 18)


@pytest.mark.parametrize(
    ("make", "fps", "clocked"), [(kws, 2_000, 2), (cybersecurity, 20_000, 20), (vgg_8_bit_ends, 2_000, 2)]
)
def test_network(
    make: Callable[[], tuple[nn.Module, tuple[int, ...]]], fps: float, clocked: int, tmp_path: Path
) -> None:
    """QONNX, numpy and C++ agree on the integers of all frames, the SystemVerilog on the first ones."""
    torch.manual_seed(0)
    net, shape = make()
    frames = np.random.default_rng(0).normal(0, 1, (FRAMES, *shape)).astype(np.float32)
    with torch.no_grad():  # batch norms and input scales learn the frames
        net.train()(torch.from_numpy(frames[:100]))
    model = load(net.eval(), np.zeros((1, *shape), np.float32))
    design = compile(model, fps=fps, exact_sums=True)
    needed = resources(design)
    print(f"{make.__name__}: {needed}")
    assert needed.dsps == 0
    computed = compute_graph(model, design.host, frames)
    integers = design.host.encode(frames)
    found = design.simulate(integers)
    if computed.integers is not None:
        np.testing.assert_array_equal(found.reshape(FRAMES, -1), computed.integers.reshape(FRAMES, -1))
    scores = design.run(frames)
    (expected,) = computed.outputs
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_array_equal(scores.argmax(1), expected.argmax(1))
    np.testing.assert_array_equal(run_cpp(design, integers[:100], tmp_path / "cpp"), found[:100])
    rtl_project(design).write(tmp_path)
    simulator = RtlSimulator.compile(design, tmp_path, tmp_path / "model", runtime=runtime())
    first = integers[:clocked].reshape(clocked, *design.inputs[0].stream.shape)
    np.testing.assert_array_equal(simulator.run(first).outputs[0], found[:clocked])
