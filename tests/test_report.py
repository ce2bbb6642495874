"""The page of a report: whole, of the JSON alone, asking for nothing outside itself, and well to look at."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bnn2fpga.boards.board import load_board
from bnn2fpga.build.design_facts import describe, planned
from bnn2fpga.build.ladder import Ladder, compare_integers
from bnn2fpga.build.versions import versions
from bnn2fpga.cli.tables import host_line
from bnn2fpga.design.graph import Design
from bnn2fpga.design.host import HostWork
from bnn2fpga.planning.estimate import estimate
from bnn2fpga.planning.roofline import luts_per_operation, roofline
from bnn2fpga.planning.timing.fifo_needs import fifo_needs
from bnn2fpga.report.pages import page, uses, write_pages
from bnn2fpga.report.report_file import FORMAT, markdown
from bnn2fpga.report.roofline_plot import roofline_svg, with_prefix
from tests.chromium import Page, browse, find_chromium
from tests.random_designs import random_design
from tests.test_codegen import tiny

Facts = dict[str, Any]
BOARD = load_board("pynq-z2")
VOID = {"meta", "br", "hr", "img", "input", "link"}
ACTIVE = {"script", "link", "img", "iframe", "object", "embed", "base", "image", "video", "audio", "form"}
FETCHING = {"src", "srcset", "data", "action", "formaction", "poster", "background", "xlink:href", "ping"}


def facts_of(design: Design) -> Facts:
    """A report as a build writes it, with one level, which is equal."""
    integers = np.arange(6).reshape(2, 3)
    described = describe(design)
    estimated = planned(estimate(design, BOARD, "conv takes 1 cycle"), fifo_needs(design))
    board = BOARD.model_dump(exclude={"preset", "sources"})
    facts = {
        "format": FORMAT,
        "design": described,
        "estimate": estimated,
        "board": board,
        "roofline": roofline(described, estimated, board),
        "transformations": [
            {"name": "Fold", "nodes_before": 3, "nodes_after": 2, "deviation": 0.0, "changed": True}
        ],
        "ladder": Ladder((compare_integers("C++", "numpy", integers, integers),)).as_dict()
        | {"accuracy": {"frames": 2, "correct": {"integer design": 1}}},
        "synthesis": None,
        "hls": None,
        "implementation": None,
        "routing": None,
        "versions": versions(),
        "digests": {"files": {"model": "ab" * 32}, "steps": {"load": "cd" * 32}},
    }
    found: Facts = json.loads(json.dumps(facts))
    return found


class Parsed(HTMLParser):
    """Tags, attributes and texts of a page, whose tags must be closed in their order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def values(self, name: str) -> Iterator[str]:
        return (attributes[name] for _, attributes in self.tags if name in attributes)


def check_alone(text: str) -> Parsed:
    """Parses a page that runs nothing and fetches nothing, and whose links stay within it."""
    parsed = Parsed(text)
    assert not {tag for tag, _ in parsed.tags} & ACTIVE
    for _, attributes in parsed.tags:
        assert not FETCHING & attributes.keys()
        assert not any(name.startswith("on") for name in attributes)
    ids = list(parsed.values("id"))
    assert len(set(ids)) == len(ids)
    assert all(link.startswith("#") and link[1:] in ids for link in parsed.values("href"))
    assert not re.search(r"url\((?!#)|@import", text)
    return parsed


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000))
def test_every_kernel_is_on_the_page_with_its_error(seed: int) -> None:
    facts = facts_of(random_design(seed))
    text = check_alone(page(facts)).text
    table = text[text.index("from input to output") :]
    for kernel in facts["estimate"]["kernels"]:
        found = kernel["resources"]
        off = found["luts"] * (kernel["error"] or 0)
        luts = f"{found['luts'] + found['lutrams']:,}" + (f" ± {off:,.0f}" if off >= 0.5 else "")
        row = f"{kernel['name']}{kernel['kernel']}"
        assert row in table and luts in table[table.index(row) :]
    total = facts["estimate"]["total"]
    assert f"{total['luts'] + total['lutrams']:,} ± {facts['estimate']['luts_off']:,}" in text


def hostile(value: Any) -> Any:
    """The same JSON with every text in it an attack on the page."""
    if isinstance(value, dict):
        return {key: hostile(item) for key, item in value.items()}
    if isinstance(value, list):
        return [hostile(item) for item in value]
    return f"</style><script src='//x'>\"&{value}" if isinstance(value, str) else value


def test_texts_of_the_json_are_texts_of_the_page() -> None:
    facts = hostile(facts_of(random_design(1)))
    parsed = check_alone(page(facts))
    assert facts["design"]["name"] in parsed.text and facts["estimate"]["limit"] in parsed.text


