"""Estimated resources against what yosys needed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmarks.area import fit, unseen
from bnn2fpga.backends.rtl_cells import copies_text, fifo_text
from bnn2fpga.circuits.memory import LUT_DEPTH, Memory, fifo, ram, rom
from bnn2fpga.circuits.resources import FITTED, Resources, fits, fitted, usual_path
from bnn2fpga.kernels import all_kernels
from bnn2fpga.tools.yosys import synthesize

MEASURED = Path(__file__).parents[1] / "benchmarks/area.json"


def rows() -> list[dict]:
    return json.loads(MEASURED.read_text())


def memories_of(row: dict) -> Resources:
    return sum((Memory(**memory).resources for memory in row.get("memories", [])), Resources())


def test_every_kernel_has_been_measured_and_fitted() -> None:
    kinds = {kind.__name__ for kind in all_kernels()} | {"Fifo"}
    assert kinds == set(fits()) == {row["kind"] for row in rows()}
    assert FITTED.is_file()


def test_luts_of_kernels_that_were_not_fitted_to() -> None:
    """Every kernel, by a fit to three quarters of its kind without it; what is shipped is fitted to all."""
    found, each = rows(), []
    for kind, shipped in fits().items():
        own = [row for row in found if row["kind"] == kind]
        each.append(abs(unseen(own)))
        assert shipped["error"]["median"] == pytest.approx(np.median(each[-1]), abs=1e-3)
        assert shipped["luts"] == pytest.approx(fit(own)["luts"], rel=1e-2, abs=1e-2)
    off = np.concatenate(each)
    print(f"median {np.median(off):.1%}, worst {max(off):.1%} of {len(off)} kernels")
    assert np.median(off) <= 0.1
    assert np.quantile(off, 0.75) <= 0.2


def test_block_ram_is_yosys_s() -> None:
    """Memories are counted, not fitted."""
    kernels = [row for row in rows() if row["kind"] != "Fifo"]
    off = [row for row in kernels if memories_of(row).bram36 != row["bram36"]]
    print(f"{len(kernels) - len(off)} of {len(kernels)} kernels exactly")
    assert len(off) <= 0.05 * len(kernels)
    total = sum(row["bram36"] for row in kernels)
    assert sum(memories_of(row).bram36 for row in kernels) == pytest.approx(total, rel=0.1)


def test_luts_as_memory_are_yosys_s() -> None:
    kernels = [row for row in rows() if row["kind"] != "Fifo"]
    total = sum(row["lutram_luts"] for row in kernels)
    assert sum(memories_of(row).lutrams for row in kernels) == pytest.approx(total, rel=0.1)


@pytest.mark.parametrize("depth", [1, 2, 64, 65, 512, 1000])
def test_memories_grow_with_their_width(depth: int) -> None:
    for make in (ram, rom):
        costs = [make(depth, width) for width in (1, 8, 36, 512)]
        cells = [cost.resources for cost in costs]
        used = [
            one.all_luts + 400 * one.bram36 + sum(cost.parts.values())
            for one, cost in zip(cells, costs, strict=True)
        ]
        assert used == sorted(used)


def test_constants_in_logic_cost_no_memory() -> None:
    assert rom(512, 64, "logic").resources == Resources()
    assert rom(512, 64, "block").resources.bram36 == 1
    assert rom(1, 4096).parts == {}, "wires"


def test_a_deep_fifo_is_block_ram() -> None:
    assert fifo(LUT_DEPTH, 8).bram36 == 0 < fifo(LUT_DEPTH + 1, 8).bram36


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("yosys") is None, reason="yosys is not installed")
@pytest.mark.parametrize("width", [1, 17, 130])
def test_a_fifo_of_two_words_is_counted(width: int, tmp_path: Path) -> None:
    text = fifo_text(primitives=True)
    (tmp_path / "fifo_.sv").write_text(text.replace("WIDTH = 1", f"WIDTH = {width}"))
    (tmp_path / "copies_.sv").write_text(copies_text(primitives=True))
    found = synthesize(tmp_path, "fifo_", tmp_path)
    assert Resources(found.luts, found.lutram_luts, found.flipflops, found.bram36) == fifo(2, width)


def test_cells_leave_time_for_wires() -> None:
    """Of 10 ns in every kernel that was synthesized; half but in the largest step functions."""
    found = max(rows(), key=lambda row: row["path_ns"])
    print(f"{found['path_ns']} ns in a {found['kind']} of {found['source']}")
    assert found["path_ns"] <= 6
    assert np.quantile([row["path_ns"] for row in rows()], 0.98) <= 5
    usual = {kind: usual_path(kind) or 0 for kind in fits()}
    assert 0 < usual.pop("StreamFork") < 1, "from a register to a register"
    assert 2 < max(usual.values()) <= 5 and min(usual.values()) > 1
    assert usual_path("NewKernel") is None


def test_a_kernel_that_was_never_measured_has_an_estimate() -> None:
    assert fitted("NewKernel", {"kernel": 1, "sums": 9}).luts == 10


def test_block_rams_behind_one_another_need_multiplexers() -> None:
    assert rom(32768, 8, "block").parts == {}
    assert sum(rom(131072, 8, "block").parts.values()) == 24
