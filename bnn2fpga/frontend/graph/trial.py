"""A graph is tidied in a child process first, where a crash of a library is an error of one line."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx

from bnn2fpga.errors import ModelError

SECONDS = 60
MEMORY = 4 << 30
"""Bytes of data of the child."""


def try_in_a_child(proto: onnx.ModelProto) -> None:
    """A ModelError where the libraries crash on a graph, or need more than MEMORY or SECONDS."""
    with TemporaryDirectory(prefix="bnn2fpga-") as folder:
        path = Path(folder, "model.onnx")
        path.write_bytes(proto.SerializeToString())
        try:
            done = subprocess.run(
                [sys.executable, "-m", "bnn2fpga.frontend.graph.tidy_file", path, str(MEMORY)],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ModelError(f"the graph cannot be tidied within {SECONDS} s") from None
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise ModelError(f"the graph cannot be tidied: onnx or onnxruntime ends with {name} on it")
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason is told"])[-1]
        raise ModelError(reason.partition("ModelError: ")[2] or f"the graph cannot be tidied: {reason}")
