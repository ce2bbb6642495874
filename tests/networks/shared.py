"""Third-party networks and real data, which lie beside the checkout where they are at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bnn2fpga.backends.hls import hls_project
from bnn2fpga.design.graph import Design
from bnn2fpga.design.integers import Ints
from bnn2fpga.simulation.cpp import CppSimulator

SHARED = Path(__file__).parents[3] / "shared"


def shared_file(name: str) -> Path:
    """The path of a shared file; skips the test that asks for an absent one."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{name} is not in ../shared")
    return path


def shared_arrays(name: str) -> dict[str, Any]:
    """The arrays of a shared .npz file."""
    with np.load(shared_file(name), allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def run_cpp(design: Design, integers: Ints, folder: Path) -> Ints:
    """What the generated C++ of a folded design makes of `integers`, shaped as `simulate` does."""
    assert design.target is not None
    hls_project(design, design.target.part, design.target.clock_mhz).write(folder)
    frames = integers.reshape(len(integers), *design.inputs[0].stream.shape)
    return CppSimulator.compile(design, folder, folder / "testbench").run(frames).outputs[0]
