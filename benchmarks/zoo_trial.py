"""One network of the zoo, from its file to what came out.

A refusal that names an option is answered with it: the way out must work.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from bnn2fpga.build.compiler import Options, Pipeline
from bnn2fpga.build.verify import climb, random_frames
from bnn2fpga.errors import BuildError, FoldingError, ModelError
from bnn2fpga.planning.estimate import estimate
from bnn2fpga.planning.folding.fold import plan

FRAMES, CPP_FRAMES, RTL_FRAMES = 100, 10, 2
"""Random ones."""
CLOCK_MHZ, FPS = 100.0, 1000
"""C++ and SystemVerilog are of the cheapest plan of so many frames a second."""
WAYS_OUT = {
    "exact_sums": r"--exact-sums()",
    "input_type": r"--input (\w+)",
    "host_layers": r"--host-layers()",
    "trunk_bits": r"--trunk-bits (\d+)",
}
"""Options that refusals name, and their values."""

Row = dict[str, Any]
Given = dict[str, Any]


def ways_out(refusal: str, given: Given) -> Iterator[Given]:
    """`given` and each option that the refusal offers besides."""
    for name, form in WAYS_OUT.items():
        found = re.search(form, refusal)
        if found and name not in given:
            yield given | {name: found[1] or True}


def lowered(model: Path, given: Given) -> tuple[Pipeline, Given]:
    """The network as integers, and the options that it took; the first refusal where none helps."""
    try:
        pipeline = Pipeline(model, Options(**given))
        assert pipeline.lowered
        return pipeline, given
    except ModelError as refusal:
        for more in ways_out(str(refusal), given):
            try:
                return lowered(model, more)
            except BuildError:
                continue
        raise


def flags(given: Given) -> list[str]:
    """As on the command line."""
    names = {name: "--input" if name == "input_type" else f"--{name.replace('_', '-')}" for name in given}
    return [names[name] if value is True else f"{names[name]} {value}" for name, value in given.items()]


def planned(pipeline: Pipeline) -> Row:
    """The fastest plan that the board has room for; why there is none, otherwise."""
    try:
        found = estimate(plan(pipeline.lowered, pipeline.board, CLOCK_MHZ).design, pipeline.board)
    except FoldingError as error:
        return {"unplanned": str(error)}
    return {"luts": found.total.all_luts, "bram36": found.total.bram36, "fps": round(found.fps)}


def compared(pipeline: Pipeline, quick: bool) -> Row:
    """How many frames are equal at each level; those that need a plan are left out where there is none."""
    counts = (0, 0) if quick else (CPP_FRAMES, RTL_FRAMES)
    row: Row = {"outcome": "exact", "levels": {}}
    with suppress(FoldingError):
        for level in climb(pipeline, random_frames(pipeline, FRAMES, 1), None, *counts):
            row["levels"][level.name] = min(level.equal, row["levels"].get(level.name, level.equal))
            if not level.ok:
                row["outcome"] = "different"
                row["reason"] = f"{level.name} and {level.reference}, {level.compared}: {level.difference}"
    return row


def trial(model: Path, quick: bool = False) -> Row:
    """What came out: `exact`, `different` or `refused`, with frames by level, plan and seconds.

    A `quick` one ends at numpy, without C++ and SystemVerilog.
    """
    try:
        _, given = lowered(model, {})
    except BuildError as error:
        return {"outcome": "refused", "reason": str(error)}
    begin = time.perf_counter()  # once more, as refusals on the way are not part of the time
    pipeline = Pipeline(model, Options(fps=FPS, **given))
    row: Row = {"options": flags(given), "kernels": len(pipeline.lowered.nodes)}
    row["integers_s"] = round(time.perf_counter() - begin, 2)
    row |= planned(pipeline)
    if row.get("fps", FPS) < FPS:
        pipeline = Pipeline(model, Options(fps=row["fps"] - 1, **given))
    return row | compared(pipeline, quick)
