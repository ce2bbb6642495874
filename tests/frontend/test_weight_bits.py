"""Weights of 1 to 8 bits, of any sign, range and scale, compared at every level, SystemVerilog included."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from brevitas.inject.enum import RestrictValueType
from brevitas.quant import Int8WeightPerChannelFloat
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch import nn

from bnn2fpga.backends.rtl import rtl_project
from bnn2fpga.design.graph import Design
from bnn2fpga.design.integers import BIPOLAR, TERNARY, IntType
from bnn2fpga.frontend import load, lower, streamline
from bnn2fpga.kernels.bases.matrix_vector import MatrixVector
from bnn2fpga.planning.timing.fifo_depths import size_fifos
from bnn2fpga.simulation.rtl import RtlSimulator
from tests.frontend.nets import Affine, affine, conv, dense, images, integers, levels, pixels, sign
from tests.frontend.test_patterns import SHAPE, body, check_exact, kernels, seeded
from tests.networks.shared import shared_file
from tests.rtl.runtime import runtime

PER_CHANNEL = Int8WeightPerChannelFloat.let(restrict_scaling_type=RestrictValueType.POWER_OF_TWO)


def check_rtl(design: Design, frames: np.ndarray, folder: Path) -> None:
    """The SystemVerilog makes of random frames what numpy does."""
    design = size_fifos(design)
    encoded = design.host.encode(frames)
    rtl_project(design).write(folder)
    simulator = RtlSimulator.compile(design, folder, folder / "model", optimize=0, runtime=runtime())
    found = simulator.run(encoded.reshape(len(frames), *design.inputs[0].stream.shape), gaps=0.2, holds=0.2)
    expected = design.simulate(encoded)
    np.testing.assert_array_equal(found.outputs[0].reshape(expected.shape), expected)


def weight_types() -> st.SearchStrategy[type]:
    """Weight quantizers: signed, narrow, unsigned, and those with a scale a channel."""
    signed = st.builds(integers, st.integers(2, 8), st.just(True), st.booleans())
    unsigned = st.builds(integers, st.integers(2, 8), st.just(False))
    channels = st.builds(lambda bits: PER_CHANNEL.let(bit_width=bits), st.integers(2, 8))
    return st.one_of(signed, unsigned, channels)


def activations() -> st.SearchStrategy[object]:
    """Quantizers between layers: signs, and integers of 1 to 8 bits."""
    plain = st.tuples(st.integers(1, 7), st.booleans())
    return st.one_of(st.just(sign), plain.map(lambda kind: lambda: levels(kind[0] + kind[1], kind[1])))


@settings(
    max_examples=4,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),
)
@given(
    weight_types(),
    weight_types(),
    activations(),
    st.sampled_from([{}, {"padding": 1}, {"stride": 2}, {"groups": 4}, {"groups": 4, "padding": (1, 0)}]),
    st.sampled_from([1, 3, (1, 3)]),
    st.integers(0, 999),
)
def test_layers_of_any_weights(
    first: type, second: type, between: object, options: dict, kernel: object, seed: int
) -> None:
    """A first layer on pixels, a convolution, depthwise or not, and scores."""

    def make() -> nn.Module:
        layers = [pixels(), conv(2, 4, weight=first), affine(4), between()]
        layers += [conv(4, 4, kernel, weight=second, **options), affine(4), between(), nn.Flatten()]
        count = nn.Sequential(*layers).eval()(torch.zeros(1, *SHAPE)).shape[1]
        return nn.Sequential(*layers, dense(count, 3, first))

    check_exact(seeded(make, seed), SHAPE, seed, cpp=True, exact_sums=True)


@pytest.mark.parametrize(
    ("bits", "between"), [(3, lambda: levels(3)), (8, sign), (4, lambda: levels(4, signed=True))]
)
def test_rtl(bits: int, between: object, tmp_path: Path) -> None:
    def make() -> nn.Module:
        layers = [conv(2, 4, weight=integers(8)), affine(4), between()]
        layers += [conv(4, 4, padding=1, groups=4, weight=integers(bits)), affine(4), between()]
        layers += [conv(4, 5, padding=1, weight=integers(bits, narrow=True)), affine(5), between()]
        return nn.Sequential(pixels(), *layers, nn.Flatten(), dense(150, 3, integers(8)))

    design = check_exact(seeded(make, bits), SHAPE, bits)
    used = kernels(design)
    assert used.count("PlaneMvu") == 3 and used.count("DepthwisePlaneUnit") == 1
    check_rtl(design, images(1, 4, *SHAPE), tmp_path)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ((-1, 1), BIPOLAR),
        ((-1, 0, 1), TERNARY),
        ((0, 1), IntType(1)),
        ((-2, 0, 1), IntType(2, True)),
        pytest.param((0, 5), IntType(4, True), id="unsigned times -1 and +1"),
        ((-4, 3), IntType(3, True)),
    ],
    ids=str,
)
def test_weights_are_of_the_type_that_occurs(values: tuple[int, ...], kind: IntType) -> None:
    """All are declared to have 8 bits."""

    def make() -> nn.Module:
        layer = conv(4, 5, weight=integers(8, step=1.0))
        layer.weight.data = torch.tensor(np.resize(values, layer.weight.shape)).float()
        return body(affine(4), sign(), layer, Affine(5, 1, 1), sign())

    design = check_exact(seeded(make, 0), SHAPE, 0, cpp=True)
    unit = design["Conv_1"]
    assert isinstance(unit, MatrixVector)
    assert unit.weight_type == kind


@pytest.mark.parametrize(
    ("name", "kind"),
    [("w8_declared_ternary_values", "IntegerMvu"), ("last_layer_8bit_only", "PlaneMvu")],
)
def test_networks_that_were_refused(name: str, kind: str, tmp_path: Path) -> None:
    model = load(shared_file(f"cases/networks/{name}.onnx"))
    shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim][1:]
    frames = images(0, 4, *shape)
    design = lower(streamline(model)[0])
    assert kind in kernels(design)
    check_rtl(design, frames, tmp_path)
