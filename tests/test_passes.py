"""Passes keep what a design computes, and folding keeps its promises."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise, product
from math import inf, lcm, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn2fpga.boards.board import USABLE, Board, load_board
from bnn2fpga.circuits.memory import fifo
from bnn2fpga.circuits.resources import Resources
from bnn2fpga.design.folding import WIDEST_BEAT
from bnn2fpga.design.graph import Design, Node, Port, Target
from bnn2fpga.design.integers import BIPOLAR, IntType
from bnn2fpga.design.kernel import Kernel
from bnn2fpga.design.layers import Copies, Dot, Map, Sum, WindowMax, Windows
from bnn2fpga.design.stream import Stream
from bnn2fpga.errors import FoldingError
from bnn2fpga.frontend.lowering.threshold_fusion import fuse_thresholds
from bnn2fpga.kernels import implement
from bnn2fpga.kernels.bases.matrix_vector import MatrixVector
from bnn2fpga.kernels.threshold import Threshold
from bnn2fpga.kernels.width_converter import WidthConverter
from bnn2fpga.planning.estimate import estimate
from bnn2fpga.planning.folding.fold import fold, plan
from bnn2fpga.planning.folding.integer_program import LUT_WEIGHT
from bnn2fpga.planning.folding.width_converters import converters, refold, without_converters
from bnn2fpga.planning.limits import FRAME, MAX_BEAT, PLACES, Limits
from bnn2fpga.planning.timing.fifo_depths import size_fifos
from bnn2fpga.planning.timing.schedule import frame_cycles, interval
from bnn2fpga.planning.usage import resources, shares
from tests.contract import random_steps, random_values, run_cpp
from tests.kernels.designs import (
    act,
    chain,
    connect,
    conv_net,
    dense_net,
    dot,
    forked,
    frames_for,
    outputs_of,
)
from tests.random_designs import random_design
from tests.some_slow import some_slow

BOARD = load_board("pynq-z2").model_copy(update={"hp_port_bits": 1 << 16})
"""With a memory port that limits nothing, so that kernels do."""
PROPERTY = settings(max_examples=40, deadline=None)


def same(one: Design, other: Design, seed: int = 0, count: int = 20) -> None:
    """Both compute the same."""
    frames = frames_for(one, count, seed)
    for a, b in zip(outputs_of(one, frames), outputs_of(other, frames), strict=True):
        np.testing.assert_array_equal(a, b)


def converter_names(design: Design) -> list[str]:
    return [node.name for node in design.nodes if isinstance(node.kernel, WidthConverter)]


def foldings_of(design: Design) -> st.SearchStrategy[dict[str, Kernel]]:
    """A random folding of every kernel."""
    return st.fixed_dictionaries(
        {node.name: st.sampled_from(list(node.kernel.foldings())) for node in without_converters(design)[0]}
    )


# widths

CONV = conv_net()
FORKED = forked()


@PROPERTY
@given(foldings_of(CONV), foldings_of(CONV), st.integers(0, 99))
def test_refold_keeps_the_meaning(first: dict[str, Kernel], second: dict[str, Kernel], seed: int) -> None:
    once = refold(CONV, first)
    same(CONV, once, seed)
    same(CONV, refold(once, second), seed)
    for name, kernel in first.items():
        assert once[name] is kernel


@PROPERTY
@given(foldings_of(FORKED), st.integers(0, 99))
def test_refold_keeps_the_meaning_of_every_branch(foldings: dict[str, Kernel], seed: int) -> None:
    same(FORKED, refold(FORKED, foldings), seed)


@PROPERTY
@given(foldings_of(CONV), foldings_of(CONV))
def test_converters_come_and_go(first: dict[str, Kernel], second: dict[str, Kernel]) -> None:
    """A design depends on its last foldings alone, and has converters where lanes differ and only there."""
    once = refold(CONV, first)
    assert refold(once, first) == once
    assert refold(once, {}) == once
    assert refold(refold(CONV, second), first) == once
    smallest = {node.name: node.kernel for node in CONV.nodes}
    assert refold(once, smallest) == refold(CONV, {})
    assert set(refold(CONV, {}).edges) == set(CONV.edges)
    expected = sum(
        len(converters(a.outputs[0], b.inputs[0])) for a, b in pairwise(first[n.name] for n in CONV.nodes)
    )
    assert len(converter_names(once)) == expected


@PROPERTY
@given(st.lists(st.integers(1, 4), min_size=3, max_size=3), st.booleans(), st.data())
def test_converters_join_any_lanes(shape: list[int], flattened: bool, data: st.DataObject) -> None:
    have = Stream(tuple(shape), IntType(3))
    wanted = Stream((have.size,), IntType(3)) if flattened else have
    if data.draw(st.booleans()):
        have, wanted = wanted, have
    have, wanted = (
        replace(
            s, lanes=data.draw(st.sampled_from([n for n in range(1, s.channels + 1) if s.channels % n == 0]))
        )
        for s in (have, wanted)
    )
    between = converters(have, wanted)
    frames = random_values(have.type, (2, *have.shape), 0)
    lanes, values = have.lanes, frames
    for kernel in between:
        assert kernel.inputs[0].lanes == lanes != kernel.outputs[0].lanes
        (values,) = kernel.compute(values.reshape(2, *kernel.inputs[0].shape))
        lanes = kernel.outputs[0].lanes
        assert kernel.cycles.interval <= max(have.beats, wanted.beats), "slower than both ends"
    assert lanes == wanted.lanes
    assert len(between) <= 2
    np.testing.assert_array_equal(values.ravel(), frames.ravel())


def test_converters_by_the_common_multiple_or_else_the_common_divisor() -> None:
    def path(kind: IntType, channels: int, before: int, after: int) -> list[int]:
        between = converters(Stream((channels,), kind, before), Stream((channels,), kind, after))
        return [before, *(kernel.outputs[0].lanes for kernel in between)]

    assert path(BIPOLAR, 24, 8, 8) == [8]
    assert path(BIPOLAR, 24, 8, 24) == [8, 24]
    assert path(BIPOLAR, 24, 8, 12) == [8, 24, 12]
    wide = lcm(64, 81)
    assert wide * 1 > WIDEST_BEAT
    assert path(BIPOLAR, wide, 64, 81) == [64, 1, 81]
    assert path(IntType(8), 24 * 32, 8 * 32, 12 * 32) == [256, 128, 384]


def test_no_folding_has_a_beat_that_is_too_wide() -> None:
    net = chain("wide", Stream((4, 4, 1024), IntType(8)), ("parted", lambda s, _: Copies(s, 1)))
    assert max(kernel.inputs[0].lanes for kernel in net["parted"].foldings()) * 8 == WIDEST_BEAT


def mixed_foldings() -> Design:
    """Convolution and fully connected units whose lanes meet in none, one and two converters."""
    fields = {
        "conv_window": {"lanes": 2},
        "conv": {"pe": 3, "simd": 6},
        "conv_act": {"pe": 2},
        "pool_window": {"lanes": 3},
        "pool": {"lanes": 6},
        "hidden": {"pe": 4, "simd": 8},
        "hidden_act": {"pe": 6},
        "scores": {"pe": 4, "simd": 4},
    }
    return refold(CONV, {name: replace(CONV[name], **values) for name, values in fields.items()})


@pytest.mark.parametrize("fused", [False, True])
def test_cpp_of_a_folded_network(fused: bool) -> None:
    design = mixed_foldings()
    assert {name[-1] for name in converter_names(design)} == {"0", "1"}
    if fused:
        whole = fuse_thresholds(CONV)
        kept = {n.name: replace(whole[n.name], **design[n.name].folding) for n in whole.nodes}
        design = refold(whole, kept)
    frames = frames_for(design, 6, 3)
    (found,) = run_cpp(design, frames)
    np.testing.assert_array_equal(found, CONV.simulate(frames))
    assert len(np.unique(found, axis=0)) > 3, "the test's network always says the same"


def test_cpp_of_two_outputs() -> None:
    fields = {"parted": {"lanes": 3}, "left": {"pe": 2, "simd": 2}, "right": {"pe": 3, "simd": 6}}
    design = refold(FORKED, {name: replace(FORKED[name], **values) for name, values in fields.items()})
    assert len(converter_names(design)) == 3
    frames = frames_for(design, 5, 4)
    for found, expected in zip(run_cpp(design, frames), outputs_of(FORKED, frames), strict=True):
        np.testing.assert_array_equal(found, expected)


# fuse


def test_fusing_keeps_the_meaning_and_leaves_no_threshold() -> None:
    fused = fuse_thresholds(CONV)
    assert [n.name for n in fused.nodes] == ["conv_window", "conv", "pool_window", "pool", "hidden", "scores"]
    for name, activation in (("conv", "conv_act"), ("hidden", "hidden_act")):
        assert fused[name].steps is CONV[activation].steps
    assert fused["scores"].steps is None
    same(CONV, fused)
    assert fuse_thresholds(fused) is fused


@PROPERTY
@given(foldings_of(CONV), st.integers(0, 99))
def test_fusing_a_folded_design_keeps_the_meaning(foldings: dict[str, Kernel], seed: int) -> None:
    """A threshold behind a width converter stays; the others give their lanes to the unit."""
    design = refold(CONV, foldings)
    fused = fuse_thresholds(design)
    same(CONV, fused, seed)
    for name, activation in (("conv", "conv_act"), ("hidden", "hidden_act")):
        behind = foldings[name].pe != foldings[activation].pe
        assert (activation in {node.name for node in fused.nodes}) == behind
        if not behind:
            assert fused[name].folding == foldings[name].folding


def test_what_is_not_fused() -> None:
    source = Stream((3, 4), BIPOLAR)
    rows = implement(Dot(source, random_values(BIPOLAR, (6, 4), 0), BIPOLAR))
    assert isinstance(rows, MatrixVector)
    (sums,) = rows.outputs
    flat = Stream((18,), sums.type)
    by_place = implement(Map(flat, random_steps(*rows.accumulator_range, 18, BIPOLAR, "mixed", 0)))
    ends = [(Port(None), Port("unit")), (Port("unit"), Port("act")), (Port("act"), Port(None))]
    other_channels = connect("other_channels", ends, [Node("unit", rows), Node("act", by_place)], source)
    assert fuse_thresholds(other_channels) is other_channels

    by_channel = Map(sums, random_steps(*rows.accumulator_range, 6, BIPOLAR, "mixed", 0))
    shared = connect(
        "shared",
        [
            (Port(None), Port("unit")),
            (Port("unit"), Port("parted")),
            (Port("parted", 0), Port("act")),
            (Port("parted", 1), Port(None, 1)),
            (Port("act"), Port(None, 0)),
        ],
        [Node("unit", rows), Node("parted", implement(Copies(sums, 2))), Node("act", implement(by_channel))],
        source,
    )
    assert fuse_thresholds(shared) is shared

    at_the_input = chain(
        "at_the_input",
        Stream((2, 3), IntType(4)),
        ("act", lambda s, _: Map(s, random_steps(0, 15, 3, BIPOLAR, "mixed", 0))),
    )
    assert fuse_thresholds(at_the_input) is at_the_input

    twice = chain(
        "twice",
        Stream((2, 3), BIPOLAR),
        dot("unit", 4, 0),
        act("first", IntType(2), 0),
        ("second", lambda s, _: Map(s, random_steps(0, 3, 4, BIPOLAR, "falling", 0))),
    )
    fused = fuse_thresholds(twice)
    assert [type(node.kernel) for node in fused.nodes[1:]] == [Threshold]
    same(twice, fused)


# fold

DENSE = fuse_thresholds(dense_net((24, 36, 12)))
CLOCK = 100.0


def board(**facts: int) -> Board:
    return BOARD.model_copy(update=facts)


def cost(used: Resources) -> float:
    """What `fold` calls cheap: shares of the board's LUTs and block RAM."""
    return LUT_WEIGHT * used.all_luts / BOARD.luts + used.bram36 / BOARD.bram36


