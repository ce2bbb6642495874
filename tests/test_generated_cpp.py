"""The generated C++ of every kernel and of whole networks: canonical form, sanitizers, bounded FIFOs."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import tests.kernels
from bnn2fpga.backends.hls import hls_project
from bnn2fpga.design.graph import Design
from bnn2fpga.design.integers import Ints
from bnn2fpga.design.kernel import Kernel
from bnn2fpga.errors import ToolError
from bnn2fpga.files.project import Project
from bnn2fpga.kernels import all_kernels
from bnn2fpga.simulation.cpp import CppSimulator
from tests.canonical import faults
from tests.contract import KernelContract, side_by_side
from tests.kernels.designs import conv_net, dense_net, forked, frames_for, outputs_of
from tests.random_designs import random_design
from tests.test_codegen import converted, tiny

SANITIZERS = (
    "-fsanitize=address,undefined",
    # AMD's own headers shift by more than a word has
    "-fno-sanitize=shift",
    "-fno-sanitize-recover=all",
    # compiling takes longer than the few frames
    "-O0",
)
BATCH = 24
FRAMES = 2
NETWORKS = {
    "tiny": tiny(),
    "forked": forked(),
    "converted": converted(),
    "dense": dense_net((70, 12, 6)),
    "random 1": random_design(1),
    "random 8": random_design(8),
}

Case = tuple[Kernel, tuple[Ints, ...]]


def contracts() -> Iterator[KernelContract]:
    """Every kernel's contract."""
    for module in pkgutil.iter_modules(tests.kernels.__path__, "tests.kernels."):
        if not module.name.rpartition(".")[2].startswith("test_"):
            continue
        for kind in vars(importlib.import_module(module.name)).values():
            if isinstance(kind, type) and issubclass(kind, KernelContract) and kind.__module__ == module.name:
                yield kind()


