"""Residual sums without a common grid: refused by name, or rounded where the user allows it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, hardtanh

from bnn2fpga import verify
from bnn2fpga.design.graph import Design
from bnn2fpga.errors import BuildError, ConfigError, ModelError
from bnn2fpga.frontend import load, lower, streamline
from bnn2fpga.frontend.graph.execute import Graph
from bnn2fpga.frontend.lowering import activation, threshold_search
from bnn2fpga.frontend.lowering.graph_host import GraphHost
from bnn2fpga.frontend.lowering.residual_trunk import fit_lines
from bnn2fpga.frontend.lowering.signal import Span
from bnn2fpga.kernels.two_slope_unit import TwoSlopeUnit
from tests.conftest import Run
from tests.frontend.nets import Call, affine, conv, images, levels, norm, sign
from tests.frontend.test_joins import Net
from tests.frontend.test_patterns import RPReLU, kernels, run_cpp
from tests.some_slow import some_slow

SHAPE = (2, 8, 8)


def trained_norm(channels: int) -> nn.Module:
    """Batch norm as it is after training: it takes sums to values around one, with positive gains."""
    layer = norm(channels)
    layer.running_var.data = torch.rand(channels) * 40 + 5
    layer.weight.data = torch.rand(channels) + 0.2
    return layer


def pooled(x: Tensor) -> Tensor:
    return adaptive_avg_pool2d(x, 1).flatten(1)


def normed(net: Net, x: Tensor) -> Tensor:
    """A batch norm on the trunk and one on the branch."""
    x = net.n0(x)
    return pooled(x + net.n1(net.a(net.s(x))))


def three_blocks(net: Net, x: Tensor) -> Tensor:
    x = net.n0(x)
    for act, part, branch, trunk in (
        (net.s, net.a, net.n1, net.n2),
        (net.t, net.b, net.n3, net.n4),
        (net.u, net.d, net.n5, net.n6),
    ):
        x = trunk(x + branch(part(act(x))))
    return pooled(x)


def reactnet(net: Net, x: Tensor) -> Tensor:
    """RSign, convolution, batch norm, shortcut, RPReLU; twice."""
    x = net.n0(x)
    x = net.r1(x + net.n1(net.a(net.s(x + net.shift1))))
    x = net.r2(x + net.n2(net.b(net.t(x + net.shift2))))
    return pooled(x)


def fracbnn(net: Net, x: Tensor) -> Tensor:
    """RPReLU branches and batch norms on the trunk; the second block halves the image."""
    x = net.n0(x)
    x = net.n1(x + net.r1(net.n2(net.a(net.s(x)))))
    half = avg_pool2d(x, 2)
    return pooled(net.n3(torch.cat([half, half], 1) + net.r2(net.n4(net.d(net.t(x))))))


def with_norms(way: Callable[[Net, Tensor], Tensor], count: int, **parts: nn.Module) -> Net:
    return Net(way, **{f"n{index}": trained_norm(4) for index in range(count)}, **parts)


def make_reactnet() -> Net:
    net = with_norms(reactnet, 3, r1=RPReLU(4), r2=RPReLU(4))
    net.shift1, net.shift2 = nn.Parameter(torch.randn(1, 4, 1, 1)), nn.Parameter(torch.randn(1, 4, 1, 1))
    return net


NETS: dict[str, tuple[Callable[[], Net], str]] = {
    "batch norm on trunk and branch": (lambda: with_norms(normed, 2), "Add_0: joins"),
    "negative gains on the trunk": (
        lambda: Net(normed, n0=affine(4), n1=trained_norm(4)),
        "Add_1: joins",
    ),
    "branch scaled by 0.3": (lambda: Net(lambda n, x: pooled(x + 0.3 * n.a(n.s(x)))), "Add_0: joins"),
    "branch scaled by 0.75": (lambda: Net(lambda n, x: pooled(x + 0.75 * n.a(n.s(x)))), "Add_0: adds"),
    "levels of scales 1 and 0.17": (
        lambda: Net(
            lambda n, x: pooled(n.s(x) + n.t(n.a(n.s(x)))),
            s=levels(4, True, step=1.0),
            t=levels(4, True, step=0.17),
        ),
        "Add_0: adds tensors of scales",
    ),
    "hardtanh on the branch": (
        lambda: with_norms(lambda n, x: pooled(n.n0(x) + hardtanh(n.n1(n.a(n.s(x))))), 2),
        "Add_0: joins",
    ),
    "RPReLU on the branch": (
        lambda: with_norms(lambda n, x: pooled(n.n0(x) + n.r1(n.n1(n.a(n.s(x))))), 2, r1=RPReLU(4)),
        "Add_2: joins",
    ),
    "three blocks": (lambda: with_norms(three_blocks, 7, d=conv(4, 4, padding=1)), "Add_0: joins"),
    "ReActNet blocks": (make_reactnet, "Add_1: joins"),
    "FracBNN blocks": (
        lambda: Net(
            fracbnn,
            **{f"n{index}": trained_norm(8 if index > 2 else 4) for index in range(5)},
            r1=RPReLU(4),
            r2=RPReLU(8),
            d=conv(4, 8, padding=1, stride=2),
        ),
        "Add_2: joins",
    ),
    "projection shortcut": (
        lambda: with_norms(lambda n, x: pooled(n.n1(n.d(n.s(x))) + n.n2(n.a(n.t(x)))), 3, d=conv(4, 4, 1)),
        "Add_0: joins",
    ),
}


def made(name: str, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return NETS[name][0]().eval()


def lowered(net: nn.Module, bits: int | None) -> Design:
    return lower(streamline(load(net, np.zeros((1, *SHAPE))))[0], "trunk", trunk_bits=bits)


def error_of(design: Design, frames: np.ndarray) -> float:
    """Root mean square of what the rounding changed, of the outputs' standard deviation."""
    host = design.host
    assert isinstance(host, GraphHost)
    expected = host.graph.execute(frames)[host.graph.output]
    return float(np.sqrt(np.mean((design.run(frames) - expected) ** 2)) / expected.std())


