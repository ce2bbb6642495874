"""Designs in which every stream stalls at random: no beat is lost, doubled or out of order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bnn2fpga.backends.rtl import rtl_project
from bnn2fpga.files.project import Project
from bnn2fpga.simulation.rtl import RtlSimulator
from tests.kernels.designs import frames_for, outputs_of
from tests.random_designs import random_design
from tests.rtl.runtime import runtime

FRAMES = 2500
"""Of each design; four make ten thousand."""

PAUSING = """\
    reg [31:0] noise;
    initial noise = $urandom | 1;
    always_ff @(posedge clk) noise <= {noise[30:0], noise[31] ^ noise[21] ^ noise[1] ^ noise[0]};
    wire gives = noise[13:12] != 0, taken_ = out_ready && gives;
    reg room_;
    assign in_room = room_ && noise[4:3] != 0;
"""


def with_pauses(files: dict[str, str]) -> Project:
    """FIFOs that at random say that they have no room, or are empty."""
    head, mark, body = files["rtl/fifo_.sv"].partition("    // places that are taken")
    assert head.count("output reg  in_room") == 1 and mark
    for old, new, times in (("in_room", "room_", 2), ("out_ready", "taken_", 6)):
        assert body.count(old) == times
        body = body.replace(old, new)
    for flag in ("there", "some", "full"):
        assert body.count(f"out_valid = {flag};") == 1
        body = body.replace(f"out_valid = {flag};", f"out_valid = {flag} && gives;")
    text = head.replace("output reg  in_room", "output wire in_room") + PAUSING + mark + body
    return Project(files | {"rtl/fifo_.sv": text})


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_random_design(seed: int, tmp_path: Path) -> None:
    design = random_design(seed, 4, 2)
    with_pauses(dict(rtl_project(design).files)).write(tmp_path)
    simulator = RtlSimulator.compile(design, tmp_path, tmp_path / "model", runtime=runtime())
    frames = frames_for(design, FRAMES, seed)
    result = simulator.run(frames, seed=seed, gaps=0.2, holds=0.2)
    for found, want in zip(result.outputs, outputs_of(design, frames), strict=True):
        np.testing.assert_array_equal(found, want)
    assert all(result.stalls)
