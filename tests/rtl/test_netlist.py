"""Netlists after synthesis, simulated with the chip's cells, compute what numpy does."""

from __future__ import annotations

import resource
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bnn2fpga import compile
from bnn2fpga.backends.rtl import rtl_project
from bnn2fpga.backends.zynq import LUTS
from bnn2fpga.build import open_flow
from bnn2fpga.design.graph import Design
from bnn2fpga.design.integers import Ints
from bnn2fpga.files.project import Project
from bnn2fpga.files.templates import render
from bnn2fpga.kernels import all_kernels
from bnn2fpga.planning.timing.fifo_depths import size_fifos
from bnn2fpga.planning.usage import resources
from bnn2fpga.simulation.rtl import RtlSimulator
from bnn2fpga.tools.openxc7 import OpenXC7
from bnn2fpga.tools.yosys import Synthesis, cell_models, find_yosys, run_yosys, synthesize
from tests.contract import random_values, side_by_side
from tests.kernels import test_plane_mvu
from tests.kernels.designs import conv_net, frames_for
from tests.kernels.matrix_vector import unit
from tests.networks.shared import shared_arrays, shared_file
from tests.rtl.cases import contracts, every_kernel
from tests.rtl.runtime import runtime

pytestmark = pytest.mark.skipif(shutil.which("yosys") is None, reason="yosys is not installed")


def run_netlist(design: Design, folder: Path, *inputs: Ints) -> tuple[Synthesis, tuple[Ints, ...]]:
    """What it needs, and its outputs under pauses; memories are of LUTs, which yosys has models of."""
    rtl_project(design, primitives=True).write(folder)
    synthesis = synthesize(folder / "rtl", design.name, folder, block_ram=False)
    netlist = folder / "netlist"
    (netlist / "rtl").mkdir(parents=True)
    shutil.copy(folder / "netlist.v", netlist / "rtl/netlist.sv")
    shutil.copy(cell_models(), netlist / "rtl/cells.sv")
    simulator = RtlSimulator.compile(design, netlist, netlist / "model", optimize=0, runtime=runtime())
    return synthesis, simulator.run(*inputs, gaps=0.2, holds=0.2).outputs


@pytest.mark.slow
@pytest.mark.parametrize("foldings", [1, pytest.param(2, marks=pytest.mark.long)])
def test_every_kernel(foldings: int, tmp_path: Path) -> None:
    design, inputs, expected = every_kernel(foldings)
    assert {type(kernel) for kernel, _ in expected} == set(all_kernels())
    synthesis, outputs = run_netlist(design, tmp_path, *inputs)
    for (kernel, want), found in zip(expected, outputs, strict=True):
        np.testing.assert_array_equal(found, want, err_msg=f"netlist of {kernel}")
    assert synthesis.dsps == 0
    assert synthesis.path_ns and synthesis.path_ns <= 5, "half of 10 ns is for wires"


def test_a_small_network(tmp_path: Path) -> None:
    """Larger ones are slow."""
    design = size_fifos(conv_net())
    frames = frames_for(design, 3, 0)
    synthesis, outputs = run_netlist(design, tmp_path, frames)
    np.testing.assert_array_equal(outputs[0].reshape(3, -1), design.simulate(frames).reshape(3, -1))
    assert synthesis.dsps == 0


@pytest.mark.slow
def test_kernels_that_are_synthesized_on_their_own(tmp_path: Path) -> None:
    """The open flow's netlist; its LUTs are cleaned, too."""
    design = size_fifos(conv_net())
    files = {**rtl_project(design, primitives=True).files, f"zynq/{LUTS}": render(f"zynq/{LUTS}.j2")}
    Project(files).write(tmp_path)
    found = tmp_path / "netlist.json"
    open_flow.synthesize(tmp_path, design.name, found, tmp_path / "yosys.log", OpenXC7())
    assert len(list((tmp_path / open_flow.KERNELS).glob("*.il.gz"))) == len(design.nodes)
    (netlist := tmp_path / "netlist/rtl").mkdir(parents=True)
    script = f'read_json "{found}"; write_verilog -noattr "{netlist / "netlist.sv"}"'
    run_yosys(find_yosys(), tmp_path, script, design.name, tmp_path / "verilog.log")
    shutil.copy(cell_models(), netlist / "cells.sv")
    frames = frames_for(design, 3, 0)
    model = RtlSimulator.compile(
        design, tmp_path / "netlist", tmp_path / "model", optimize=0, runtime=runtime()
    )
    outputs = model.run(frames, gaps=0.2, holds=0.2).outputs
    np.testing.assert_array_equal(outputs[0].reshape(3, -1), design.simulate(frames).reshape(3, -1))