@pytest.mark.parametrize("name", NETS)
def test_refused_by_name_with_a_way_out(name: str) -> None:
    with pytest.raises(ModelError) as error:
        lowered(made(name, 0), None)
    text = str(error.value)
    assert text.startswith(NETS[name][1]) or NETS[name][1].split(":")[1] in text
    assert "--trunk-bits" in text and "\n" not in text


@some_slow("seed", (0, 1, 2))
@pytest.mark.parametrize("name", NETS)
def test_rounded(name: str, seed: int) -> None:
    """Few bits make a small error, more a smaller one."""
    frames = images(seed, 48, *SHAPE)
    # signs behind a rounded trunk may flip, so the error shrinks from network to network, not step by step
    errors = {bits: error_of(lowered(made(name, seed), bits), frames) for bits in (2, 6)}
    assert errors[2] < 0.1 and errors[6] < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ReActNet blocks", "FracBNN blocks", "levels of scales 1 and 0.17"])
def test_rounded_cpp(name: str) -> None:
    design = lowered(made(name, 0), 2)
    frames = images(0, 12, *SHAPE)
    np.testing.assert_array_equal(run_cpp(design, frames, 0), design.simulate(design.host.encode(frames)))


def test_what_is_rounded_is_named() -> None:
    assert isinstance(host := lowered(made("three blocks", 0), 4).host, GraphHost)
    assert set(host.rounded) == {"Add_0", "Add_1", "Add_2"}
    exact = lowered(torch.nn.Sequential(*[levels(5, step=1 / 16), conv(2, 4), sign(), conv(4, 3)]).eval(), 4)
    assert isinstance(exact.host, GraphHost) and exact.host.rounded == ()


def test_the_trunk_itself_is_not_rounded() -> None:
    """Three blocks with batch norms on the trunk: nothing but the branches becomes two-slope units."""
    design = lowered(made("three blocks", 0), 2)
    units = [node.name for node in design.nodes if isinstance(node.kernel, TwoSlopeUnit)]
    assert units == ["Add_0_Conv_1", "Add_1_Conv_2", "Add_2_Conv_3"]


def test_fewer_trunk_bits_take_fewer_terms() -> None:
    def terms(bits: int) -> int:
        design = lowered(made("FracBNN blocks", 0), bits)
        return sum(n.kernel.terms for n in design.nodes if isinstance(n.kernel, TwoSlopeUnit))

    assert terms(0) < terms(4) < terms(8)


@pytest.mark.parametrize("bits", [-1, 13])
def test_illegal_trunk_bits(bits: int) -> None:
    with pytest.raises(ConfigError, match=f"trunk_bits={bits}; legal: 0 to 12"):
        lowered(made("branch scaled by 0.3", 0), bits)


def test_a_branch_of_no_lines_and_too_many_steps() -> None:
    net = with_norms(lambda n, x: pooled(n.n0(x) + 2e5 * torch.tanh(n.n1(n.a(n.s(x))))), 2)
    with pytest.raises(
        ModelError, match=r"Add_0: what stands between Conv_1 and this sum .* put a quantizer"
    ):
        lowered(net.eval(), 12)


@pytest.mark.slow
def test_the_ladder_compares_labels() -> None:
    ladder = verify(
        made("three blocks", 0), images(0, 16, *SHAPE), example_input=np.zeros((1, *SHAPE)), trunk_bits=6
    )
    assert ladder.ok
    (rounded,) = [level for level in ladder.levels if level.tolerated]
    assert rounded.compared == "labels, trunk rounded" and rounded.equal >= 14
    assert [level.name for level in ladder.levels if not level.tolerated] == [
        "QONNX",
        "streamlined",
        "packed",
        "C++",
        "RTL",
    ]


def test_a_channel_of_next_to_no_gain() -> None:
    """Its branch is astronomically large in units of the trunk."""
    net = with_norms(normed, 2)
    net.n0.weight.data[1] = 1e-7
    with pytest.raises(
        BuildError, match=r"Add_0: an integer type of \d+ bits is not supported; legal: 1 to 32"
    ):
        lowered(net.eval(), 4)