def fits(design: Design, on: Board) -> bool:
    return max(shares(resources(design), on).values()) <= USABLE


def every_folding(design: Design) -> list[tuple[int, Design]]:
    """All combinations, with their intervals."""
    nodes = without_converters(design)[0]
    every = [
        refold(design, dict(zip([node.name for node in nodes], kernels, strict=True)))
        for kernels in product(*(node.kernel.foldings() for node in nodes))
    ]
    return [(interval(folded), folded) for folded in every]


def refusal(design: Design, on: Board, fps: float | None) -> str:
    with pytest.raises(FoldingError) as caught:
        fold(design, on, CLOCK, fps)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("pace", [20_000, 1234, 400, 237])
def test_fold_meets_the_frame_rate_and_keeps_the_meaning(pace: int) -> None:
    folded = fold(CONV, BOARD, CLOCK, CLOCK * 1e6 / pace)
    assert interval(folded) <= pace
    assert fits(folded, BOARD)
    assert folded.target == Target("pynq-z2", "xc7z020clg400-1", CLOCK)
    same(CONV, folded)


@pytest.mark.parametrize("sizes", [(24, 36), pytest.param((16, 24, 12), marks=pytest.mark.slow)])
def test_no_folding_is_cheaper(sizes: tuple[int, ...]) -> None:
    """Brute force over all foldings, converters and shallow FIFOs counted, at every pace."""
    dense = dense_net(sizes)
    every = [(pace, cost(resources(folded))) for pace, folded in every_folding(dense)]
    for pace in sorted({pace for pace, _ in every}):
        cheapest = min(one for reached, one in every if reached <= pace)
        found = fold(dense, BOARD, CLOCK, CLOCK * 1e6 / pace)
        assert interval(found) <= pace
        assert cost(resources(refold(found, {}))) <= 1.001 * cheapest