def cases(few: bool) -> list[Case]:
    """Kernels with frames for them: all that the contracts look at, or the first and a middle one of each."""
    found: list[Case] = []
    for contract in contracts():
        every = contract.collected()
        chosen = [every[0], every[len(every) // 2]] if few else every
        found += [(kernel, tuple(contract.inputs_of(kernel, seed))) for kernel, seed in chosen]
    return found


def written(design: Design, folder: Path) -> Path:
    return hls_project(design, "xc7z020clg400-1", 100).write_new(folder / design.name)


def check_run(batch: list[Case], folder: Path, threads: bool, flags: tuple[str, ...]) -> None:
    """The kernels of `batch`, side by side, make what numpy makes."""
    design = side_by_side([kernel for kernel, _ in batch])
    simulator = CppSimulator.compile(design, written(design, folder), folder / "run", threads, flags)
    results = simulator.run(*(array[:FRAMES] for _, arrays in batch for array in arrays)).outputs
    expected = [
        result for kernel, arrays in batch for result in kernel.compute(*(array[:FRAMES] for array in arrays))
    ]
    for found, wanted in zip(results, expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


def batches() -> list[list[Case]]:
    every = cases(few=False)
    return [every[at : at + BATCH] for at in range(0, len(every), BATCH)]


def test_the_few_are_of_every_kind() -> None:
    assert {type(kernel) for kernel, _ in cases(few=True)} == set(all_kernels())


# canonical form


def test_every_kernel_is_canonical(tmp_path: Path) -> None:
    design = side_by_side([kernel for kernel, _ in cases(few=True)])
    assert faults(written(design, tmp_path), design.name) == []


@pytest.mark.long
def test_every_folding_is_canonical(tmp_path: Path) -> None:
    for number, batch in enumerate(batches()):
        design = side_by_side([kernel for kernel, _ in batch])
        assert faults(written(design, tmp_path / str(number)), design.name) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_canonical(name: str, tmp_path: Path) -> None:
    assert faults(written(NETWORKS[name], tmp_path), NETWORKS[name].name) == []


UNIT, TOP = "kernels/unit.hpp", "top.cpp"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "before", "after", "complaint"),
    [
        (
            TOP,
            "    unit(in_0_, unit_0_);",
            "    unit(in_0_, unit_0_);\n    unit(in_0_, unit_0_);",
            "stream in_0_ has",
        ),
        (TOP, "    unit(in_0_, unit_0_);", "", "stream in_0_ has uses write"),
        (
            TOP,
            "    receive0(s_axis0, in_0_, last_);\n    unit(in_0_, unit_0_);",
            "    unit(in_0_, unit_0_);\n    receive0(s_axis0, in_0_, last_);",
            "stream in_0_ has uses read, write",
        ),
        (
            TOP,
            "    unit(in_0_, unit_0_);",
            "    if (!in_0_.empty()) unit(in_0_, unit_0_);",
            "holds a IF_STMT",
        ),
        (
            TOP,
            "    unit(in_0_, unit_0_);",
            "    int x = 1;\n    unit(in_0_, unit_0_);",
            "declares x, no stream",
        ),
        (UNIT, "    unsigned column", "    int *p = new int[2]; delete[] p; unsigned column", "unit: new"),
        (UNIT, "    unsigned column", "    __builtin_free(malloc(2)); unsigned column", "unit: malloc"),
        (
            UNIT,
            "    unsigned column",
            "    out0.read(); unsigned column",
            "out0 is read and written, or neither",
        ),
        (
            UNIT,
            "    unsigned column",
            "    if (in0.empty()) unit(in0, out0); unsigned column",
            "unit: is recursive",
        ),
        (UNIT, "    unsigned column", "    if (in0.empty()) throw 1; unsigned column", "unit: throw"),
    ],
)
def test_what_is_not_canonical_is_found(
    path: str, before: str, after: str, complaint: str, tmp_path: Path
) -> None:
    files = dict(hls_project(tiny(), "xc7z020clg400-1", 100).files)
    assert files[path].count(before) == 1
    files[path] = files[path].replace(before, after)
    files[TOP] = "#include <cstdlib>\n" + files[TOP]
    found = faults(Project(files).write_new(tmp_path / "project"), "tiny")
    assert any(complaint in fault for fault in found), found


# sanitizers


@pytest.mark.slow
def test_every_kernel_is_sane(tmp_path: Path) -> None:
    """No access out of bounds, no undefined behaviour."""
    check_run(cases(few=True), tmp_path, False, SANITIZERS)


@pytest.mark.long
@pytest.mark.parametrize("threads", [False, True])
def test_every_folding_is_sane(threads: bool, tmp_path: Path) -> None:
    for number, batch in enumerate(batches()):
        check_run(batch, tmp_path / str(number), threads, SANITIZERS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ("static int a[2]; volatile int i = 7; a[i] = 1;", "runtime error: index 7 out of bounds"),
        ("volatile int i = 2147483647; i = i + 1;", "runtime error: signed integer overflow"),
        ("int *p; { int x = 1; p = &x; } *(volatile int *)p = 2;", "AddressSanitizer"),
    ],
)
def test_what_is_insane_is_found(fault: str, complaint: str, tmp_path: Path) -> None:
    files = dict(hls_project(tiny(), "xc7z020clg400-1", 100).files)
    files[UNIT] = files[UNIT].replace("    unsigned column", f"    {fault} unsigned column")
    Project(files).write(tmp_path)
    simulator = CppSimulator.compile(tiny(), tmp_path, tmp_path / "run", flags=SANITIZERS)
    with pytest.raises(ToolError) as caught:
        simulator.run(frames_for(tiny(), 1, 0))
    assert complaint in str(caught.value)


# bounded FIFOs


def test_every_kernel_runs_at_its_planned_depths(tmp_path: Path) -> None:
    """A thread each; a kernel that needs more of its neighbours than a FIFO holds would stop."""
    check_run(cases(few=True), tmp_path, True, ("-O0",))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["converted", "random 1"])
def test_networks_run_at_their_planned_depths(name: str, tmp_path: Path) -> None:
    """With sanitizers, too: threads share nothing but streams."""
    design = NETWORKS[name]
    simulator = CppSimulator.compile(design, written(design, tmp_path), tmp_path / "run", True, SANITIZERS)
    frames = frames_for(design, 3, 0)
    for found, wanted in zip(simulator.run(frames).outputs, outputs_of(design, frames), strict=True):
        np.testing.assert_array_equal(found, wanted.reshape(found.shape))


@pytest.mark.long
def test_a_convolutional_network_is_sane(tmp_path: Path) -> None:
    design = conv_net()
    simulator = CppSimulator.compile(design, written(design, tmp_path), tmp_path / "run", flags=SANITIZERS)
    frames = frames_for(design, 3, 0)
    np.testing.assert_array_equal(simulator.run(frames).outputs[0], design.simulate(frames))