@settings(max_examples=100, deadline=None)
@given(st.integers(-50, 50), st.integers(1, 60), st.sampled_from((1, 2)), st.integers(0, 999))
def test_a_span_is_an_array(low: int, count: int, step: int, seed: int) -> None:
    span, array = Span(low, count, step), low + step * np.arange(count)
    places = np.random.default_rng(seed).integers(0, count, (3, 2))
    np.testing.assert_array_equal(np.asarray(span), array)
    np.testing.assert_array_equal(span[places], array[places])
    np.testing.assert_array_equal(span[2:40], array[2:40])
    assert (len(span), span[0], span[-1]) == (count, array[0], array[-1])
    assert Span.between(low, int(array[-1]), step) == span


def same_kernels(one: Design, other: Design, frames: np.ndarray) -> None:
    assert kernels(one) == kernels(other)
    for (_, a), (_, b) in zip(
        one.trace(one.host.encode(frames)), other.trace(other.host.encode(frames)), strict=True
    ):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["three blocks", "ReActNet blocks", "FracBNN blocks"])
def test_wide_trunks_are_searched(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Bisection finds the thresholds that trying every value finds, also where PReLU falls."""
    tried = lowered(made(name, 1), 2)
    monkeypatch.setattr(threshold_search, "WIDE", 1000)
    monkeypatch.setattr(threshold_search, "TOO_WIDE", 1000)
    same_kernels(tried, lowered(made(name, 1), 2), images(1, 32, *SHAPE))


TURNING: dict[str, Callable[[Tensor], Tensor]] = {
    "abs": lambda x: 2.5 - x.abs(),
    "where": lambda x: torch.where(x >= 0, x - 0.6, x + 0.6),
    "where of two moving sides": lambda x: torch.where(x > -0.7, -2 * x, x + 1),
    "abs of abs": lambda x: (x.abs() - 1.5).abs() - 0.5,
    "leaky": lambda x: nn.functional.leaky_relu(x, 0.1) + 0.2,
    "clip": lambda x: x.clamp(-0.5, 0.7) - 0.1,
}


@pytest.mark.parametrize("name", TURNING)
def test_chains_that_turn_are_searched(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Thresholds of the stem's 652 sums, as if they were too many; the step function is the same."""
    torch.manual_seed(3)
    net = Net(lambda n, x: n.b(n.q(n.f(n.n0(x)))), n0=affine(4), q=levels(3, True), f=Call(TURNING[name]))
    tried = lowered(net.eval(), None)
    searched: list[str] = []
    search = activation.search_steps
    monkeypatch.setattr(threshold_search, "WIDE", 1000)
    monkeypatch.setattr(
        activation, "search_steps", lambda *given: searched.append(given[1].name) or search(*given)
    )
    same_kernels(tried, lowered(net, None), images(3, 32, *SHAPE))
    assert searched or name == "leaky"


def test_wide_trunks_behind_other_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Net(lambda n, x: n.b(n.s(x * x - 1)))
    assert lowered(net.eval(), None).nodes
    monkeypatch.setattr(threshold_search, "TOO_WIDE", 1000)
    with pytest.raises(ModelError, match="rise and fall; quantize to fewer bits before"):
        lowered(net, None)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 9999), st.sampled_from((20, 300, 9000)), st.booleans())
def test_lines_are_found(seed: int, reach: int, straight: bool) -> None:
    """Two lines that meet anywhere, float32 rounding included, are fitted within half a unit."""
    random = np.random.default_rng(seed)
    points = np.arange(-reach, reach + 1)
    knee = random.uniform(-1.2 * reach, 1.2 * reach, 5)
    low, high = random.normal(0, 3, (2, 5))
    if straight:
        low = high
    values = np.where(points[:, None] < knee, low * (points[:, None] - knee), high * (points[:, None] - knee))
    values = (values + random.normal(0, 50, 5)).astype(np.float32).astype(np.float64)
    lines = fit_lines(points, values)
    assert lines is not None
    columns = points[:, None]
    fitted = np.where(columns < lines.knees, *(lines.intercepts[:, None] + lines.slopes[:, None] * columns))
    assert np.abs(fitted - values).max() <= 0.6


def test_three_lines_are_not_two() -> None:
    points = np.arange(-100, 101)
    assert fit_lines(points, np.clip(points, -30, 30)[:, None].astype(np.float64)) is None
    assert fit_lines(points, np.clip(points, -30, 100)[:, None].astype(np.float64)) is not None


def test_simulate_reports_the_difference(tmp_path: Path, run: Run) -> None:
    model, data = tmp_path / "net.onnx", tmp_path / "data.npz"
    load(made("three blocks", 0), np.zeros((1, *SHAPE))).save(str(model))
    frames = images(0, 20, *SHAPE)
    labels = Graph(load(str(model))).execute(frames)
    (outputs,) = labels.values()
    np.savez(data, images=frames, labels=outputs.argmax(axis=1))
    code, out, _ = run("simulate", str(model), "--data", str(data), "--trunk-bits", "6")
    assert code == 0 and "accuracy before the trunk was rounded 100.00 %" in out
    assert "of 20 labels as before the trunk was rounded" in out