@pytest.mark.slow
def test_fold_without_a_frame_rate_is_the_fastest_that_fits() -> None:
    """Brute force over all foldings, on boards from too small to large enough for the fastest.

    None of them is full to the last dozen LUTs; there the FIFOs may decide, which the program does not see.
    """
    every = [(pace, resources(size_fifos(folded))) for pace, folded in every_folding(DENSE)]
    reached = set()
    for luts in [200, *range(410, 1500, 80)]:
        small = board(luts=luts)
        fitting = [pace for pace, used in every if max(shares(used, small).values()) <= USABLE]
        if fitting:
            folded = fold(DENSE, small, CLOCK)
            assert interval(folded) == min(fitting)
            assert fits(folded, small)
            reached.add(min(fitting))
        else:
            assert "nothing fits" in refusal(DENSE, small, None)
    assert len(reached) > 5


def paces_of(designs: Sequence[Node]) -> list[int]:
    return sorted({folded.cycles.interval for node in designs for folded in node.kernel.foldings()})


@pytest.mark.slow
@some_slow("bram36", [1, 140, 4, 6], 2)
@pytest.mark.parametrize("luts", [3000, 21_000, 30_000])
def test_no_faster_pace_fits_than_the_one_found(luts: int, bram36: int) -> None:
    """Deep weights need block RAM where a faster folding needs LUTs, so the faster one may fit alone."""
    deep = fuse_thresholds(dense_net((64, 256, 256, 64)))
    small = board(luts=luts, bram36=bram36)
    met = []
    for pace in paces_of(deep.nodes):
        try:
            folded = fold(deep, small, CLOCK, CLOCK * 1e6 / pace)
        except FoldingError as error:
            assert f"leave {pace:,} cycles a frame" in str(error)
        else:
            assert interval(folded) <= pace
            assert fits(folded, small)
            met.append(pace)
    if met:
        assert interval(fold(deep, small, CLOCK)) == met[0]
        assert met == [pace for pace in paces_of(deep.nodes) if pace >= met[0]], "what is slower is easier"
    else:
        assert refusal(deep, small, None).endswith("nothing fits on pynq-z2")