def test_first_screen() -> None:
    first, _, _ = Parsed(page(facts_of(tiny()))).text.partition("Estimated before synthesis")
    for expected in ("1 of 1 comparisons equal", "50.00 %", "frames/s", "µs", "TUL PYNQ-Z2"):
        assert expected in first


def test_a_level_that_differs_is_told_with_its_first_difference() -> None:
    facts = facts_of(tiny())
    expected, found = np.zeros((3, 2), int), np.array([[0, 0], [0, 7], [0, 7]])
    levels = Ladder((compare_integers("RTL", "numpy", expected, found),))
    facts["ladder"] = json.loads(json.dumps(levels.as_dict() | {"accuracy": None}))
    text = Parsed(page(facts)).text
    assert "✗ Levels differ" in text and "1 of 3 frames equal" in text
    assert "first difference: frame 1, place 1: 7 instead of 0" in text and "had no labels" in text


def test_a_rounded_level_is_told_from_an_equal_one() -> None:
    facts = facts_of(tiny())
    level = facts["ladder"]["levels"][0]
    facts["ladder"]["levels"].append(level | {"name": "numpy", "equal": 1, "tolerated": True})
    text = Parsed(page(facts)).text
    assert "1 of 1 comparisons equal" in text and "1 of 2 labels as before rounding" in text


def test_what_tools_found_stands_beside_the_plan() -> None:
    facts = facts_of(tiny())
    facts["synthesis"] = {
        "tool": "Yosys 0.23",
        "luts": 700, "lutram_luts": 77, "flipflops": 5, "bram36": 1.5, "carry4": 0, "dsps": 0
    }  # fmt: skip
    facts["hls"] = {
        "tool": "vitis-run 2023.2",
        "luts": 888, "flipflops": 6, "bram18": 3, "dsps": 0, "interval": 9, "latency": 19
    }  # fmt: skip
    paths = [{"kind": "setup", "slack_ns": 1.25, "start": "a/C", "end": "b/D"}]
    facts["implementation"] = {
        "tool": "vivado 2023.2",
        "timing": {"setup_ns": 1.25, "hold_ns": 0.03, "paths": paths},
        "used": {"luts": [999, 53200], "flipflops": [7, 106400], "bram36": [2, 140], "dsps": [0, 220]},
    }
    facts["routing"] = {
        "tool": "nextpnr-xilinx",
        "seed": 7,
        "clocks": [{"name": "clk", "fmax_mhz": 108.54}],
        "used": {"SLICE_LUTX": [12, 106400]},
        "critical_path": {"words": "longest path from Conv_0.tile[1] to mover.left"},
        "clock_mhz": 100,
        "margin": 0.05,
        "untimed": "block RAM",
        "fps": 1234.5,
    }
    found = {use.name: dict(use.later) for use in uses(facts)}
    assert found["LUT"] == {"Yosys 0.23": 777, "vitis-run 2023.2": 888, "vivado 2023.2, routed": 999}
    assert found["block RAM"] == {"Yosys 0.23": 1.5, "vitis-run 2023.2": 1.5, "vivado 2023.2, routed": 2}
    assert found["LUT as memory"] == {"Yosys 0.23": 77}
    for text in (check_alone(page(facts)).text, markdown(facts)):
        for expected in (
            "Yosys 0.23",
            "77",
            "888",
            "999",
            "1.250 ns",
            "108.54 MHz",
            "by nextpnr-xilinx",
            "seed 7",
            "5 %",
            "longest path from Conv_0.tile[1] to mover.left",
            "SLICE_LUTX",
            "a/C",
        ):
            assert expected in text


def test_markdown_tells_errors_versions_and_digests() -> None:
    text = markdown(facts_of(tiny()))
    assert f"| numpy | {np.__version__} |" in text and "ab" * 32 in text and "cd" * 32 in text


# roofline


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_a_design_is_below_the_roof_of_its_folding(seed: int) -> None:
    found = facts_of(random_design(seed))["roofline"]
    planned, streamed = found["points"]
    assert planned["rate"] <= found["folding_roof"] * (1 + 1e-9)
    assert streamed["intensity"] <= planned["intensity"] and streamed["rate"] <= planned["rate"]
    assert streamed["rate"] <= streamed["intensity"] * found["memory_roof"] * (1 + 1e-9)


def test_roofline_of_a_design_that_is_counted_by_hand() -> None:
    """Three vectors of four by two rows: 24 operations in 12 clocks; six beats of a byte in, six out."""
    found = facts_of(tiny())["roofline"]
    assert (found["frame_bytes"], found["weight_bytes"]) == (6, 1)
    assert found["memory_roof"] == 800e6 and found["folding_roof"] == 200e6
    planned, streamed = found["points"]
    assert planned["intensity"] == 24 / 6 and streamed["intensity"] == 24 / 7
    assert found["compute_roof"] == pytest.approx(0.8 * 53200 * 100e6 / luts_per_operation(), rel=1e-3)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_a_design_is_below_the_slope_of_its_memory_port(seed: int) -> None:
    found = facts_of(random_design(seed))["roofline"]
    for point in found["points"]:
        assert point["rate"] <= point["intensity"] * found["memory_roof"] * (1 + 1e-9)


