"""Times lowering and simulation against FINN, qonnx and PyTorch on the networks in ../shared/models."""

from __future__ import annotations

import argparse
import platform
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
from bnn2fpga.boards.board import load_board
from bnn2fpga.build.compiler import Options, Pipeline
from bnn2fpga.frontend import load, lower, streamline
from bnn2fpga.frontend.graph.execute import Graph
from bnn2fpga.planning.folding.fold import plan
from bnn2fpga.planning.timing.schedule import latency


def seconds(action: Callable[[], Any], repeats: int) -> float:
    """The fastest of `repeats` runs."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)


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


def simulation(name: str, model: ModelWrapper, module: Any, frames: Any, qonnx_frames: int) -> None:
    """Images a second of our numpy simulator, of qonnx, of our batched execution of the graph, of PyTorch."""
    from qonnx.core.onnx_exec import execute_onnx

    pipeline = Pipeline(model, Options())
    design = pipeline.lowered
    design.run(frames[:2])
    ours = len(frames) / seconds(lambda: design.run(frames), 3)

    def one_by_one() -> None:
        for frame in frames[:qonnx_frames]:
            execute_onnx(pipeline.loaded, {pipeline.loaded.graph.input[0].name: frame[None]})

    graph = Graph(pipeline.loaded)
    single = qonnx_frames / seconds(one_by_one, 2)
    batched = len(frames) / seconds(lambda: graph.execute(frames), 2)
    row(f"{name}: simulate", f"{ours:,.0f} img/s", "qonnx, batch 1", f"{single:,.0f} img/s", ours / single)
    row(
        f"{name}: simulate",
        f"{ours:,.0f} img/s",
        "onnxruntime, batched",
        f"{batched:,.0f} img/s",
        ours / batched,
    )
    if module is not None:
        with torch.no_grad():
            eager = len(frames) / seconds(lambda: module(torch.from_numpy(frames)), 2)
        row(f"{name}: simulate", f"{ours:,.0f} img/s", "PyTorch eager", f"{eager:,.0f} img/s", ours / eager)


def row(what: str, ours: str, peer: str, theirs: str, ratio: float) -> None:
    """One line of the table; the ratio says how many times faster ours is."""
    print(f"| {what} | {ours} | {peer} | {theirs} | {ratio:.{1 if ratio >= 0.1 else 2}f} x |", flush=True)


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
    random = np.random.default_rng(0)
    if arguments.tfc.exists():
        tfc = load(arguments.tfc)
        lowering("TFC", tfc, 3)
        planning("TFC", tfc, 100_000)
        simulation("TFC", tfc, None, random.random((2000, 1, 28, 28), np.float32), 200)
    else:
        print(f"({arguments.tfc} is absent: TFC left out)")
    module = cnv_module()
    frames = random.random((64, 3, 32, 32), np.float32)
    cnv = load(module, frames[:1])
    lowering("CNV", cnv, 2)
    planning("CNV", cnv, 3000)
    simulation("CNV", cnv, module, frames, 8)
    planning_alone(shared)


main()