def test_too_fast_names_the_limiting_kernel_and_what_is_reachable() -> None:
    slow = chain("slow", Stream((8, 8, 2), BIPOLAR), dot("one", 4, 0), dot("two", -6, 1, IntType(2, True)))
    assert {node.name: min(k.cycles.interval for k in node.kernel.foldings()) for node in slow.nodes} == {
        "one": 64,
        "two": 1,
    }
    assert refusal(slow, BOARD, 5e6) == (
        "5,000,000 fps at 100 MHz leave 20 cycles a frame: one takes 64 cycles at its fastest folding; "
        "reachable: 1,562,500 fps on pynq-z2"
    )
    assert interval(fold(slow, BOARD, CLOCK, 1_562_500)) == 64
    assert refusal(slow, BOARD, 1_562_501).startswith(
        "1,562,501 fps at 100 MHz leave 63 cycles a frame: one "
    )


def test_too_large_names_the_largest_kernel_and_what_is_reachable() -> None:
    asked = CLOCK * 1e6
    wanted = fold(DENSE, BOARD, CLOCK, asked)
    assert interval(wanted) == 1
    needs = resources(wanted).all_luts
    small = board(luts=needs)
    best = fold(DENSE, small, CLOCK)
    reachable = CLOCK * 1e6 / interval(best)
    assert refusal(DENSE, small, asked) == (
        f"100,000,000 fps at 100 MHz leave 1 cycles a frame: {needs:,} LUT are needed of the "
        f"{USABLE * needs:,.1f} that may be used, most of it in fc0; "
        f"reachable: {reachable:,.0f} fps on pynq-z2"
    )
    assert interval(fold(DENSE, small, CLOCK, reachable)) == interval(best)


