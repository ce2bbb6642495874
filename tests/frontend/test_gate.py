"""Tensors that others switch, and quantizers of many bits that are straight lines: exact at every level."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from brevitas.core.restrict_val import FloatToIntImplType
from brevitas.nn import QuantIdentity
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from bnn2fpga.errors import ModelError
from bnn2fpga.frontend import load, lower
from bnn2fpga.frontend.lowering.exact_lines import Limits, exact_lines
from tests.frontend.nets import _Level, affine, levels, sign
from tests.frontend.test_joins import Net
from tests.frontend.test_patterns import SHAPE as IMAGE
from tests.frontend.test_patterns import body, check_exact, kernels, seeded
from tests.some_slow import some_slow

SHAPE = (2, 8, 8)


def grid(bits: int = 16, fraction: int = 4) -> QuantIdentity:
    """Rounds down to multiples of 2^-fraction, far from the ends of its range."""
    step = 2.0**-fraction
    low = -(2 ** (bits - 1))
    quant = _Level.let(
        bit_width=bits,
        signed=True,
        narrow_range=False,
        min_val=low * step,
        max_val=-(low + 1) * step,
        float_to_int_impl_type=FloatToIntImplType.FLOOR,
    )
    return QuantIdentity(act_quant=quant)


def gated(net: Net, x: Tensor, choose: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """FracBNN's convolution: the low bits' sums count where the high bits' are large."""
    high, low = net.s(x), net.t(torch.where(x >= 0, x - 4, x + 4))
    large, small = net.a(high), net.a(low)
    return 2 * large + choose(large, small)


NETS: dict[str, Callable[[], Net]] = {
    "where": lambda: Net(
        lambda n, x: gated(n, x, lambda m, value: torch.where(m > n.delta, value, torch.zeros_like(value)))
    ),
    "product": lambda: Net(lambda n, x: gated(n, x, lambda m, value: (m > n.delta).to(value.dtype) * value)),
    "product, turned round": lambda: Net(
        lambda n, x: gated(n, x, lambda m, value: value * (m > n.delta).to(value.dtype))
    ),
    "product, then sign": lambda: Net(
        lambda n, x: n.b(n.u(gated(n, x, lambda m, value: (m > n.delta).float() * value)))
    ),
}


def made(make: Callable[[], Net], seed: int) -> Net:
    torch.manual_seed(seed)
    net = make()
    net.delta = nn.Parameter(torch.randn(1, 4, 1, 1) * 3)
    return net.eval()


@some_slow("seed", (0, 1))
@pytest.mark.parametrize("name", NETS)
def test_gates_are_exact(name: str, seed: int) -> None:
    design = check_exact(made(NETS[name], seed), SHAPE, seed, cpp=seed == 0 and name == "where")
    assert "GateStreams" in kernels(design) and "TwoSlopeUnit" not in kernels(design)


@pytest.mark.parametrize(
    ("way", "text"),
    [
        (lambda n, x: n.a(n.s(x)) * n.b(n.t(x)), "Mul joins two streams; legal: a tensor times a comparison"),
        (lambda n, x: torch.where(n.a(n.s(x)) > 1, n.b(n.t(x)), n.one), "Where joins two streams"),
        (lambda n, x: (n.a(n.s(x)).abs() > 1).float() * n.b(n.t(x)), "Mul joins two streams"),
        (
            lambda n, x: (n.a(n.s(x)) > 1).float() * (0.3 * n.b(n.t(x)) + 0.1),
            "what is switched are no exact integers",
        ),
    ],
)
def test_refused(way: Callable[[Net, Tensor], Tensor], text: str) -> None:
    net = made(lambda: Net(way), 0)
    net.one = nn.Parameter(torch.ones(1, 4, 8, 8))
    with pytest.raises(ModelError) as error:
        lower(load(net, np.zeros((1, *SHAPE))))
    assert text in str(error.value)


