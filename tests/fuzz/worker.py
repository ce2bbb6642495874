"""A child process that takes files in; for each it prints what came of it, as a line of JSON.

Arguments: a folder with the files to change, or GRAPHS for random networks; a folder for what is taken in;
the first number and how many.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
import traceback
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np
import onnx
from qonnx.core.modelwrapper import ModelWrapper

from bnn2fpga.build.compiler import Options, Pipeline
from bnn2fpga.build.ladder import compare_outputs
from bnn2fpga.build.verify import random_frames, verify
from bnn2fpga.errors import BuildError, ModelError
from bnn2fpga.frontend.graph import entrance, trial
from bnn2fpga.frontend.graph.execute import Graph
from bnn2fpga.frontend.graph.load import tidy
from tests.fuzz.graphs import ByNumber, random_graph
from tests.fuzz.mutations import changed_arrays, changed_bytes, changed_graph

SECONDS = 60
"""Of the processor, for one file."""
GRAPHS = "graphs"
FRAMES = 16
LADDER = 15
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


def take_in(path: Path, number: int) -> str:
    """How a changed file ended."""
    assert Pipeline(path, Options()).lowered
    return "built"


def compare(path: Path, number: int) -> str:
    """How a random network ended: numpy against QONNX, and every LADDER-th on every level."""
    if number % LADDER == 0:
        ladder = verify(path, FRAMES, cpp_frames=4, rtl_frames=1)
        assert ladder.ok, ladder
        return "equal on all levels"
    pipeline = Pipeline(path, Options())
    frames = random_frames(pipeline, FRAMES)
    graph = Graph(pipeline.loaded)
    expected = graph.execute(frames)[graph.output]
    level = compare_outputs("numpy", "QONNX", expected, pipeline.lowered.run(frames))
    assert level.ok, level
    return "equal" if np.ptp(expected, axis=0).any() else "equal, the same for all frames"


def random_file(seeds: str, number: int) -> tuple[str, bytes]:
    """What number `number` is: the ending of its name, and its content."""
    if seeds == GRAPHS:
        return ".onnx", random_graph(ByNumber(number)).SerializeToString()
    return changed(Path(seeds), number)


class Trials:
    """As bnn2fpga's own trials of a graph in a child, with its limits, but of processes that need not start.

    They are forked off one that has the libraries and has used none of them: it has no threads.
    """

    def __init__(self) -> None:
        (their_requests, requests), (answers, their_answers) = os.pipe(), os.pipe()
        if not os.fork():
            os.close(requests)
            with os.fdopen(their_requests) as paths, os.fdopen(their_answers, "w") as said:
                for path in paths:
                    print(self._ended(path.rstrip()), file=said, flush=True)
            os._exit(0)
        os.close(their_requests)
        os.close(their_answers)
        self.requests, self.answers = os.fdopen(requests, "w"), os.fdopen(answers)

    @staticmethod
    def _ended(path: str) -> int:
        """How a child ends that tidies this file."""
        child = os.fork()
        if not child:
            try:
                resource.setrlimit(resource.RLIMIT_DATA, (trial.MEMORY, trial.MEMORY))
                resource.setrlimit(resource.RLIMIT_CPU, (trial.SECONDS, resource.RLIM_INFINITY))
                tidy(ModelWrapper(onnx.load(path)))
            except BaseException:
                os._exit(1)
            os._exit(0)
        return os.waitpid(child, 0)[1]

    def __call__(self, proto: onnx.ModelProto) -> None:
        """A ModelError where the child does not end well."""
        with NamedTemporaryFile(suffix=".onnx") as file:
            file.write(proto.SerializeToString())
            file.flush()
            print(file.name, file=self.requests, flush=True)
            status = int(self.answers.readline())
        if status:
            raise ModelError(f"the graph cannot be tidied: its trial ends with {status}")


def main(seeds: str, folder: Path, first: int, count: int) -> None:
    """Says `begin` with the file's name, then how it ended."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    entrance.try_in_a_child = Trials()
    for number in range(first, first + count):
        suffix, content = random_file(seeds, number)
        path = folder / f"{number}{suffix}"
        path.write_bytes(content)
        print(json.dumps({"begin": path.name}), flush=True)
        start, fault = time.monotonic(), ""
        limit = int(time.process_time()) + SECONDS
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
        try:
            ended = (compare if seeds == GRAPHS else take_in)(path, number)
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
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