def test_a_board_that_holds_nothing() -> None:
    assert re.fullmatch(
        r"\d+ LUT are needed of the 80 that may be used, most of it in fc\d; nothing fits on pynq-z2",
        refusal(DENSE, board(luts=100), None),
    )
    assert re.fullmatch(
        r"1,000 fps at 100 MHz leave 100,000 cycles a frame: \d+ FF are needed of the 80 that may be used, "
        r"most of it in fc\d; nothing fits on pynq-z2",
        refusal(DENSE, board(flipflops=100), 1000),
    )


def test_limits_below_the_board_s() -> None:
    free = fold(DENSE, BOARD, CLOCK)
    few = fold(DENSE, BOARD, CLOCK, limits=Limits.of(BOARD, 800))
    assert resources(few).all_luts <= 800 < resources(free).all_luts
    assert interval(few) > interval(free)
    assert interval(fold(DENSE, BOARD, CLOCK, limits=Limits.of(BOARD, 800, 0))) >= interval(few)


def test_a_plan_for_the_open_tools_has_no_wide_beats_and_leaves_room() -> None:
    """What is given counts where it is less."""
    wide = fuse_thresholds(dense_net((400, 64, 10)))
    free, routable = (
        fold(wide, BOARD, CLOCK, limits=limits)
        for limits in (Limits.of(BOARD), Limits.of(BOARD).routable(BOARD))
    )
    assert max(edge.stream.bits for edge in free.edges) > MAX_BEAT
    assert max(edge.stream.bits for edge in routable.edges) <= MAX_BEAT
    assert Limits.of(BOARD).routable(BOARD).luts == pytest.approx(USABLE * BOARD.luts / PLACES - FRAME)
    assert Limits.of(BOARD, 100).routable(BOARD).luts == 100


def test_what_keeps_a_plan_from_being_faster() -> None:
    assert plan(DENSE, BOARD, CLOCK).limit == "fc0 takes 1 cycles at its fastest folding"
    small = plan(DENSE, BOARD, CLOCK, limits=Limits.of(BOARD, 800))
    assert re.fullmatch(r"\d+ cycles a frame: [\d,]+ LUT are needed of the 800 that may be .*", small.limit)
    assert small.gap <= 1e-3


