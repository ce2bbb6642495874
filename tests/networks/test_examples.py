"""Example networks of FINN and Brevitas, from the exported file to the driver alone, against qonnx."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.examples import BNN_PYNQ, EXAMPLES
from bnn2fpga.build.compiler import Options, Pipeline
from bnn2fpga.build.verify import random_frames
from tests.driver.deployments import deploy_pipeline
from tests.networks.test_cases import by_qonnx

ALONE = """
import sys
import numpy as np
from driver import Accelerator

with Accelerator(".", "cpp") as accelerator:
    accelerator.selftest()
    np.save("labels.npy", accelerator.predict(np.load("frames.npy")))
foreign = {"bnn2fpga", "brevitas", "onnx", "onnxruntime", "qonnx", "torch"} & set(sys.modules)
assert not foreign, foreign
"""


def network(name: str, frames: int, *marks: pytest.MarkDecorator) -> object:
    return pytest.param(name, frames, marks=marks, id=f"{name}, {frames} frames")


@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")
@pytest.mark.parametrize(
    ("name", "count"),
    [
        network("TFC W2A2", 40),
        network("cybersecurity W2A2", 40),
        *(network(name, 1000, pytest.mark.long) for name in ("KWS W3A3", "cybersecurity W2A2", *BNN_PYNQ)),
    ],
)
def test_classes_by_the_driver_alone(name: str, count: int, tmp_path: Path) -> None:
    """The deployment folder, numpy and the generated C++ name the class that qonnx' execution does."""
    file = tmp_path / "network.onnx"
    EXAMPLES[name].export().save(str(file))
    # sums on other scales than powers of two are rounded in the graph
    exact_sums = not name.startswith(tuple(BNN_PYNQ))
    pipeline = Pipeline(file, Options(fps=1000, exact_sums=exact_sums))
    frames = random_frames(pipeline, count, seed=3)
    folder = deploy_pipeline(pipeline, frames[:20], tmp_path / "deploy")
    np.save(folder / "frames.npy", frames)
    done = subprocess.run(
        [sys.executable, "-c", ALONE], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    scores = by_qonnx(file, frames).reshape(count, -1)
    labels = scores[:, 0] if scores.shape[1] == 1 else scores.argmax(1)
    np.testing.assert_array_equal(np.load(folder / "labels.npy"), labels)
    assert len(np.unique(labels)) > 1