def test_says_what_the_host_computes() -> None:
    facts = facts_of(tiny())
    assert "On the host" not in page(facts)
    facts["design"]["host"] = [
        asdict(HostWork("fc_7", "MatMul", False, 645, 640, 5)),
        asdict(HostWork("soft_8", "Softmax", False, 0, 0, 5)),
    ]
    ties = {"compared": "labels, float ties", "tolerated": True, "name": "driver", "equal": 1}
    facts["ladder"]["levels"].append(facts["ladder"]["levels"][0] | ties)
    text = check_alone(page(facts)).text
    for part in ("645 parameters, 640 multiply-accumulates a frame", "fc_7", "soft_8", "behind the core"):
        assert part in text
    assert "Floats added in another order, labels: 1 of 2 frames as numpy" in text
    assert "| fc_7 | MatMul | behind the core | 645 | 640 | 5 |" in markdown(facts)
    assert host_line(facts["design"]["host"]).startswith("fc_7 in floating point: 645 parameters, 640 mult")


def test_a_design_without_operations_has_no_roofline() -> None:
    facts = facts_of(tiny())
    for point in facts["roofline"]["points"]:
        point["rate"] = point["intensity"] = 0.0
    assert roofline_svg(facts["roofline"]) == "" and 'id="roofline"' not in page(facts)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 "), (7, "7 "), (999, "999 "), (1000, "1 k"), (2.95e12, "2.95 T"), (1e30, "1e+12 E")],
)
def test_prefixes(value: float, text: str) -> None:
    assert with_prefix(value) == text


# in a browser


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("Chromium is not installed (apt install chromium)")
    with browse(chromium, tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """The page of a random design, by its seed."""
    folder = tmp_path_factory.mktemp("pages")

    def write(seed: int) -> Path:
        place = folder / str(seed)
        place.mkdir(exist_ok=True)
        write_pages(place, facts_of(random_design(seed)))
        return place / "index.html"

    return write


@pytest.mark.parametrize("width", [1280, 420])
def test_nothing_is_wider_than_the_window(tab: Page, shown: Callable[[int], Path], width: int) -> None:
    tab.open(shown(1), width, "light")
    assert tab.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)") is None
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    wide = "[...document.querySelectorAll('section, .tile, .verdict, nav, h1')]"
    assert tab.evaluate(f"Math.max(...{wide}.map(one => one.getBoundingClientRect().right))") <= width
    drawing = "document.querySelector('.picture svg').getBoundingClientRect().width"
    assert tab.evaluate(drawing) > 250


def test_light_and_dark(tab: Page, shown: Callable[[int], Path], tmp_path: Path) -> None:
    """Dark ink on light paper and the reverse, no complaint, no request but for the page itself."""
    address = shown(2)
    pictures = {}
    tab.requests.clear()
    for scheme in ("light", "dark"):
        tab.open(address, 1280, scheme)
        path = tmp_path / f"{scheme}.png"
        path.write_bytes(tab.picture())
        pictures[scheme] = np.asarray(Image.open(path).convert("L"), dtype=float)
    assert pictures["light"].shape == pictures["dark"].shape
    assert pictures["light"].mean() > 200 and pictures["dark"].mean() < 60
    assert set(tab.requests) == {address.resolve().as_uri()} and tab.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out(tab: Page, shown: Callable[[int], Path], scheme: str) -> None:
    """A contrast of 4.5 to 1 (WCAG 2.1, 1.4.3) of every colour of text against the paper."""
    tab.open(shown(3), 1280, scheme)
    for card, inks in {
        "--card": ("--ink", "--dim", "--slow", "--bar", "--good", "--warn", "--bad"),
        "--page": ("--ink", "--dim", "--bar"),
        "--good-card": ("--good", "--ink"),
        "--warn-card": ("--warn", "--ink"),
        "--bad-card": ("--bad", "--ink"),
    }.items():
        for ink in inks:
            assert contrast(colour(tab, ink), colour(tab, card)) >= 4.5, (ink, card)


def colour(tab: Page, name: str) -> tuple[int, ...]:
    text = tab.evaluate(f"getComputedStyle(document.documentElement).getPropertyValue('{name}')").strip()
    return tuple(bytes.fromhex(text.removeprefix("#")))


def contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """WCAG 2.1's ratio of relative luminances."""

    def luminance(rgb: tuple[int, ...]) -> float:
        parts = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in rgb]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
