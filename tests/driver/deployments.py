"""Makes the deployment folders that the tests of the driver use."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bnn2fpga.backends.hls import hls_project
from bnn2fpga.backends.zynq import register_map
from bnn2fpga.build.compiler import Options, Pipeline
from bnn2fpga.build.deployment import BuiltFiles, deploy
from bnn2fpga.build.verify import random_frames
from tests.models import small_net, small_onnx

DIGEST = "00c0ffee" + "0" * 56


@cache
def small_pipeline(folder: Path) -> Pipeline:
    """The small network of the build's tests, its model file in `folder`."""
    return Pipeline(small_onnx(folder), Options(name="tiny"))


def deploy_pipeline(
    pipeline: Pipeline, frames: np.ndarray[Any, Any], folder: Path, built: BuiltFiles | None = None
) -> Path:
    """The deployment folder of `pipeline` at `folder`, the steps before it in folders beside it."""
    design = pipeline.folded
    loaded, hls = (folder.with_name(f"{folder.name}-{step}") for step in ("load", "hls"))
    for path in (folder, loaded, hls):
        path.mkdir(parents=True)
    if pipeline.imported:
        (loaded / "parameters.npz").write_bytes(Path(pipeline.model).read_bytes())
    else:
        pipeline.loaded.save(str(loaded / "model.onnx"))
    assert design.target is not None
    hls_project(design, design.target.part, design.target.clock_mhz).write(hls)
    deploy(pipeline, frames, built or BuiltFiles("sim"), loaded, hls, folder)
    return folder


def make_deployments(folder: Path) -> Path:
    """Deployment folders without and with a bitstream of either kind, and expected.npz."""
    from bnn2fpga.frontend.graph.execute import Graph

    pipeline = small_pipeline(folder)
    frames = random_frames(pipeline, 200, seed=5)
    name = pipeline.folded.name
    bits = {kind: folder / f"{kind}-made" for kind in ("dma", "registers")}
    for kind, made in bits.items():
        made.mkdir()
        (made / f"{name}.bit").write_bytes(b"no bitstream, but the name of one: " + kind.encode())
    (bits["dma"] / f"{name}.hwh").write_text("<EDKSYSTEM/>\n")
    registers = json.dumps(register_map(pipeline.folded, DIGEST))
    (bits["registers"] / "registers.json").write_text(registers)
    for kind, built in {
        "sim": BuiltFiles("sim"),
        "dma": BuiltFiles("vivado", tuple(sorted(bits["dma"].iterdir())), "dma"),
        "registers": BuiltFiles("openxc7", tuple(sorted(bits["registers"].iterdir())), "registers"),
    }.items():
        deploy_pipeline(pipeline, frames, folder / kind, built)
    outputs = Graph(pipeline.loaded).execute(frames)
    np.savez(folder / "expected.npz", frames=frames, outputs=outputs[Graph(pipeline.loaded).output])
    return folder


def numpy_core() -> Callable[[Any], Any]:
    """The small network as a function on the bytes of frames, packed by the streams of the design."""
    import torch

    from bnn2fpga.build.compiler import compile as compile_network
    from tests.models import SHAPE

    design = compile_network(small_net(), example_input=torch.zeros(1, *SHAPE))
    source, sink = design.inputs[0].stream, design.outputs[0].stream

    def run(data: Any) -> Any:
        beats = np.ascontiguousarray(data).reshape(len(data), source.beats, source.beat_bytes)
        found = design.simulate(source.unpack(beats))
        return sink.pack(found).reshape(len(data), -1)

    return run
