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
    wire takes = noise[4:3] != 0, gives = noise[13:12] != 0;
"""


def with_pauses(files: dict[str, str]) -> Project:
    """FIFOs that at random say that they are full, or empty."""
    text = files["rtl/fifo_.sv"]
    for old, new in (
        ("    wire push = ", PAUSING + "    wire push = "),
        ("in_ready = room;", "in_ready = room && takes;"),
        ("in_ready = count != DEPTH;", "in_ready = count != DEPTH && takes;"),
        ("out_valid = count != 0;", "out_valid = count != 0 && gives;"),
        ("pop = count != 0 && (!full || out_ready);", "pop = count != 0 && (!full || (out_ready && gives));"),
        ("full <= pop || (full && !out_ready);", "full <= pop || (full && !(out_ready && gives));"),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    assert text.count("out_valid = full;") == 2
    text = text.replace("out_valid = full;", "out_valid = full && gives;")
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
