"""The child process of trial.py: tidies the graph in a file, with so many bytes of data at most."""

from __future__ import annotations

import resource
import sys

import onnx
from qonnx.core.modelwrapper import ModelWrapper

from bnn2fpga.frontend.graph.load import tidy


def main(path: str, memory: int) -> None:
    """Raises what tidying raises; a crash ends this process only."""
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    tidy(ModelWrapper(onnx.load(path)))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
