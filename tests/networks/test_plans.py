"""What real networks are planned to do on a PYNQ-Z2, before any synthesis."""

from __future__ import annotations

import pytest

from bnn2fpga.boards.board import USABLE, load_board
from bnn2fpga.build.compiler import Options, Pipeline
from bnn2fpga.design.graph import Design
from bnn2fpga.planning.folding.fold import Plan, plan
from bnn2fpga.planning.timing.fifo_depths import GRANULE
from bnn2fpga.planning.timing.schedule import deadlock, interval
from bnn2fpga.planning.timing.steady_state import Steady
from bnn2fpga.planning.usage import resources, shares
from tests.bounded import bounded_interval
from tests.networks.shared import shared_file

BOARD = load_board("pynq-z2")


def lowered(name: str) -> Design:
    return Pipeline(shared_file(f"models/{name}"), Options()).lowered


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "fps", "clock"),
    [
        ("bnnpynq_lfcW1A1.npz", 300_000, 100),
        ("bnnpynq_cnvW1A1.npz", 10_000, 100),
        ("fracnet_cifar10.npz", 10_000, 100),
        ("bnnpynq_cnvW1A1.npz", 40_000, 100),
    ],
)
def test_frame_rates_that_fit(name: str, fps: float, clock: float) -> None:
    """Four fifths of the chip at most, no DSP; at which clock a design routes is not known before."""
    found = plan(lowered(name), BOARD, clock, fps)
    used = resources(found.design)
    assert clock * 1e6 / interval(found.design) >= fps
    assert max(shares(used, BOARD).values()) <= USABLE
    assert used.dsps == 0
    assert found.gap <= 1e-3
    print(f"{name}: {clock * 1e6 / interval(found.design):,.0f} frames/s at {clock:g} MHz, {used}")


def test_weights_move_into_luts_where_block_ram_runs_out() -> None:
    found = plan(lowered("bnnpynq_lfcW1A1.npz"), BOARD, 100, 300_000)
    stores = {node.kernel.folding.get("weights_in") for node in found.design.nodes}
    assert {"logic", "block"} <= stores


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "fps"),
    [
        ("TFC_1W1A.onnx", 100_000),
        ("bnnpynq_lfcW1A1.npz", 100_000),
        ("bnnpynq_cnvW1A1.npz", 3000),
        ("fracnet_cifar10.npz", 2000),
    ],
)
def test_planned_fifos_keep_the_pace_and_none_is_too_deep(name: str, fps: float) -> None:
    """Half of any FIFO that takes more than the smallest memory delays what leaves the design."""
    design = plan(lowered(name), BOARD, 100, fps).design
    steady = Steady.of(design)
    assert steady
    for place, edge in enumerate(design.edges):
        if edge.depth > GRANULE:
            assert steady.shrink(place, edge.depth // 2), f"{edge.source} to {edge.target} could be halved"


@pytest.mark.parametrize(("name", "fps"), [("TFC_1W1A.onnx", 100_000), ("bnnpynq_lfcW1A1.npz", 100_000)])
def test_planned_fifos_keep_the_pace_frame_by_frame(name: str, fps: float) -> None:
    found: Plan = plan(lowered(name), BOARD, 100, fps)
    assert bounded_interval(found.design) == interval(found.design)
    assert deadlock(found.design) == ()