class PowerPReLU(nn.Module):
    """Slopes that are powers of two, of both signs; shifts on a grid."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.prelu = nn.PReLU(channels)
        exponents = torch.randint(-4, 2, (channels,))
        self.prelu.weight.data = torch.exp2(exponents.float()) * torch.where(
            torch.rand(channels) < 0.5, -1, 1
        )
        self.before = nn.Parameter(torch.randint(-60, 60, (1, channels, 1, 1)) / 16)
        self.behind = nn.Parameter(torch.randint(-60, 60, (1, channels, 1, 1)) / 16)

    def forward(self, x: Tensor) -> Tensor:
        return self.prelu(x + self.before) + self.behind


def on_grid(net: Net, x: Tensor) -> Tensor:
    """A trunk on a grid of 1/16: every branch is rounded half up onto it."""
    x = net.grid(x + 1 / 32)
    x = x + net.grid(net.r(0.25 * net.a(net.s(x))) + 1 / 32)
    return x + net.grid(net.q(0.125 * net.b(net.t(x))) + 1 / 32)


@some_slow("seed", (0, 1, 2))
def test_a_trunk_on_a_grid_is_exact(seed: int) -> None:
    """Two residual blocks with RPReLU of powers of two: nothing is rounded but where the network says so."""
    net = made(lambda: Net(on_grid, grid=grid(), r=PowerPReLU(4), q=PowerPReLU(4)), seed)
    design = check_exact(net, SHAPE, seed, cpp=seed == 0)
    assert kernels(design).count("TwoSlopeUnit") == 3


def test_many_bits_behind_a_curve_are_refused() -> None:
    net = made(lambda: Net(lambda n, x: n.grid(n.f(n.a(n.s(x)))), grid=grid(16, 12), f=affine(4)), 0)
    with pytest.raises(ModelError, match="steps is too wild"):
        lower(load(nn.Sequential(net.input, net.stem, nn.Tanh(), net.grid).eval(), np.zeros((1, *SHAPE))))


@pytest.mark.slow
@pytest.mark.parametrize(
    "last", (levels(11, step=1 / 256), levels(11, signed=True, step=1 / 256), grid(10, 7)), ids=str
)
def test_lines_that_leave_a_grid_are_cut_off(last: QuantIdentity) -> None:
    """Of both signs, with a quantizer whose ends the values pass: far more steps than are built."""
    design = check_exact(seeded(lambda: body(affine(4), last), 0), IMAGE, 0, cpp=True)
    assert kernels(design)[-2:] == ["TwoSlopeUnit", "ShiftUnit"]


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 9999), st.integers(0, 5), st.sampled_from((12, 200, 3000)))
def test_exact_lines_are_found(seed: int, shift: int, reach: int) -> None:
    """Two lines in integers that visibly meet, rounded down, are found again to the last unit."""
    random = np.random.default_rng(seed)
    points = np.arange(-reach, reach + 1)
    slopes = random.integers(-40, 41, (2, 4))
    slopes[1] += np.where(np.abs(slopes[1] - slopes[0]) < 1 << shift, 2 << shift, 0)
    knee = random.integers(-reach * 3 // 4, reach * 3 // 4, 4)
    constant = random.integers(-5000, 5000, 4) << shift
    below, above = ((slope * (points[:, None] - knee) + constant) >> shift for slope in slopes)
    values = np.where(points[:, None] < knee, below, above)
    lines = exact_lines(points, values)
    assert lines is not None
    np.testing.assert_array_equal(lines(np.repeat(points[:, None], 4, axis=1)), values)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 9999), st.integers(0, 5), st.integers(300, 3000))
def test_lines_are_found_between_limits(seed: int, shift: int, limit: int) -> None:
    """Lines of either direction; some reach no limit, some both, and two lie beyond one."""
    random = np.random.default_rng(seed)
    points = np.arange(-400, 401)
    slopes = np.append(random.integers(-60, 61, 6), (0, 0))
    constants = np.append(random.integers(-200, 201, 6) * slopes[:6], (-4000 << shift, 4000 << shift))
    values = np.clip((points[:, None] * slopes + constants) >> shift, -limit, limit)
    lines = exact_lines(points, values, Limits(-limit, limit))
    assert lines is not None
    np.testing.assert_array_equal(np.clip(lines(points[:, None]), -limit, limit), values)


def test_powers_of_two_take_one_term() -> None:
    points = np.arange(-300, 301)
    values = np.where(points < 7, -(points - 7) >> 2, (points - 7) << 1)[:, None]
    lines = exact_lines(points, values)
    assert lines is not None and lines.shift == 2 and lines.terms[0].shape[1] == 1


def test_rounding_half_to_even_is_no_line() -> None:
    points = np.arange(-300, 301)
    assert exact_lines(points, np.rint(points / 4).astype(np.int64)[:, None]) is None


def test_signs_need_no_gate() -> None:
    net = made(lambda: Net(lambda n, x: n.a(n.s(x))), 0)
    assert "GateStreams" not in kernels(lower(load(net, np.zeros((1, *SHAPE)))))
    assert isinstance(sign(), QuantIdentity)
