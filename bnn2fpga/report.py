"""What a build found, as JSON first; pages are rendered from that."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields, is_dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bnn2fpga.codegen import render
from bnn2fpga.dataset import Dataset, predicted_labels
from bnn2fpga.ir import Design, Stream
from bnn2fpga.matrix_vector import MatrixVector


def operations(design: Design) -> int:
    """Synapse operations of one frame: XNORs or additions."""
    units = (node.kernel for node in design.nodes if isinstance(node.kernel, MatrixVector))
    return sum(unit.weights.size * prod(unit.source_shape[:-1]) for unit in units)


def weight_bits(design: Design) -> int:
    """Bits of all weights."""
    units = (node.kernel for node in design.nodes if isinstance(node.kernel, MatrixVector))
    return sum(unit.weights.size * unit.weight_type.bits for unit in units)


def describe(design: Design) -> dict[str, Any]:
    """The dataflow graph: kernels with their ports and folding, and the edges between them."""

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
                "parameters": parameter_digest(node.kernel),
                "inputs": [port(stream) for stream in node.kernel.inputs],
                "outputs": [port(stream) for stream in node.kernel.outputs],
            }
            for node in design.nodes
        ],
        "edges": [
            {"source": str(e.source), "target": str(e.target), "bits": e.stream.bits, "depth": e.depth}
            for e in design.edges
        ],
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


def transformations(applied: Iterable[Any]) -> list[dict[str, Any]]:
    """The streamlining transformations with what each changed."""
    return [asdict(one) for one in applied]


def accuracy(design: Design, data: Dataset, graph: npt.NDArray[Any] | None = None) -> dict[str, Any] | None:
    """Correct labels of the integer design, of the training framework's scores and of the `graph`'s outputs.

    The graph's matter where the design is rounded. None without labels.
    """
    if data.labels is None:
        return None
    found = {"integer design": int((predicted_labels(design.run(data.frames)) == data.labels).sum())}
    if data.scores is not None:
        found["Brevitas"] = int((predicted_labels(data.scores) == data.labels).sum())
    if graph is not None:
        found["before rounding"] = int((predicted_labels(graph) == data.labels).sum())
    return {"frames": len(data.labels), "correct": found}


def gather(folders: Mapping[str, Path]) -> dict[str, Any]:
    """The report of a build from its steps' files."""

    def read(step: str, name: str) -> Any:
        return json.loads((folders[step] / name).read_text())

    return {
        "design": read("fold", "design.json"),
        "estimate": read("fold", "estimate.json"),
        "transformations": read("streamline", "transformations.json") if "streamline" in folders else [],
        "ladder": read("verify", "ladder.json"),
        "synthesis": read("synthesis", "synthesis.json") if "synthesis" in folders else None,
        "hls": read("hls-synthesis", "hls.json") if "hls-synthesis" in folders else None,
        "implementation": read("implementation", "implementation.json")
        if "implementation" in folders
        else None,
        "routing": read("route", "route.json") if "route" in folders else None,
    }


def markdown(facts: Mapping[str, Any]) -> str:
    """The report as a page to read."""
    return render("report.md.j2", **facts)
