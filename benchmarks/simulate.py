"""Images a second of the packed engine beside those of the numpy simulator and of float frameworks.

python -m benchmarks.simulate prints the table alone.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.cnv import cnv_module
from benchmarks.examples import BNN_PYNQ
from benchmarks.timing import row, seconds
from bnn2fpga.build.compiler import Options, Pipeline
from bnn2fpga.design.graph import Design
from bnn2fpga.design.integers import Ints
from bnn2fpga.frontend import load
from bnn2fpga.frontend.graph.execute import Graph

Images = np.ndarray[Any, Any]


def trained(name: str, module: Any, frames: Images, one_by_one: int) -> None:
    """A network that PyTorch, onnxruntime and qonnx run, too; qonnx `one_by_one` frames."""
    from qonnx.core.onnx_exec import execute_onnx

    with torch.no_grad():
        pipeline = Pipeline(load(module, frames[:1]), Options())
    design, model, graph = pipeline.lowered, pipeline.loaded, Graph(pipeline.loaded)
    source = model.graph.input[0].name

    def singly() -> None:
        for frame in frames[:one_by_one]:
            execute_onnx(model, {source: frame[None]})

    def eagerly() -> None:
        with torch.no_grad():
            module(torch.from_numpy(frames))

    peers: dict[str, tuple[int, Callable[[], Any]]] = {
        "qonnx, batch 1": (one_by_one, singly),
        "onnxruntime, batched": (len(frames), lambda: graph.execute(frames)),
        "PyTorch eager, float32": (len(frames), eagerly),
    }
    compare(name, design, design.host.encode(frames), peers)


def imported(name: str, file: Path, count: int) -> None:
    """A network without an ONNX file."""
    if not file.exists():
        print(f"({file} is absent: {name} left out)")
        return
    design = Pipeline(file, Options()).lowered
    stream = design.inputs[0].stream
    levels = np.random.default_rng(0).integers(0, stream.type.levels, (count, *stream.shape))
    compare(name, design, (stream.type.low + stream.type.step * levels).astype(stream.type.dtype), {})


def compare(
    name: str, design: Design, integers: Ints, peers: dict[str, tuple[int, Callable[[], Any]]]
) -> None:
    """Rows of one network; `peers` are functions and the frames that they run."""
    packed = len(integers) / seconds(lambda: design.simulate(integers), 5)
    some = integers[: max(1, len(integers) // 8)]
    every = {"numpy simulator": (len(some), lambda: design.simulate(some, "numpy")), **peers}
    for peer, (count, run) in every.items():
        found = count / seconds(run, 2)
        row(f"{name}: simulate", f"{packed:,.0f} img/s", peer, f"{found:,.0f} img/s", packed / found)


def memory(design: Design, integers: Ints) -> float:
    """MB that the packed engine takes at most, besides the frames."""
    tracemalloc.start()
    design.simulate(integers)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak / 1e6


def simulations(shared: Path) -> None:
    """The rows of all networks, then the memory that CNV takes."""
    random = np.random.default_rng(0)
    digits = random.random((8192, 1, 28, 28), np.float32)
    trained("TFC", BNN_PYNQ["TFC W1A1"].module(), digits, 200)
    trained("LFC", BNN_PYNQ["LFC W1A1"].module(), digits, 200)
    photographs = random.random((512, 3, 32, 32), np.float32)
    module = cnv_module()
    trained("CNV", module, photographs, 8)
    imported("FracNet", shared / "models/fracnet_cifar10.npz", 256)
    design = Pipeline(load(module, photographs[:1]), Options()).lowered
    integers = design.host.encode(photographs)
    peaks = [memory(design, np.concatenate([integers] * times)) for times in (1, 4)]
    print(f"\nCNV, packed: {peaks[0]:.1f} MB beside 512 frames, {peaks[1]:.1f} MB beside 2,048")


if __name__ == "__main__":
    print("| what | bnn2fpga | peer | peer's figure | ratio |\n|---|---:|---|---:|---:|")
    simulations(Path(__file__).parents[2] / "shared")
