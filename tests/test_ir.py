"""Types, streams and designs: what they hold, and what is said about those that cannot be."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn2fpga.design import graph
from bnn2fpga.design.folding import divisors
from bnn2fpga.design.graph import Design, Edge, Node, Port
from bnn2fpga.design.integers import BIPOLAR, TERNARY, IntType
from bnn2fpga.design.stream import Stream
from bnn2fpga.errors import BuildError, FoldingError
from bnn2fpga.kernels.stream_fork import StreamFork
from tests.contract import int_types, random_values
from tests.kernels.designs import conv_net, forked, frames_for, outputs_of

PROPERTY = settings(max_examples=200, deadline=None)
NUMBERS = st.integers(-(2**31), 2**31 - 1) | st.integers(-9, 9)


# IntType


@PROPERTY
@given(NUMBERS, NUMBERS)
def test_holding_is_minimal_and_holds(a: int, b: int) -> None:
    low, high = min(a, b), max(a, b)
    kind = IntType.holding(low, high)
    assert kind.low <= low <= high <= kind.high
    assert kind.signed == (low < 0)
    if kind.bits > 1:
        narrower = replace(kind, bits=kind.bits - 1)
        assert not narrower.low <= low or not high <= narrower.high


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0, 0, "uint1"),
        (-1, 0, "int1"),
        (-1, 1, "int2"),
        (0, 255, "uint8"),
        (-128, 127, "int8"),
        (3, 8, "uint4"),
    ],
)
def test_holding_by_example(low: int, high: int, text: str) -> None:
    assert str(IntType.holding(low, high)) == text


@PROPERTY
@given(int_types(32))
def test_a_type_lists_its_values(kind: IntType) -> None:
    assert kind.low < kind.high
    assert kind.low + kind.step * (kind.levels - 1) == kind.high
    assert np.iinfo(kind.dtype).min <= kind.low <= kind.high <= np.iinfo(kind.dtype).max
    smaller = {np.int8: None, np.int16: np.int8, np.int32: np.int16, np.int64: np.int32}[kind.dtype]
    if smaller:
        assert not np.iinfo(smaller).min <= kind.low or not kind.high <= np.iinfo(smaller).max
    ends = np.array([kind.low, kind.high], np.int64)
    assert kind.check(ends, "here").tolist() == ends.tolist()
    assert kind.check(ends, "here").dtype == kind.dtype
    for outside in (kind.low - 1, kind.high + 1):
        with pytest.raises(BuildError) as caught:
            kind.check(np.array([kind.low, outside], np.int64), "here")
        assert str(caught.value) == (f"here: value {outside} is outside {kind} ({kind.low} to {kind.high})")


def test_named_types() -> None:
    assert (BIPOLAR.low, BIPOLAR.high, BIPOLAR.levels, str(BIPOLAR)) == (-1, 1, 2, "bipolar")
    assert (TERNARY.low, TERNARY.high, TERNARY.levels, str(TERNARY)) == (-1, 1, 3, "int2n")
    with pytest.raises(BuildError) as caught:
        BIPOLAR.check(np.array([1, 0, -1]), "there")
    assert str(caught.value) == "there: value 0 is not bipolar; legal: -1, 1"


@pytest.mark.parametrize(
    ("bits", "way_out"),
    [(0, ""), (-1, ""), (33, "; quantize to fewer bits in front of it, or take fewer trunk_bits")],
)
def test_other_widths_are_refused(bits: int, way_out: str) -> None:
    with pytest.raises(BuildError) as caught:
        IntType(bits)
    refused = f"an integer type of {bits} bits is not supported; legal: 1 to 32{way_out}"
    assert str(caught.value) == refused


@pytest.mark.parametrize("fields", [{"bits": 2}, {"signed": True}, {"narrow": True}])
def test_bipolar_has_no_other_property(fields: dict[str, int]) -> None:
    with pytest.raises(BuildError) as caught:
        replace(BIPOLAR, **fields)
    assert str(caught.value) == "a bipolar type has one bit and no other property"


# Stream


@PROPERTY
@given(int_types(32), st.lists(st.integers(1, 4), min_size=1, max_size=3), st.data())
def test_pack_and_unpack_are_inverse(kind: IntType, shape: list[int], data: st.DataObject) -> None:
    stream = Stream(tuple(shape), kind, data.draw(st.sampled_from(divisors(shape[-1]))))
    frames = random_values(kind, (3, *shape), data.draw(st.integers(0, 999)))
    beats = stream.pack(frames)
    assert beats.shape == (3, stream.beats, stream.beat_bytes)
    assert stream.beats * stream.lanes == stream.size == stream.pixels * stream.channels
    back = stream.unpack(beats)
    assert back.dtype == kind.dtype
    np.testing.assert_array_equal(back, frames)
    # a beat as one little-endian number: lane 0 lowest, each lane in two's complement, nothing above
    for beat, lanes in zip(beats[0], frames[0].reshape(stream.beats, stream.lanes), strict=True):
        codes = [(int(v) + 1) // 2 if kind.bipolar else int(v) % (1 << kind.bits) for v in lanes]
        number = sum(code << (kind.bits * lane) for lane, code in enumerate(codes))
        assert int.from_bytes(beat.tobytes(), "little") == number


def test_what_is_no_stream() -> None:
    for shape in ((), (0,), (3, -1)):
        with pytest.raises(BuildError) as caught:
            Stream(shape, BIPOLAR)
        assert str(caught.value) == f"a stream of shape {shape} holds nothing"
    with pytest.raises(FoldingError) as refused:
        Stream((2, 6), BIPOLAR, 4)
    assert str(refused.value) == "lanes=4 does not divide 6 channels; legal: 1, 2, 3, 6"


# Design


def pair(*edges: Edge, names: tuple[str, str] = ("a", "b")) -> Design:
    """Two kernels of one input and one output each."""
    kernel = StreamFork((4,), IntType(3), 1)
    return Design("net", tuple(Node(name, kernel) for name in names), edges, conv_net().host)


STREAM = Stream((4,), IntType(3))
IN, A, B, OUT = Port(None), Port("a"), Port("b"), Port(None)
GOOD = (Edge(IN, A, STREAM), Edge(A, B, STREAM), Edge(B, OUT, STREAM))


def refusal(*edges: Edge, names: tuple[str, str] = ("a", "b")) -> str:
    with pytest.raises(BuildError) as caught:
        pair(*edges, names=names)
    return str(caught.value)


def test_good_edges_are_taken() -> None:
    assert pair(*GOOD).simulate([[1, 2, 3, 4]]).tolist() == [[1, 2, 3, 4]]


def test_unconnected_ports_are_refused() -> None:
    assert refusal(*GOOD[:2]) == "net: port b[0] is not connected"
    assert refusal(*GOOD[1:]) == "net: port a[0] is not connected"


def test_two_edges_on_a_port_are_refused() -> None:
    twice_read = Edge(A, Port(None, 1), STREAM)
    assert refusal(*GOOD, twice_read) == "net: port a[0] has two edges; insert a stream fork"
    twice_fed = Edge(Port(None, 1), B, STREAM)
    assert refusal(*GOOD, twice_fed) == "net: port b[0] has two edges; insert a stream fork"


@pytest.mark.parametrize(
    ("stream", "what"),
    [
        (Stream((4,), IntType(4)), "type uint4, not uint3"),
        (Stream((2, 4), IntType(3)), "size 8, not 4"),
        (Stream((4,), IntType(3), 2), "lanes 2, not 1"),
    ],
)
def test_ends_that_differ_are_refused(stream: Stream, what: str) -> None:
    assert refusal(GOOD[0], Edge(A, B, stream), GOOD[2]) == f"net: edge a[0] to b[0]: {what}"


def test_backward_edges_are_refused() -> None:
    around = (Edge(IN, B, STREAM), Edge(B, A, STREAM), Edge(A, OUT, STREAM))
    assert refusal(*around) == "net: edge b[0] to a[0] runs backwards"
    loop = (Edge(A, A, STREAM), Edge(IN, B, STREAM), Edge(B, OUT, STREAM))
    assert refusal(*loop) == "net: edge a[0] to a[0] runs backwards"


def test_equal_names_are_refused() -> None:
    assert refusal(*GOOD, names=("a", "a")) == "net: two kernels share a name"


@pytest.mark.parametrize(
    ("edge", "port"),
    [
        (Edge(Port("a", 1), Port(None, 1), STREAM), "a[1]"),
        (Edge(Port("ghost"), Port(None, 1), STREAM), "ghost[0]"),
        (Edge(Port(None, 1), Port("b", 7), STREAM), "b[7]"),
    ],
)
def test_ports_that_do_not_exist_are_refused(edge: Edge, port: str) -> None:
    assert refusal(*GOOD, edge) == f"net: an edge ends at port {port}, which does not exist"


def test_an_edge_may_view_a_frame_under_another_shape() -> None:
    flat = replace(GOOD[1], stream=Stream((2, 2), IntType(3)))
    squared = replace(GOOD[2], stream=Stream((2, 2), IntType(3)))
    design = pair(GOOD[0], flat, squared)
    assert design.simulate(np.arange(8).reshape(2, 4)).tolist() == [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]
    assert design.simulate(np.zeros((0, 4), int)).shape == (0, 2, 2)
    for edge, values in design.trace([[1, 2, 3, 4]]):
        assert values.shape == (1, *edge.stream.shape)


def test_simulate_refuses_other_shapes_ranges_and_floats() -> None:
    design = pair(*GOOD)

    def said(frames: object) -> str:
        with pytest.raises(BuildError) as caught:
            design.simulate(frames)
        return str(caught.value)

    assert said([[1, 2, 3]]) == "net: input of shape (1, 3) does not fit (N, 4)"
    assert said([1, 2, 3, 4]) == "net: input of shape (4,) does not fit (N, 4)"
    assert said(3) == "net: input of shape () does not fit (N, 4)"
    assert said([[1.0, 2.0, 3.0, 4.0]]) == ("net: the integer core takes integers, not float64; use run()")
    assert said([[inf] * 4]) == "net: the integer core takes integers, not float64; use run()"
    assert said([[True] * 4]) == "net: the integer core takes integers, not bool; use run()"
    assert said([[0, 1, 8, 0]]) == "net: input: value 8 is outside uint3 (0 to 7)"
    assert said([[0, 1, -1, 0]]) == "net: input: value -1 is outside uint3 (0 to 7)"
    # does not wrap around on the way to a signed type
    huge = np.array([[2**64 - 1, 0, 0, 0]], np.uint64)
    assert said(huge) == f"net: input: value {2**64 - 1} is outside uint3 (0 to 7)"


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32, np.uint64])
def test_simulate_takes_any_integer_array(dtype: type[np.integer]) -> None:
    assert pair(*GOOD).simulate(np.array([[1, 2, 3, 7]], dtype)).tolist() == [[1, 2, 3, 7]]


def test_simulate_gives_the_outputs_type_for_any_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    design = conv_net()
    frames = frames_for(design, 7, 1)
    whole = design.simulate(frames)
    assert (whole.shape, whole.dtype) == ((7, 4), design.outputs[0].stream.type.dtype)
    assert [design.simulate(frame[None])[0].tolist() for frame in frames] == whole.tolist()
    assert design.simulate(frames.reshape(7, -1)).tolist() == whole.tolist()
    assert design.simulate(frames[:0]).shape == (0, 4)
    # chunks of two frames, with a single one left over
    monkeypatch.setattr(graph, "MEMORY", 2 * max(edge.stream.size for edge in design.edges))
    assert design.simulate(frames).tolist() == whole.tolist()
    assert len(np.unique(whole, axis=0)) > 5, "the test's network always says the same"


def test_trace_shows_every_edge_in_its_type() -> None:
    design = conv_net()
    frames = frames_for(design, 3, 2)
    seen = dict(design.trace(frames))
    assert set(seen) == set(design.edges)
    for edge, values in seen.items():
        edge.stream.type.check(values, str(edge.source))
        assert values.shape == (3, *edge.stream.shape)
    np.testing.assert_array_equal(seen[design.outputs[0]], design.simulate(frames))


def test_edges_by_port_number() -> None:
    design = forked()
    assert [str(edge.target) for edge in design.outgoing("parted")] == ["left[0]", "right[0]"]
    assert [str(edge.source) for edge in design.outputs] == ["left[0]", "right[0]"]
    assert [str(edge.source) for edge in design.inputs] == ["outside[0]"]
    swapped = replace(design, edges=design.edges[::-1])
    assert swapped.outgoing("parted") == design.outgoing("parted")
    assert swapped.outputs == design.outputs
    assert [array.shape for array in outputs_of(design, frames_for(design, 2, 0))] == [(2, 2, 4), (2, 2, 6)]
    assert design["left"].outputs[0].shape == (2, 4)
