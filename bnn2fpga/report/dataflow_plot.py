"""The picture of a folded design: kernels as boxes, streams as lines with their width and FIFO depth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from bnn2fpga.files.templates import render
from bnn2fpga.report.dataflow_layout import Layout, Place, end_name, lay_out

UNIT = (264, 46)
"""Width and height of a kernel that is folded, in pixels."""
GLUE_HEIGHT = 22
"""Of a kernel whose lanes follow from its neighbours, such as a width converter."""
END = (84, GLUE_HEIGHT)
"""Width and height of an end."""
GAP = 44
"""Between ranks; a stream's label stands in it."""
MARGIN = 16
LETTER = 6.1
"""Width of a letter of the labels, as drawn by the widest of the fonts."""
LONGEST_NAME = 27
"""Letters of a name that fit into a box; the whole of it is shown when the mouse is on it."""


@dataclass(frozen=True)
class Box:
    """A kernel or an end, middle at x, top at y; `busy` is its cycles over the slowest kernel's."""

    name: str
    text: str
    cycles: str
    tip: str
    kind: str
    x: float
    y: float
    width: float
    height: float
    busy: float = 0.0


@dataclass(frozen=True)
class Wire:
    """A stream: the path, its label and where that stands, and what is shown when the mouse is on it."""

    path: str
    label: str
    x: float
    y: float
    tip: str


def dataflow_svg(design: Mapping[str, Any]) -> str:
    """An SVG of a design as `report.describe` gives it (design.json); it brings its own colours.

    From the input at the top to the output at the bottom. The slowest kernels are marked, and a bar in every
    box is its cycles a frame beside theirs. Light or dark is the reader's choice.
    """
    layout = lay_out(design)
    grid = _Grid.of(design, layout)
    boxes = [grid.kernel(kernel) for kernel in design["kernels"]]
    boxes += [grid.end(name) for name in layout.ends]
    wires = [grid.wire(number) for number in range(len(design["edges"]))]
    width, height = grid.size
    return render(
        "dataflow.svg.j2", name=design["name"], width=width, height=height, boxes=boxes, wires=wires
    )


def stream_label(edge: Mapping[str, Any]) -> str:
    """Type times lanes, the bits of a beat, and the FIFO's depth in beats."""
    return f"{edge['type']} × {edge['lanes']} = {edge['bits']} bit · FIFO {edge['depth']}"


def _is_unit(kernel: Mapping[str, Any]) -> bool:
    return bool(kernel["folding"])


def folding_text(folding: Mapping[str, Any]) -> str:
    """A folding in words: pe=4 simd=8 block."""
    return " ".join(
        str(value) if isinstance(value, str) else f"{name}={value}" for name, value in folding.items()
    )


def _glue_text(kernel: Mapping[str, Any]) -> str:
    """The kind, and the lanes where they change."""
    lanes = [
        "+".join(str(count) for count in dict.fromkeys(port["lanes"] for port in kernel[side]))
        for side in ("inputs", "outputs")
    ]
    return kernel["kernel"] + (f" {lanes[0]} → {lanes[1]} lanes" if lanes[0] != lanes[1] else "")


def _short(name: str) -> str:
    if len(name) <= LONGEST_NAME:
        return name
    half = LONGEST_NAME // 2
    return f"{name[:half]}…{name[-half:]}"


