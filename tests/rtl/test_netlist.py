"""Netlists after synthesis, simulated with the chip's cells, compute what numpy does."""

from __future__ import annotations

import shutil
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import numpy as np
import pytest

from bnn2fpga import compile
from bnn2fpga.ir import Design, Ints
from bnn2fpga.kernel import Kernel
from bnn2fpga.kernels import all_kernels
from bnn2fpga.rtl.project import rtl_project
from bnn2fpga.tools.verilator import RtlSimulator
from bnn2fpga.tools.yosys import Synthesis, cell_models, synthesize
from tests import kernels as kernel_tests
from tests.contract import KernelContract, side_by_side
from tests.networks.shared import shared_arrays, shared_file

pytestmark = pytest.mark.skipif(shutil.which("yosys") is None, reason="yosys is not installed")


def run_netlist(design: Design, folder: Path, *inputs: Ints) -> tuple[Synthesis, tuple[Ints, ...]]:
    """What it needs, and its outputs under pauses; memories are of LUTs, which yosys has models of."""
    rtl_project(design, primitives=True).write(folder)
    synthesis = synthesize(folder / "rtl", design.name, folder, block_ram=False)
    netlist = folder / "netlist"
    (netlist / "rtl").mkdir(parents=True)
    shutil.copy(folder / "netlist.v", netlist / "rtl/netlist.sv")
    shutil.copy(cell_models(), netlist / "rtl/cells.sv")
    simulator = RtlSimulator.compile(design, netlist, netlist / "model", optimize=0)
    return synthesis, simulator.run(*inputs, gaps=0.2, holds=0.2).outputs


def contracts() -> list[KernelContract]:
    """Every kernel's."""
    found = []
    for module in iter_modules(kernel_tests.__path__):
        for value in vars(import_module(f"tests.kernels.{module.name}")).values():
            if isinstance(value, type) and issubclass(value, KernelContract) and hasattr(value, "layers"):
                found.append(value())
    return found


def two_foldings(contract: KernelContract) -> list[tuple[Kernel, int]]:
    """The two least of the contract's that differ in the ports, smallest frames first."""

    def size(case: tuple[Kernel, int]) -> int:
        return sum(stream.size for stream in case[0].inputs + case[0].outputs)

    cases = sorted(contract.collected(), key=size)
    distinct = {str(kernel.inputs + kernel.outputs): (kernel, seed) for kernel, seed in reversed(cases)}
    return list(distinct.values())[-2:]


def test_every_kernel_at_two_foldings(tmp_path: Path) -> None:
    tests = contracts()
    cases = [(contract, *case) for contract in tests for case in two_foldings(contract)]
    assert {type(kernel) for _, kernel, _ in cases} == set(all_kernels())
    inputs, expected = [], []
    for contract, kernel, seed in cases:
        arrays = contract.inputs_of(kernel, seed)
        inputs += arrays
        expected += [(kernel, result) for result in kernel.compute(*arrays)]
    design = side_by_side([kernel for _, kernel, _ in cases])
    synthesis, outputs = run_netlist(design, tmp_path, *inputs)
    for (kernel, want), found in zip(expected, outputs, strict=True):
        np.testing.assert_array_equal(found, want, err_msg=f"netlist of {kernel}")
    assert synthesis.dsps == 0


@pytest.mark.slow
def test_tfc_on_20_images(tmp_path: Path) -> None:
    design = compile(shared_file("models/TFC_1W1A.onnx"), fps=100_000)
    images = (shared_arrays("data/mnist.npz")["test_image"][:20] / 255).astype(np.float32)[:, None]
    integers = design.host.encode(images)
    frames = integers.reshape(20, *design.inputs[0].stream.shape)
    synthesis, outputs = run_netlist(design, tmp_path, frames)
    np.testing.assert_array_equal(outputs[0].reshape(20, -1), design.simulate(integers).reshape(20, -1))
    assert synthesis.dsps == 0
