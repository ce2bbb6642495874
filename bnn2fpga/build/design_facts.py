"""What a build found, as JSON: what the report and the deployment folder are made of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, fields, is_dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bnn2fpga.build.dataset import Dataset, correct_labels
from bnn2fpga.build.step_runner import STAMP
from bnn2fpga.design.graph import Design
from bnn2fpga.design.kernel import Kernel
from bnn2fpga.design.stream import Stream
from bnn2fpga.kernels.bases.matrix_vector import MatrixVector
from bnn2fpga.planning.estimate import Estimate
from bnn2fpga.planning.roofline import roofline
from bnn2fpga.planning.timing.fifo_needs import FifoNeed
from bnn2fpga.report.dataflow_plot import dataflow_svg
from bnn2fpga.report.report_file import FORMAT


def operations(design: Design) -> int:
    """Synapse operations of one frame: XNORs or additions."""
    return sum(_operations(node.kernel) for node in design.nodes)


def weight_bits(design: Design) -> int:
    """Bits of all weights."""
    return sum(_weight_bits(node.kernel) for node in design.nodes)


def _operations(kernel: Kernel) -> int:
    if not isinstance(kernel, MatrixVector):
        return 0
    return kernel.weights.size * prod(kernel.source_shape[:-1])


def _weight_bits(kernel: Kernel) -> int:
    return kernel.weights.size * kernel.weight_type.bits if isinstance(kernel, MatrixVector) else 0


def describe(design: Design) -> dict[str, Any]:
    """The dataflow graph: kernels with their ports and folding, and the edges between them.

    `cycles` are those of one frame, `bits` the width of a beat of `lanes` integers, `bytes` a frame's on a
    byte-aligned bus, `depth` that of the FIFO in beats. An end that is None is the outside. `host` are the
    nodes that the host computes, with their cost for one frame.
    """

    def port(stream: Stream) -> dict[str, Any]:
        return {"shape": list(stream.shape), "type": str(stream.type), "lanes": stream.lanes}

    return {
        "name": design.name,
        "operations": operations(design),
        "weight_bits": weight_bits(design),
        "kernels": [
            {
                "name": node.name,
                "kernel": type(node.kernel).__name__,
                "folding": node.kernel.folding,
                "cycles": node.kernel.cycles.interval,
                "operations": _operations(node.kernel),
                "weight_bits": _weight_bits(node.kernel),
                "parameters": parameter_digest(node.kernel),
                "inputs": [port(stream) for stream in node.kernel.inputs],
                "outputs": [port(stream) for stream in node.kernel.outputs],
            }
            for node in design.nodes
        ],
        "edges": [
            {
                "source": edge.source.node,
                "source_port": edge.source.index,
                "target": edge.target.node,
                "target_port": edge.target.index,
                **port(edge.stream),
                "bits": edge.stream.bits,
                "bytes": edge.stream.frame_bytes,
                "depth": edge.depth,
            }
            for edge in design.edges
        ],
        "host": [asdict(node) for node in design.host.share().work],
    }


def parameter_digest(value: Any) -> str:
    """SHA-256 over a kernel's fields, arrays included: equal for kernels that compute the same alike."""
    digest = hashlib.sha256()

    def add(item: Any) -> None:
        if is_dataclass(item):
            digest.update(type(item).__name__.encode())
            for field in fields(item):
                digest.update(f"\0{field.name}".encode())
                add(getattr(item, field.name))
        elif isinstance(item, np.ndarray):
            digest.update(f"{item.shape}".encode() + np.ascontiguousarray(item, np.int64).tobytes())
        else:
            digest.update(repr(item).encode())

    add(value)
    return digest.hexdigest()


def planned(estimate: Estimate, needs: Iterable[FifoNeed]) -> dict[str, Any]:
    """The estimate of a folded design, with its FIFOs."""
    fifos = [asdict(need) | {"reason": need.reason, "why": need.why} for need in needs]
    return estimate.as_dict() | {"fifos": fifos}


def transformations(applied: Iterable[Any]) -> list[dict[str, Any]]:
    """The streamlining transformations with what each changed."""
    return [asdict(one) for one in applied]


def accuracy(design: Design, data: Dataset, graph: npt.NDArray[Any] | None = None) -> dict[str, Any] | None:
    """Correct labels of the integer design, of the training framework's scores and of the `graph`'s outputs.

    The graph's matter where the design is rounded. None without labels, and for several outputs.
    """
    if data.labels is None or len(design.host.share().outputs) > 1:
        return None
    found = {"integer design": correct_labels(design.run(data.frames), data.labels)}
    if data.scores is not None:
        found["Brevitas"] = correct_labels(data.scores, data.labels)
    if graph is not None:
        found["before rounding"] = correct_labels(graph, data.labels)
    return {"frames": len(data.labels), "correct": found}


def gather(folders: Mapping[str, Path], files: Mapping[str, str]) -> dict[str, Any]:
    """The report of a build from its steps' folders; `files` are digests of what went in."""

    def read(step: str, name: str) -> Any:
        return json.loads((folders[step] / name).read_text())

    design, estimate, board = (read("fold", f"{name}.json") for name in ("design", "estimate", "board"))
    return {
        "format": FORMAT,
        "design": design,
        "estimate": estimate,
        "board": board,
        "roofline": roofline(design, estimate, board),
        "transformations": read("streamline", "transformations.json") if "streamline" in folders else [],
        "ladder": _ladder(read, "prove" in folders),
        "synthesis": read("synthesis", "synthesis.json") if "synthesis" in folders else None,
        "hls": read("hls-synthesis", "hls.json") if "hls-synthesis" in folders else None,
        "implementation": _implementation(read, folders, estimate["frame_cycles"]),
        "routing": _routing(read, estimate["frame_cycles"]) if "route" in folders else None,
        "versions": read("verify", "versions.json"),
        "digests": {"files": files, "steps": {step: read(step, STAMP)["outputs"] for step in folders}},
    }


def _implementation(read: Callable[[str, str], Any], folders: Iterable[str], frame_cycles: int) -> Any:
    """What Vivado found, and of RTL what the board makes of it; None where it did not run."""
    if "implementation" not in folders:
        return None
    reached = _reached(read, frame_cycles) if "bitstream" in folders else {}
    return read("implementation", "implementation.json") | reached


def _ladder(read: Callable[[str, str], Any], proven: bool) -> dict[str, Any]:
    """All levels that were compared, down to the bitstream if it was read back."""
    ladder: dict[str, Any] = read("verify", "ladder.json")
    if not proven:
        return ladder
    last = read("prove", "proof.json")
    return ladder | {"equal": ladder["equal"] and last["equal"], "levels": ladder["levels"] + last["levels"]}


def _routing(read: Callable[[str, str], Any], frame_cycles: int) -> dict[str, Any]:
    """What place and route found, and what the board makes of it."""
    timing, routed = read("bitstream", "timing.json"), read("route", "route.json")
    return {**routed, **timing, **_reached(read, frame_cycles)}


def _reached(read: Callable[[str, str], Any], frame_cycles: int) -> dict[str, float]:
    """The clock at which the board runs, and frames a second."""
    clock = read("bitstream", "registers.json")["clock_mhz"]
    return {"clock_mhz": clock, "fps": round(1e6 * clock / frame_cycles, 1)}


def draw(design: Design) -> str:
    """A folded `design` as a picture (SVG): kernels, and streams with their width and FIFO depth."""
    return dataflow_svg(describe(design))
