"""A child process that takes changed files in; for each it prints what came of it, as a line of JSON.

Arguments: a folder with the files to change, a folder for the changed ones, the first number and how many.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
import traceback
from pathlib import Path

import numpy as np
import onnx
from qonnx.core.modelwrapper import ModelWrapper

from bnn2fpga.build.compiler import Options, Pipeline
from bnn2fpga.errors import BuildError, ModelError
from bnn2fpga.frontend.graph import entrance, trial
from bnn2fpga.frontend.graph.load import tidy
from tests.fuzz.mutations import changed_arrays, changed_bytes, changed_graph

SECONDS = 60
"""Of the processor, for one file."""
MEMORY = 6 << 30
"""Bytes of data, those of the libraries included."""


def changed(seeds: Path, number: int) -> tuple[str, bytes]:
    """File `number`: the ending of its name, and its content; two of seven are changed in structure."""
    random = np.random.default_rng(number)
    files = sorted(seeds.iterdir())
    source = files[int(random.integers(len(files)))]
    structural = changed_graph if source.suffix == ".onnx" else changed_arrays
    change = structural if number % 7 < 2 else changed_bytes
    return source.suffix, change(source.read_bytes(), random)


def forked_trial(proto: onnx.ModelProto) -> None:
    """As bnn2fpga's own trial of a graph in a child, with its limits, of a process that need not start."""
    child = os.fork()
    if not child:
        try:
            resource.setrlimit(resource.RLIMIT_DATA, (trial.MEMORY, trial.MEMORY))
            resource.setrlimit(resource.RLIMIT_CPU, (trial.SECONDS, resource.RLIM_INFINITY))
            tidy(ModelWrapper(proto))
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if status:
        raise ModelError(f"the graph cannot be tidied: its trial ends with {status}")


def main(seeds: Path, folder: Path, first: int, count: int) -> None:
    """Says `begin` with the file's name, then how it ended."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    entrance.try_in_a_child = forked_trial
    for number in range(first, first + count):
        suffix, content = changed(seeds, number)
        path = folder / f"{number}{suffix}"
        path.write_bytes(content)
        print(json.dumps({"begin": path.name}), flush=True)
        start, fault = time.monotonic(), ""
        limit = int(time.process_time()) + SECONDS
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
        try:
            assert Pipeline(path, Options()).lowered
            ended = "built"
        except BuildError as error:
            ended = "refused"
            fault = "more than one line" if "\n" in str(error) else ""
        except BaseException:
            ended, fault = "failed", traceback.format_exc()
        facts = {"ended": ended, "fault": fault, "seconds": round(time.monotonic() - start, 2)}
        print(json.dumps(facts), flush=True)
        if not fault:
            path.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
