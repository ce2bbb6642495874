"""A frame that needs long to pass is no deadlock: images of one row wait in every window for their end."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bnn2fpga.backends.rtl import rtl_project
from bnn2fpga.design.integers import IntType
from bnn2fpga.design.layers import Windows
from bnn2fpga.design.stream import Stream
from bnn2fpga.simulation.rtl import LONGEST_WAIT, RtlSimulator
from tests.contract import random_values
from tests.kernels.designs import chain
from tests.rtl.runtime import runtime

WINDOWS, WIDTH = 30, 1500


def test_a_chain_of_rows(tmp_path: Path) -> None:
    kind = IntType(2)
    links = [(f"w{place}", lambda stream, before: Windows(stream, (1, 1))) for place in range(WINDOWS)]
    design = chain("rows", Stream((1, WIDTH, 1), kind), *links)
    rtl_project(design).write(tmp_path)
    simulator = RtlSimulator.compile(design, tmp_path, tmp_path / "model", optimize=0, runtime=runtime())
    frames = random_values(kind, (1, 1, WIDTH, 1), 0)
    result = simulator.run(frames)
    # longer than four frames of the slowest kernel and what is waited besides
    assert result.cycles > 4 * 2 * WIDTH + LONGEST_WAIT
    np.testing.assert_array_equal(result.outputs[0], design.simulate(frames))