@pytest.mark.long
def test_products_with_weights_of_several_bits(tmp_path: Path) -> None:
    """Of all kinds of inputs, several lanes a beat."""
    kernels = [unit(layer) for layer in test_plane_mvu.TestContract.always]
    folded = [replace(k, pe=2, simd=k.columns // (3 if k.columns % 3 == 0 else 2)) for k in kernels]
    inputs = [random_values(k.source_type, (3, *k.source_shape), 5) for k in folded]
    synthesis, outputs = run_netlist(side_by_side(list(folded)), tmp_path, *inputs)
    for kernel, x, found in zip(folded, inputs, outputs, strict=True):
        np.testing.assert_array_equal(found, kernel.compute(x)[0], err_msg=f"netlist of {kernel}")
    assert synthesis.dsps == 0
    assert synthesis.path_ns and synthesis.path_ns <= 5


@pytest.mark.slow
def test_a_unit_whose_weights_are_a_deep_table_of_cells(tmp_path: Path) -> None:
    kernels = [(contract, *case) for contract in contracts() for case in contract.collected()]
    deep = (case for case in kernels if "tiles" in case[1].roms and case[1].roms["tiles"].paged)
    contract, kernel, seed = min(deep, key=lambda case: sum(stream.size for stream in case[1].inputs))
    inputs = contract.inputs_of(kernel, seed)
    design = side_by_side([kernel])
    assert "LUT6" in rtl_project(design, primitives=True).files["rtl/k0_tiles_.sv"]
    _, outputs = run_netlist(design, tmp_path, *inputs)
    np.testing.assert_array_equal(outputs[0], kernel.compute(*inputs)[0])


@pytest.mark.long
def test_tfc_on_20_images(tmp_path: Path) -> None:
    design = compile(shared_file("models/TFC_1W1A.onnx"), fps=100_000)
    images = (shared_arrays("data/mnist.npz")["test_image"][:20] / 255).astype(np.float32)[:, None]
    integers = design.host.encode(images)
    frames = integers.reshape(20, *design.inputs[0].stream.shape)
    synthesis, outputs = run_netlist(design, tmp_path, frames)
    np.testing.assert_array_equal(outputs[0].reshape(20, -1), design.simulate(integers).reshape(20, -1))
    assert synthesis.dsps == 0


@pytest.mark.long
@pytest.mark.parametrize(
    ("model", "fps"),
    [
        ("TFC_1W1A.onnx", 100_000),
        ("bnnpynq_lfcW1A1.npz", 300_000),
        ("bnnpynq_cnvW1A1.npz", 10_000),
        ("fracnet_cifar10.npz", 10_000),
    ],
)
def test_networks_fit_the_chip(model: str, fps: float, tmp_path: Path) -> None:
    """After synthesis, with block RAM, as planned and within four fifths of an xc7z020.

    CNV takes 5 minutes, LFC and FracNet 10.
    """
    design = compile(shared_file(f"models/{model}"), fps=fps)
    rtl_project(design, primitives=True).write(tmp_path)
    start = time.perf_counter()
    found = synthesize(tmp_path / "rtl", design.name, tmp_path)
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    print(f"{design.name}: {time.perf_counter() - start:.0f} s, {most:.1f} GB, {found.as_dict()}")
    planned = resources(design)
    assert found.luts + found.lutram_luts == pytest.approx(planned.all_luts, rel=0.05)
    assert found.luts + found.lutram_luts <= 0.8 * 53_200
    assert found.bram36 == pytest.approx(planned.bram36, abs=1)
    assert found.bram36 <= 0.8 * 140 and found.dsps == 0
