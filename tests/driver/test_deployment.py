"""The deployment folder of real networks: the driver's host share is the graph's, or it says why not."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import bnn2fpga
import bnn2fpga.build.deployment as deployment
from bnn2fpga.build.compiler import Options, Pipeline
from bnn2fpga.build.driver_file import driver_text
from bnn2fpga.build.verify import random_frames
from bnn2fpga.design.folding import lane_counts
from bnn2fpga.design.integers import IntType
from bnn2fpga.design.stream import Stream
from bnn2fpga.driver import Accelerator, AcceleratorError, operations
from bnn2fpga.driver.model import load_model
from bnn2fpga.driver.streams import StreamFormat
from bnn2fpga.errors import MismatchError
from bnn2fpga.frontend import load
from bnn2fpga.frontend.graph.execute import Graph
from bnn2fpga.planning.estimate import estimate
from bnn2fpga.planning.timing.schedule import interval
from tests.driver.deployments import deploy_pipeline
from tests.frontend.nets import affine, dense, levels, pixels, sign
from tests.models import SHAPE, small_net
from tests.networks.shared import shared_file

TRAINED = Path(bnn2fpga.__file__).parent / "training/trained"
FRAMES = 40


def deployed(pipeline: Pipeline, folder: Path) -> tuple[Accelerator, np.ndarray[Any, Any]]:
    """The numpy backend on a fresh deployment folder, and frames."""
    frames = random_frames(pipeline, FRAMES, seed=3)
    return Accelerator(deploy_pipeline(pipeline, frames, folder), "numpy"), frames


def pipeline_of(net: nn.Module, *shape: int, **options: Any) -> Pipeline:
    """The path of a Brevitas module."""
    torch.manual_seed(0)
    return Pipeline(net.eval(), Options(name="net", **options), torch.zeros(1, *shape))


# --- real networks


@pytest.mark.parametrize("name", ["digits.onnx", "models/TFC_1W1A.onnx"])
def test_trained_graphs(name: str, tmp_path: Path) -> None:
    """Scores are those of QONNX execution; of TFC they are rounded floats, whose bits are the host's."""
    path = TRAINED / name if (TRAINED / name).exists() else shared_file(name)
    pipeline = Pipeline(path, Options(exact_sums=True))
    accelerator, frames = deployed(pipeline, tmp_path / "deploy")
    assert accelerator.reasons == {"encode": None, "decode": None}
    found = accelerator.logits(frames)
    assert found.tobytes() == pipeline.folded.run(frames).tobytes()
    graph = Graph(pipeline.loaded)
    outputs = graph.execute(frames)[graph.output]
    assert np.allclose(found, outputs, rtol=0, atol=1e-5 * np.abs(outputs).max())
    assert (accelerator.predict(frames) == outputs.argmax(axis=1)).all()
    assert accelerator.selftest() == 16
    if path.name.startswith("TFC"):  # as fast as its memory port; the core itself would be faster
        design = pipeline.folded
        planned = accelerator.benchmark(1)["planned_fps"]
        assert planned == pytest.approx(estimate(design, pipeline.board).fps)
        assert planned < 1e8 / interval(design)


@pytest.mark.parametrize(
    "name", ["models/bnnpynq_lfcW1A1.npz", pytest.param("models/fracnet_cifar10.npz", marks=pytest.mark.long)]
)
def test_imported_networks(name: str, tmp_path: Path) -> None:
    """Labels by a one-hot output, and scores behind a linear layer of floats, added in one order."""
    pipeline = Pipeline(shared_file(name), Options())
    accelerator, frames = deployed(pipeline, tmp_path / "deploy")
    found = accelerator.logits(frames[:4])
    assert found.tobytes() == pipeline.folded.run(frames[:4]).tobytes()
    with pytest.raises(AcceleratorError, match="takes integers from 0 to 255"):
        accelerator.logits(frames[:1] + 0.5)


# --- host shares


