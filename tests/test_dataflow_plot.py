"""The picture of a design: everything is there, nothing lies on anything else."""

from __future__ import annotations

from itertools import combinations
from typing import Any
from xml.etree import ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion

from bnn2fpga.build.compiler import Options, Pipeline
from bnn2fpga.build.design_facts import describe
from bnn2fpga.report.dataflow_layout import end_name, lay_out
from bnn2fpga.report.dataflow_plot import dataflow_svg, stream_label
from tests.networks.shared import shared_file
from tests.random_designs import random_design
from tests.test_codegen import tiny

SVG = "{http://www.w3.org/2000/svg}"
SEEDS = st.integers(0, 10_000)


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, Any]:
    """Any graph without cycles, as `describe` gives it: streams over many ranks, joins of joins."""
    kernels: list[dict[str, Any]] = []
    edges: list[dict[str, Any]] = []
    ports: dict[str | None, int] = {}

    def connect(source: str | None, target: str | None, target_port: int) -> None:
        port = ports.get(source, 0)
        ports[source] = port + 1
        ends = {"source": source, "source_port": port, "target": target, "target_port": target_port}
        lanes = draw(st.sampled_from((1, 128)))
        rest = {"type": "uint4", "lanes": lanes, "bits": 4 * lanes, "shape": [lanes], "depth": 2}
        edges.append(ends | rest)

    for number in range(draw(st.integers(1, 12))):
        sources = draw(st.lists(st.integers(-1, number - 1), min_size=1, max_size=3))
        name = f"k{number}"
        for port, source in enumerate(sources):
            connect(None if source < 0 else f"k{source}", name, port)
        folding = draw(st.sampled_from(({}, {"pe": 2})))
        lanes = [{"lanes": 1}]
        kernels.append(
            {"name": name, "kernel": "K", "folding": folding, "cycles": 1 + number, "inputs": lanes}
        )
        kernels[-1]["outputs"] = lanes
    ends = [kernel["name"] for kernel in kernels if kernel["name"] not in ports]
    for port, name in enumerate(ends):
        connect(name, None, port)
    return {"name": "any", "kernels": kernels, "edges": edges}


def parsed(design: dict[str, Any]) -> ElementTree.Element:
    return ElementTree.fromstring(dataflow_svg(design))


def boxes(svg: ElementTree.Element) -> dict[str, tuple[float, float, float, float]]:
    """What is shown when the mouse is on it, and left, top, right, bottom."""
    found = {}
    for group in svg.iter(f"{SVG}g"):
        if (place := group.get("transform")) is not None:
            left, top = map(float, place.removeprefix("translate(").removesuffix(")").split())
            box = group.find(f"{SVG}rect[@class='box']")
            assert box is not None
            width, height = float(box.attrib["width"]), float(box.attrib["height"])
            found[group.findtext(f"{SVG}title", "")] = (left, top, left + width, top + height)
    return found


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_every_kernel_and_every_stream_is_drawn(seed: int) -> None:
    design = describe(random_design(seed))
    svg = parsed(design)
    tips = [group.findtext(f"{SVG}title", "") for group in svg.iter(f"{SVG}g")]
    for kernel in design["kernels"]:
        (tip,) = [tip for tip in tips if tip.startswith(f"{kernel['name']}: {kernel['kernel']}")]
        assert tip.endswith(f" {kernel['cycles']:,} cycles a frame")
        assert all(f"{value}" in tip for value in kernel["folding"].values())
    labels = sorted(text.text or "" for text in svg.iter(f"{SVG}text") if text.get("class") == "label")
    assert labels == sorted(stream_label(edge) for edge in design["edges"])
    for edge in design["edges"]:
        ends = f"{edge['source'] or 'outside'}[{edge['source_port']}] → {edge['target'] or 'outside'}"
        assert any(tip.startswith(ends) for tip in tips)


@settings(max_examples=100, deadline=None)
@given(graphs())
def test_boxes_are_apart_and_inside(design: dict[str, Any]) -> None:
    svg = parsed(design)
    found = boxes(svg)
    width, height = float(svg.attrib["width"]), float(svg.attrib["height"])
    for left, top, right, bottom in found.values():
        assert 0 <= left < right <= width and 0 <= top < bottom <= height
    for one, other in combinations(found.values(), 2):
        assert one[2] < other[0] or other[2] < one[0] or one[3] < other[1] or other[3] < one[1]


@settings(max_examples=300, deadline=None)
@given(graphs())
def test_streams_run_down_tracks_of_their_own(design: dict[str, Any]) -> None:
    """No stream passes a kernel that it does not reach, and no two share a place."""
    layout = lay_out(design)
    taken = {(place.rank, place.track) for place in (*layout.places.values(), *layout.ends.values())}
    assert len(taken) == len(layout.places) + len(layout.ends)
    for edge, track in zip(design["edges"], layout.tracks, strict=True):
        source, target = (
            layout.ends[end_name(edge, end)] if edge[end] is None else layout.places[edge[end]]
            for end in ("source", "target")
        )
        assert source.rank < target.rank
        passed = {(rank, track) for rank in range(source.rank + 1, target.rank)}
        assert not passed & taken
        taken |= passed


def test_the_slowest_kernels_are_marked() -> None:
    design = describe(random_design(3))
    most = max(kernel["cycles"] for kernel in design["kernels"])
    marked = [group for group in parsed(design).iter(f"{SVG}g") if "slowest" in group.get("class", "")]
    assert len(marked) == sum(kernel["cycles"] == most for kernel in design["kernels"])


def test_names_are_text() -> None:
    design = describe(tiny())
    name = "<script>alert('&\"')</script>"
    text = dataflow_svg(
        design
        | {"name": name, "kernels": [design["kernels"][0] | {"name": name}]}
        | {
            "edges": [
                edge | {end: name for end in ("source", "target") if edge[end] is not None}
                for edge in design["edges"]
            ]
        }
    )
    assert "<script" not in text
    assert any(tip.startswith(f"{name}: XnorMvu") for tip in boxes(ElementTree.fromstring(text)))


def test_a_kernel_may_be_called_like_the_outside() -> None:
    design = describe(tiny())
    renamed = {"kernels": [design["kernels"][0] | {"name": "in0"}]}
    edges = [
        edge | {end: "in0" for end in ("source", "target") if edge[end] is not None}
        for edge in design["edges"]
    ]
    assert len(boxes(parsed(design | renamed | {"edges": edges}))) == 3


def test_drawing(snapshot: SnapshotAssertion) -> None:
    assert dataflow_svg(describe(tiny())).partition("</style>")[2] == snapshot


def test_tfc() -> None:
    model = shared_file("models/TFC_1W1A.onnx")
    design = describe(Pipeline(model, Options(fps=1000)).folded)
    assert len(boxes(parsed(design))) == len(design["kernels"]) + 2