@dataclass(frozen=True)
class _Grid:
    """Pixels of ranks and tracks: `tops` and `heights` of ranks, `centres` of tracks, the whole's `size`.

    `kernels` are the design's by name, `slowest` the most cycles of one.
    """

    design: Mapping[str, Any]
    layout: Layout
    kernels: Mapping[str, Any]
    slowest: int
    tops: list[float]
    heights: list[float]
    centres: list[float]
    size: tuple[float, float]

    @classmethod
    def of(cls, design: Mapping[str, Any], layout: Layout) -> _Grid:
        kernels = {kernel["name"]: kernel for kernel in design["kernels"]}
        heights = [float(GLUE_HEIGHT)] * layout.ranks
        count = 1 + max([place.track for place in layout.places.values()] + list(layout.tracks))
        left, right = [24.0] * count, [24.0] * count
        sizes = [(_size(kernels[name]), place) for name, place in layout.places.items()]
        sizes += [(END, place) for place in layout.ends.values()]
        for (width, height), place in sizes:
            heights[place.rank] = max(heights[place.rank], height)
            left[place.track] = max(left[place.track], width / 2)
            right[place.track] = max(right[place.track], width / 2)
        for edge, track in zip(design["edges"], layout.tracks, strict=True):
            right[track] = max(right[track], 8 + LETTER * len(stream_label(edge)))
        tops = [MARGIN + top for top in accumulate((height + GAP for height in heights), initial=0)]
        lefts = list(accumulate((a + b + MARGIN for a, b in zip(left, right, strict=True)), initial=MARGIN))
        centres = [start + half for start, half in zip(lefts, left, strict=False)]
        slowest = max(kernel["cycles"] for kernel in design["kernels"])
        size = (lefts[-1], tops[-1] - GAP + MARGIN)
        return cls(design, layout, kernels, slowest, tops, heights, centres, size)

    def kernel(self, kernel: Mapping[str, Any]) -> Box:
        """A box of two lines for a unit, of one for what only passes data on."""
        place = self.layout.places[kernel["name"]]
        width, height = _size(kernel)
        unit = _is_unit(kernel)
        text = f"{kernel['kernel']} · {folding_text(kernel['folding'])}" if unit else _glue_text(kernel)
        cycles = f"{kernel['cycles']:,}"
        kind = ("unit" if unit else "glue") + (" slowest" if kernel["cycles"] == self.slowest else "")
        tip = f"{kernel['name']}: {text}, {cycles} cycles a frame"
        busy = kernel["cycles"] / self.slowest if unit else 0.0
        x, y = self.centres[place.track], self._box_top(place, height)
        return Box(_short(kernel["name"]), text, cycles, tip, kind, x, y, width, height, busy)

    def end(self, name: str) -> Box:
        """The outside: where frames come in or results go out."""
        place = self.layout.ends[name]
        text, port = ("input", name[2:]) if name.startswith("in") else ("output", name[3:])
        x, y = self.centres[place.track], self._box_top(place, GLUE_HEIGHT)
        return Box(text, "", "", f"{text} {port}", "end", x, y, *END)

    def wire(self, number: int) -> Wire:
        """Down from the source, over to the stream's track, down along it, over to the target."""
        edge = self.design["edges"][number]
        track = self.layout.tracks[number]
        source, target = self._place(edge, "source"), self._place(edge, "target")
        start, middle, end = (self.centres[t] for t in (source.track, track, target.track))
        below = self.tops[source.rank] + self.heights[source.rank]
        above = self.tops[target.rank]
        # streams to and from different tracks do not lie on one another
        turn, back = below + 5 + 3 * (track % 3), above - 6 - 3 * (track % 3)
        path = f"M{start:g} {below - self._slack(edge, 'source', source):g}"
        if middle != start:
            path += f"V{turn:g}H{middle:g}"
        if middle != end:
            path += f"V{back:g}H{end:g}"
        path += f"V{above + self._slack(edge, 'target', target):g}"
        ends = [f"{edge[end] or 'outside'}[{edge[f'{end}_port']}]" for end in ("source", "target")]
        shape = "×".join(map(str, edge["shape"]))
        label = stream_label(edge)
        return Wire(path, label, middle + 6, below + GAP / 2 + 4, f"{' → '.join(ends)}: {shape}, {label}")

    def _place(self, edge: Mapping[str, Any], end: str) -> Place:
        kernel = edge[end]
        return self.layout.ends[end_name(edge, end)] if kernel is None else self.layout.places[kernel]

    def _box_top(self, place: Place, height: float) -> float:
        """A low box stands in the middle of its rank."""
        return self.tops[place.rank] + (self.heights[place.rank] - height) / 2

    def _slack(self, edge: Mapping[str, Any], end: str, place: Place) -> float:
        """How far a box is from the border of its rank."""
        kernel = edge[end]
        height = GLUE_HEIGHT if kernel is None else _size(self.kernels[kernel])[1]
        return (self.heights[place.rank] - height) / 2


def _size(kernel: Mapping[str, Any]) -> tuple[float, float]:
    if _is_unit(kernel):
        return UNIT
    letters = len(_short(kernel["name"])) + len(_glue_text(kernel)) + 2
    return 20 + LETTER * letters, GLUE_HEIGHT