def test_the_memory_port_limits_what_a_board_can_do() -> None:
    """Brute force over all foldings, those of the ports included."""
    every = [folded for _, folded in every_folding(DENSE)]
    for bits in (32, 64):
        narrow = board(hp_port_bits=bits)
        least = min(frame_cycles(folded, bits) for folded in every)
        found = plan(DENSE, narrow, CLOCK)
        assert found.limit == f"the memory port of {bits} bits takes {least} cycles for a frame"
        assert frame_cycles(found.design, bits) == least
        facts = estimate(found.design, narrow)
        assert facts.bottleneck == "the memory port" or facts.interval == least
        assert facts.fps == CLOCK * 1e6 / least
        assert frame_cycles(fold(DENSE, narrow, CLOCK, facts.fps), bits) <= least
        assert refusal(DENSE, narrow, 1.01 * facts.fps).endswith(
            f"the memory port of {bits} bits takes {least} cycles for a frame; "
            f"reachable: {facts.fps:,.0f} fps on pynq-z2"
        )


@pytest.mark.parametrize("seed", (1, 7))
def test_a_folding_whose_fifos_do_not_fit_is_left_out(seed: int) -> None:
    design = random_design(seed)
    fastest = fold(design, BOARD, CLOCK)
    kernels = refold(fastest, {})
    small = board(luts=int((resources(fastest).all_luts - 1) / USABLE))
    assert fits(kernels, small) and not fits(fastest, small)
    other = fold(design, small, CLOCK)
    assert interval(other) >= interval(fastest)
    assert fits(other, small)
    assert other.edges == size_fifos(other).edges


def test_folding_again_forgets_the_depths_before() -> None:
    folded = fold(random_design(1), BOARD, CLOCK, 100_000)
    assert max(edge.depth for edge in folded.edges) > 2
    assert fold(folded, BOARD, CLOCK, 100_000).edges == folded.edges


def test_too_large_names_the_fifos() -> None:
    """Three rows of 16 bits wait for a window of one bit."""
    source = Stream((32, 32, 32), IntType(16, signed=True))
    sign = implement(Map(source, random_steps(-(1 << 15), (1 << 15) - 1, 32, BIPOLAR, "rising", 0)))
    window = implement(Windows(sign.outputs[0], (3, 3), pads=(1, 1, 1, 1), pad_value=-1))
    pool = implement(WindowMax(window.outputs[0], 9))
    design = connect(
        "shortcut",
        [
            (Port(None), Port("parted")),
            (Port("parted", 0), Port("sign")),
            (Port("sign"), Port("window")),
            (Port("window"), Port("pool")),
            (Port("pool"), Port("add", 0)),
            (Port("parted", 1), Port("add", 1)),
            (Port("add"), Port(None)),
        ],
        [
            Node("parted", implement(Copies(source, 2))),
            Node("sign", sign),
            Node("window", window),
            Node("pool", pool),
            Node("add", implement(Sum(pool.outputs[0], source))),
        ],
        source,
    )
    text = refusal(design, board(bram36=1), None)
    assert text.startswith("1.5 BRAM are needed of the 0.8 that may be used, most of it in the FIFOs")


@pytest.mark.parametrize("fps", [0.0, -1.0, nan, inf])
def test_what_is_no_frame_rate(fps: float) -> None:
    assert refusal(DENSE, BOARD, fps) == f"fps={fps:g} is not a frame rate; legal: above 0, below 1e+12"


def test_a_board_without_dsps_is_no_obstacle() -> None:
    assert interval(fold(DENSE, board(dsps=0), CLOCK)) == interval(fold(DENSE, BOARD, CLOCK)) == 1
    assert shares(Resources(dsps=1), board(dsps=0))["DSP"] > USABLE


def test_interval_and_resources_are_those_of_the_kernels() -> None:
    design = mixed_foldings()
    assert interval(design) == max(node.kernel.cycles.interval for node in design.nodes)
    used = resources(design)
    fifos = sum((fifo(edge.depth, edge.stream.bits) for edge in design.edges), Resources())
    assert used == sum((node.kernel.resources for node in design.nodes), fifos)
    assert shares(Resources(35800, 17400, 53200, 70, 22), BOARD) == {
        "LUT": 1, "LUTRAM": 1, "FF": 0.5, "BRAM": 0.5, "DSP": 0.1
    }  # fmt: skip
