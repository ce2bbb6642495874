"""No net of a netlist but clock and reset drives so many inputs that its wire is slow."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from bnn2fpga import compile
from bnn2fpga.backends.rtl import rtl_project
from bnn2fpga.backends.zynq import TOP, zynq_project
from bnn2fpga.build.open_flow import synthesize
from bnn2fpga.design.graph import Design
from bnn2fpga.files.project import Project
from bnn2fpga.planning.folding.width_converters import refold
from bnn2fpga.planning.timing.fifo_depths import size_fifos
from bnn2fpga.tools.openxc7 import OpenXC7
from tests.kernels.designs import dense_net
from tests.networks.shared import shared_file
from tests.zynq.wide_nets import wide_nets

pytestmark = pytest.mark.skipif(shutil.which("yosys") is None, reason="yosys is not installed")


def check(design: Design, folder: Path) -> None:
    core = rtl_project(design, primitives=True)
    Project({**core.files, **zynq_project(design, core.digest).files}).write(folder)
    netlist = folder / "netlist.json"
    synthesize(folder, TOP, netlist, folder / "yosys.log", OpenXC7())
    assert not wide_nets(netlist).keys() - {"clk", "rst", "core_rst"}


@pytest.mark.long
def test_a_layer_that_takes_784_bits_at_once(tmp_path: Path) -> None:
    net = dense_net((784, 16, 10))
    kernels = {node.name: node.kernel for node in net.nodes}
    design = size_fifos(refold(net, kernels | {"fc0": replace(net["fc0"], pe=2, simd=784)}))
    assert design.edges[0].stream.bits == 784
    check(design, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize(
    ("model", "fps"),
    [("TFC_1W1A.onnx", None), ("bnnpynq_cnvW1A1.npz", 10_000), ("fracnet_cifar10.npz", 7_000)],
)
def test_networks(model: str, fps: float | None, tmp_path: Path) -> None:
    check(compile(shared_file(f"models/{model}"), fps=fps), tmp_path)