class Top(nn.Module):
    """The places of the largest scores."""

    def __init__(self, net: nn.Module, count: int) -> None:
        super().__init__()
        self.net, self.count = net, count

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores = self.net(x)
        if self.count == 1:
            return torch.argmax(scores, dim=1)
        return torch.topk(scores, self.count, dim=1)[1]


HOSTS = {
    "scaled pixels": lambda: nn.Sequential(affine(3), levels(4, signed=True), nn.Flatten(), dense(75, 6)),
    "signs": lambda: nn.Sequential(nn.Flatten(), sign(), dense(75, 6)),
    "narrow levels": lambda: nn.Sequential(nn.Flatten(), levels(3, signed=True, narrow=True), dense(75, 6)),
    "the best label": lambda: Top(nn.Sequential(nn.Flatten(), pixels(), dense(75, 6)), 1),
    "three best labels": lambda: Top(nn.Sequential(nn.Flatten(), pixels(), dense(75, 6)), 3),
}


@pytest.mark.parametrize("name", HOSTS)
def test_host_shares_are_exact(name: str, tmp_path: Path) -> None:
    pipeline = pipeline_of(HOSTS[name](), 3, 5, 5, exact_sums=True)
    accelerator, frames = deployed(pipeline, tmp_path / "deploy")
    assert accelerator.reasons == {"encode": None, "decode": None}
    found, expected = accelerator.logits(frames), pipeline.folded.run(frames)
    assert found.dtype == expected.dtype and found.tobytes() == expected.tobytes()
    graph = Graph(pipeline.loaded)
    outputs = graph.execute(frames)[graph.output]
    assert np.abs(found - outputs).max() <= 1e-5 * np.abs(outputs).max()


def test_results_without_a_form_stay_integers(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Flatten(), pixels(), dense(75, 6), sign(), nn.Linear(6, 5), nn.GELU())
    pipeline = pipeline_of(net, 3, 5, 5, exact_sums=True)
    accelerator, frames = deployed(pipeline, tmp_path / "deploy")
    assert "Gelu_0: Gelu has no form in the driver" in str(accelerator.reasons["decode"])
    assert accelerator.reasons["encode"] is None
    design = pipeline.folded
    expected = design.simulate(design.host.encode(frames))
    assert (accelerator.logits(frames) == expected).all() and accelerator.selftest() == 16
    with pytest.raises(AcceleratorError, match=r"net: has no labels here, .* because .* has no form"):
        accelerator.predict(frames)


def test_frames_without_a_form_are_integers(tmp_path: Path) -> None:
    net = nn.Sequential(nn.GELU(), levels(4, signed=True), nn.Flatten(), dense(75, 6))
    pipeline = pipeline_of(net, 3, 5, 5, exact_sums=True)
    accelerator, frames = deployed(pipeline, tmp_path / "deploy")
    assert "Gelu_0: Gelu has no form in the driver" in str(accelerator.reasons["encode"])
    shape = pipeline.folded.inputs[0].stream.shape
    assert accelerator.frame_shape == shape
    integers = pipeline.folded.host.encode(frames).reshape(FRAMES, *shape)
    assert (accelerator.logits(integers) == pipeline.folded.run(frames)).all()
    with pytest.raises(AcceleratorError, match=r"frame 1, element 0: integer 8; legal: -8 to 7"):
        integers[1].flat[0] = 8
        accelerator.logits(integers)
    with pytest.raises(AcceleratorError, match=r"float64; legal: .* of an integer type"):
        accelerator.logits(integers * 1.0)


# --- packing


@st.composite
def streams(draw: st.DrawFn) -> Stream:
    kind = draw(
        st.one_of(
            st.just(IntType(1, bipolar=True)),
            st.builds(IntType, st.integers(2, 32), st.booleans(), narrow=st.booleans()),
        )
    )
    shape = (*draw(st.lists(st.integers(1, 3), max_size=2)), draw(st.integers(1, 12)))
    return Stream(shape, kind, draw(st.sampled_from(lane_counts(shape[-1], kind.bits))))


