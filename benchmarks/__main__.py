"""Times lowering and simulation against FINN, qonnx and PyTorch on the networks in ../shared/models."""

from __future__ import annotations

import argparse
import platform
import warnings
from pathlib import Path

import numpy as np
import torch
from finn.transformation.qonnx.convert_qonnx_to_finn import ConvertQONNXtoFINN
from finn.transformation.streamline import Streamline
from finn.transformation.streamline.reorder import MakeMaxPoolNHWC
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.bipolar_to_xnor import ConvertBipolarMatMulToXnorPopcount
from qonnx.transformation.lower_convs_to_matmul import LowerConvsToMatMul

from benchmarks.cnv import cnv_module
from benchmarks.plan import finn_plan_seconds
from benchmarks.simulate import simulations
from benchmarks.timing import row, seconds
from bnn2fpga.boards.board import load_board
from bnn2fpga.build.compiler import Options, Pipeline
from bnn2fpga.frontend import load, lower, streamline
from bnn2fpga.planning.folding.fold import plan
from bnn2fpga.planning.timing.schedule import latency


def finn_streamline(model: ModelWrapper) -> ModelWrapper:
    """FINN's way to integer matrix products: its own conversion and streamlining."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for step in (ConvertQONNXtoFINN(), Streamline(), LowerConvsToMatMul(), MakeMaxPoolNHWC()):
            model = model.transform(step)
        return model.transform(ConvertBipolarMatMulToXnorPopcount()).transform(Streamline())


def lowering(name: str, model: ModelWrapper, repeats: int) -> None:
    """Ours, checks of every transformation included, against FINN's streamlining, which checks nothing."""
    ours = seconds(lambda: lower(streamline(model)[0]), repeats)
    finns = seconds(lambda: finn_streamline(model), 1)
    row(f"{name}: to integers", f"{ours:.2f} s", "FINN streamline", f"{finns:.2f} s", finns / ours)


def planning(name: str, model: ModelWrapper, fps: int) -> None:
    """Ours, with FIFOs and width converters, against FINN's folding and estimates (`benchmarks.plan`)."""
    design, board = Pipeline(model, Options()).lowered, load_board("pynq-z2")

    def ours() -> None:
        latency(plan(design, board, 100, fps).design)

    took = seconds(ours, 3)
    finns = finn_plan_seconds(model, fps)
    row(f"{name}: plan, {fps:,} frames/s", f"{took:.2f} s", "FINN estimates", f"{finns:.2f} s", finns / took)


def planning_alone(shared: Path) -> None:
    """Seconds of FracNet's plans, which FINN does not take."""
    file = shared / "models/fracnet_cifar10.npz"
    if file.exists():
        design, board = Pipeline(file, Options()).lowered, load_board("pynq-z2")
        paced = seconds(lambda: plan(design, board, 100, 2000), 1)
        fastest = seconds(lambda: plan(design, board, 100), 1)
        print(f"\nFracNet: plan, 2,000 frames/s: {paced:.2f} s; as fast as the board allows: {fastest:.2f} s")


def main() -> None:
    """Prints the table of the README."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    shared = Path(__file__).parents[2] / "shared"
    parser.add_argument(
        "--tfc", type=Path, default=shared / "models/TFC_1W1A.onnx", help="TFC_1W1A.onnx of FINN's model zoo"
    )
    arguments = parser.parse_args()
    print(
        f"{platform.machine()}, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}, numpy {np.__version__}\n"
    )
    print("| what | bnn2fpga | peer | peer's figure | ratio |\n|---|---:|---|---:|---:|")
    if arguments.tfc.exists():
        tfc = load(arguments.tfc)
        lowering("TFC", tfc, 3)
        planning("TFC", tfc, 100_000)
    else:
        print(f"({arguments.tfc} is absent: TFC left out)")
    cnv = load(cnv_module(), np.zeros((1, 3, 32, 32), np.float32))
    lowering("CNV", cnv, 2)
    planning("CNV", cnv, 3000)
    simulations(shared)
    planning_alone(shared)


main()