@settings(max_examples=150, deadline=None)
@given(streams(), st.integers(0, 3), st.integers(0, 99))
def test_bytes_are_those_of_the_hardware(stream: Stream, frames: int, seed: int) -> None:
    kind = stream.type
    steps = np.random.default_rng(seed).integers(0, kind.levels, (frames, stream.size))
    values = kind.low + kind.step * steps
    own = StreamFormat(stream.shape, kind.bits, kind.signed, kind.bipolar, kind.low, kind.high, stream.lanes)
    packed = own.pack(own.check(values))
    expected = stream.pack(values.reshape(frames, *stream.shape))
    assert packed.shape == (frames, stream.beats * stream.beat_bytes) == (frames, own.frame_bytes)
    assert packed.tobytes() == expected.tobytes()
    assert (own.unpack(packed) == values).all()
    for wrong in (kind.low - 1, kind.high + 1, *([0] if kind.bipolar else [])):
        if frames:
            values[-1, -1] = wrong
            with pytest.raises(AcceleratorError, match=f"frame {frames - 1}, .*integer {wrong}; legal: "):
                own.check(values)


# --- the folder


def test_a_host_share_that_differs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault injection: the driver would round another way."""
    pipeline = Pipeline(load(small_net(), torch.zeros(1, *SHAPE)), Options(name="net"))
    monkeypatch.setattr(operations.ToStream, "__call__", lambda self, x: np.floor(x.reshape(len(x), -1)))
    with pytest.raises(MismatchError, match="net: the driver's encoding of a frame is not the graph's"):
        deployed(pipeline, tmp_path / "deploy")


def test_another_design_is_not_simulated(deployments: Path) -> None:
    """What a folder's model becomes must be what was built."""
    with pytest.raises(MismatchError, match="this version of bnn2fpga builds another design of it"):
        deployment.rebuild(deployments / "sim/simulation", "0" * 64)


def test_model_file_says_what_a_driver_of_ones_own_needs(deployments: Path) -> None:
    facts = json.loads((deployments / "dma/model.json").read_text())
    beside = [name for name in sorted(facts["files"]) if "/" not in name]
    assert beside == ["driver.py", "model.npz", "tiny.bit", "tiny.hwh"]
    assert {"simulation/cpp/top.cpp", "simulation/model.onnx"} <= set(facts["files"])
    assert facts["bitstream"] == {
        "file": "tiny.bit",
        "transport": "dma",
        "memory_port_registers": [0xF8008000, 0xF8008014],
    }
    assert (facts["input"]["beat_bytes"], facts["input"]["frame_bytes"]) == (1, 36)
    assert (facts["clock_mhz"], facts["board"], facts["flow"]) == (100, "pynq-z2", "vivado")
    golden = load_model(deployments / "dma").golden
    assert golden.frames.shape == (16, 1, 6, 6) and golden.results[0].shape == (16, 4)


def test_driver_file_needs_numpy_alone(deployments: Path) -> None:
    """Importing it imports neither pynq nor bnn2fpga."""
    code = "import sys, driver; print(sorted({'pynq', 'bnn2fpga'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=deployments / "sim", capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
    assert (deployments / "sim/driver.py").read_text() == driver_text()
    assert "from ." not in driver_text()
    assert all(onnx not in driver_text() for onnx in ("onnx", "torch"))


@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")
def test_a_folder_is_shipped_as_documented(deployments: Path) -> None:
    """The lines of docs/ship.md, where nothing but numpy can be imported."""
    text = (Path(__file__).parents[2] / "docs/ship.md").read_text()
    (lines,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    absent = "bnn2fpga onnx qonnx torch brevitas finn scipy pydantic"
    code = f"import sys; sys.modules.update(dict.fromkeys({absent.split()}))\n{lines}"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=deployments / "sim", capture_output=True, text=True, check=True
    )
    assert len(done.stdout.splitlines()) == 3
