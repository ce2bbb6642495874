"""Synthesizes every kind of kernel over a sweep of shapes and foldings, and fits bnn2fpga's estimate to it.

The kernels are those of the tests' contracts and of the networks in ../shared, where that is. Measured ones
are kept in area.json and not synthesized again while their SystemVerilog stays the same.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from itertools import islice, product, zip_longest
from math import log2
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.progress import track
from scipy.optimize import least_squares

from bnn2fpga.backends.rtl import rtl_project
from bnn2fpga.backends.rtl_cells import copies_text, fifo_text
from bnn2fpga.build.choices import Flow
from bnn2fpga.build.compiler import Options, Pipeline
from bnn2fpga.circuits.memory import fifo_parts
from bnn2fpga.circuits.resources import FITTED
from bnn2fpga.design.graph import Design
from bnn2fpga.design.kernel import Kernel
from bnn2fpga.files.project import Project
from bnn2fpga.kernels.bases.matrix_vector import MatrixVector
from bnn2fpga.planning.folding.width_converters import converters, without_converters
from bnn2fpga.tools.yosys import synthesize
from tests.contract import side_by_side
from tests.rtl.cases import contracts

MEASURED = Path(__file__).with_name("area.json")
NETWORKS = ("TFC_1W1A.onnx", "bnnpynq_lfcW1A1.npz", "bnnpynq_cnvW1A1.npz", "fracnet_cifar10.npz")
PLANS: tuple[tuple[str, float | None, Flow], ...] = (
    ("TFC_1W1A.onnx", 100_000, "vitis"),
    ("TFC_1W1A.onnx", None, "openxc7"),
    ("bnnpynq_lfcW1A1.npz", 300_000, "vitis"),
    ("bnnpynq_lfcW1A1.npz", 195_000, "openxc7"),
    ("bnnpynq_cnvW1A1.npz", 10_000, "vitis"),
    ("bnnpynq_cnvW1A1.npz", 10_000, "openxc7"),
    ("bnnpynq_cnvW1A1.npz", None, "vitis"),
    ("fracnet_cifar10.npz", 10_000, "vitis"),
    ("fracnet_cifar10.npz", None, "vitis"),
)
"""Frames a second on a PYNQ-Z2; None is as fast as it allows. Their kernels are in the sweep as they are."""
LARGEST = 1024
"""Products a clock, or bits of a beat, of a kernel in the sweep."""
MEMORY = 60_000
"""Bits of constants in LUTs, likewise; yosys takes minutes for more."""

FIFOS = (
    *product((3, 5, 8, 12, 16, 24, 32, 50, 64, 100, 128, 200, 256, 400, 512, 800, 1024, 3000, 4096), (8,)),
    *product((5, 32, 64, 100, 512), (300, 800)),
)
"""Depths and widths."""
SMALL = 100
"""LUTs; of kernels with less, it does not matter how far off the estimate is in per cent."""

ODD = 0.1
"""Part of a kernel's LUTs; one that is farther off counts less."""
MOST = 0.9
"""Part of a kind's kernels whose paths are no longer than the one that a report names."""
HELD = {"deep constants": 1.0}
"""LUTs of parts that are cells, as many as are counted."""
PULL = 0.05
"""Of a part's coefficient to 1, against the measurements."""

Row = dict[str, Any]
"""A measured kernel as area.json keeps it."""


@dataclass(frozen=True)
class Sample:
    """A kernel of the sweep and where it comes from."""

    source: str
    kernel: Kernel

    @property
    def kind(self) -> str:
        """The kernel's class."""
        return type(self.kernel).__name__

    @property
    def size(self) -> int:
        """Of the datapath: products of single bits a clock, or bits of the widest beat."""
        ports, kernel = self.kernel.inputs + self.kernel.outputs, self.kernel
        elements = getattr(kernel, "pe", getattr(kernel, "lanes", 1))
        products = [count.products for count in kernel.popcounts]
        return max(elements * max(getattr(kernel, "simd", 1), *products, 0), *(s.bits for s in ports))

    @property
    def constants(self) -> int:
        """Bits of constants that lie in LUTs."""
        return sum(rom.depth * rom.width for rom in self.kernel.roms.values() if rom.style == "logic")

    @property
    def key(self) -> str:
        """In an order that has nothing to do with shapes."""
        ports = self.kernel.inputs + self.kernel.outputs
        return hashlib.sha256(f"{self.kind} {ports} {self.kernel.folding} {self.source}".encode()).hexdigest()

    @property
    def facts(self) -> Row:
        """What it is, and how much of what it counts."""
        return {
            "kind": self.kind,
            "source": self.source,
            "folding": self.kernel.folding,
            "parts": self.kernel.every_part,
            "memories": [asdict(memory) for memory in self.kernel.memories],
        }

    def files(self) -> dict[str, str]:
        """Its SystemVerilog."""
        files = rtl_project(side_by_side([self.kernel]), primitives=True).files
        return {name: text for name, text in files.items() if not name.endswith(("top_.sv", "fifo_.sv"))}


def measure(files: dict[str, str], top: str) -> Row:
    """What yosys needs for module `top`, with the digest of what it read."""
    with TemporaryDirectory() as folder:
        Project(files).write(Path(folder))
        found = synthesize(Path(folder, "rtl"), top, Path(folder))
    return {"digest": digest(files), "path_ns": found.path_ns} | found.as_dict()


def digest(files: dict[str, str]) -> str:
    """Over the names and texts of generated files."""
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:16]


def networks(folder: Path) -> Iterator[tuple[str, Design]]:
    """The networks that there are, not folded."""
    for name in NETWORKS:
        if (folder / name).is_file():
            yield name.split(".")[0], Pipeline(folder / name, Options()).lowered


def candidates(folder: Path) -> Iterator[Sample]:
    """Every kernel at every folding, and the width converters that these would need."""
    for contract in contracts():
        for kernel, _ in contract.collected():
            yield from (Sample("contract", folded) for folded in kernel.foldings())
    for name, design in networks(folder):
        nodes, edges = without_converters(design)
        foldings = {node.name: list(node.kernel.foldings()) for node in nodes}
        for node in nodes:
            yield from (Sample(f"{name} {node.name}", folded) for folded in foldings[node.name])
        for edge in edges:
            ends = product(foldings.get(edge.source.node or "", ()), foldings.get(edge.target.node or "", ()))
            for source, target in ends:
                have, wanted = source.outputs[edge.source.index], target.inputs[edge.target.index]
                yield from (Sample(f"{name} {edge.target}", one) for one in converters(have, wanted))


def chosen(folder: Path, count: int) -> list[Sample]:
    """About `count` of a kind, of all sizes alike, twice as many matrix-vector units."""
    bins: dict[str, dict[int, dict[str, Sample]]] = defaultdict(lambda: defaultdict(dict))
    for sample in candidates(folder):
        if sample.size <= LARGEST:
            bins[sample.kind][int(log2(sample.size))][sample.key] = sample
    samples = []
    for kind in sorted(bins):
        sizes = [[own[key] for key in sorted(own)] for _, own in sorted(bins[kind].items())]
        turns = (sample for turn in zip_longest(*sizes) for sample in turn if sample)
        wanted = count * (2 if isinstance(sizes[0][0].kernel, MatrixVector) else 1)
        samples += list(islice((sample for sample in turns if sample.constants <= MEMORY), wanted))
    return sorted(samples, key=lambda sample: sample.key)


def planned(folder: Path) -> Iterator[Sample]:
    """Every kernel of the plans that there are models for."""
    for name, fps, flow in PLANS:
        if (folder / name).is_file():
            for node in Pipeline(folder / name, Options(fps=fps, flow=flow)).folded.nodes:
                yield Sample(f"{name.split('.')[0]} {node.name}", node.kernel)


def fifo_files(depth: int, width: int) -> dict[str, str]:
    """A FIFO of `depth` beats of `width` bits."""
    text = fifo_text(primitives=True).replace("WIDTH = 1", f"WIDTH = {width}")
    files = {
        "fifo_.sv": text.replace("DEPTH = 2", f"DEPTH = {depth}"),
        "copies_.sv": copies_text(primitives=True),
    }
    return {f"rtl/{name}": text for name, text in files.items()}


def fit(rows: list[Row]) -> dict[str, Any]:
    """Coefficients of every part, none negative, with the least relative error of LUTs and flip-flops."""
    found = {}
    for what in ("luts", "flipflops"):
        names = sorted({name for row in rows for name, count in row["parts"].items() if count})
        held = {}
        if what == "luts":
            held = HELD
            names = [name for name in names if name not in held and not name.endswith("registers")]
        needed = np.array([row[what] for row in rows], float)
        weight = 1 / np.maximum(needed, SMALL)
        known = [sum(c * row["parts"].get(name, 0) for name, c in held.items()) for row in rows]
        measured = needed - np.array(known)
        counts = np.array([[row["parts"].get(name, 0) for name in names] for row in rows], float)
        counts *= weight[:, None]
        # what the rows do not tell is pulled to one a part, the more of it there is the more
        pull = PULL * np.diag(np.sqrt((counts**2).sum(axis=0)))
        wanted = np.concatenate([measured * weight, pull.sum(axis=0)])
        rows_and_pull = np.vstack([counts, pull])
        solution = least_squares(
            lambda x, a=rows_and_pull, b=wanted: a @ x - b,
            np.ones(len(names)),
            lambda x, a=rows_and_pull, b=wanted: a,
            (0, np.inf),
            loss="soft_l1",
            f_scale=ODD,
        ).x
        fitted = {name: round(float(c), 4) for name, c in zip(names, solution, strict=True) if c > 1e-4}
        found[what] = held | fitted
    return found


def deviations(rows: list[Row], fitted: dict[str, Any]) -> npt.NDArray[np.float64]:
    """Relative deviations of the estimated LUTs; of kernels below SMALL, parts of SMALL."""
    measured = np.array([row["luts"] for row in rows], float)
    counted = [sum(fitted["luts"].get(n, 0) * c for n, c in row["parts"].items()) for row in rows]
    return (np.array(counted) - measured) / np.maximum(measured, SMALL)


def unseen(rows: list[Row]) -> npt.NDArray[np.float64]:
    """Deviations of all rows of a kind, each from a fit to the other three quarters, in the rows' order.

    Kernels of the same parts are in the same quarter.
    """
    quarter = np.array([hashlib.sha256(json.dumps(row["parts"]).encode()).digest()[0] % 4 for row in rows])
    off = np.zeros(len(rows))
    for held in set(quarter):
        seen = [row for row, own in zip(rows, quarter, strict=True) if own != held]
        off[quarter == held] = deviations(rows, fit(seen or rows))[quarter == held]
    return off


def report(rows: list[Row]) -> dict[str, Any]:
    """The fits to all rows of a kind, with how far off fits to three quarters of them are on the others.

    Prints that, and the longest path of any.
    """
    kinds = sorted({row["kind"] for row in rows})
    fits, every = {}, []
    print("| kernel | measured | within 10 % | median, % | worst, % | longest path, ns |")
    print("|---|---:|---:|---:|---:|---:|")
    for kind in kinds:
        own = [row for row in rows if row["kind"] == kind]
        off = 100 * np.abs(unseen(own))
        fits[kind] = fit(own)
        fits[kind]["error"] = {
            "median": round(float(np.median(off)) / 100, 4),
            "worst": round(float(off.max()) / 100, 4),
        }
        paths = [row["path_ns"] for row in own]
        fits[kind]["path_ns"] = round(float(np.quantile(paths, MOST)), 3)
        every.append(off)
        print(line(kind, off, paths))
    print(line("all", np.concatenate(every), [row["path_ns"] for row in rows]))
    return fits


def line(kind: str, off: npt.NDArray[np.float64], paths: list[float]) -> str:
    """Of the printed table."""
    close = int((off <= 10).sum())
    return f"| {kind} | {len(off)} | {close} | {np.median(off):.1f} | {off.max():.1f} | {max(paths):.1f} |"


def keep(rows: Iterable[Row]) -> None:
    """In area.json, a line each."""
    MEASURED.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


def main() -> None:
    """Measures what is missing, then fits."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.area", description=__doc__)
    parser.add_argument("--models", type=Path, default=Path(__file__).parents[2] / "shared/models")
    parser.add_argument("--count", type=int, default=24, help="Kernels of a kind.")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="Syntheses at a time.")
    parser.add_argument(
        "--kind", action="append", help="Measure kernels of this class alone; keep the others."
    )
    parser.add_argument("--fit-only", action="store_true", help="Synthesize nothing.")
    arguments = parser.parse_args()
    known = {row["digest"]: row for row in json.loads(MEASURED.read_text())} if MEASURED.is_file() else {}
    # plans follow the fit: what was measured for the plans before is not dropped by fitting alone
    rows: dict[str, Row] = dict(known) if arguments.fit_only or arguments.kind else {}
    sweep = chosen(arguments.models, arguments.count) + list(planned(arguments.models))
    asked = [sample for sample in sweep if not arguments.kind or sample.kind in arguments.kind]
    samples = {digest(sample.files()): sample for sample in asked}
    missing = [] if arguments.fit_only else [key for key in samples if key not in known]
    pool = ThreadPoolExecutor(arguments.workers)
    runs = {pool.submit(measure, samples[key].files(), "k0"): key for key in missing}
    try:
        for done in track(as_completed(runs), "synthesizing", len(runs)):
            known[runs[done]] = done.result() | samples[runs[done]].facts
            keep(known.values())
    finally:
        pool.shutdown(cancel_futures=True)
    rows |= {key: known[key] | sample.facts for key, sample in samples.items() if key in known}
    for depth, width in FIFOS:
        files = fifo_files(depth, width)
        key = digest(files)
        row = known.get(key) or measure(files, "fifo_")
        rows[key] = (
            row | {"kind": "Fifo", "source": f"{depth} of {width}"} | {"parts": fifo_parts(depth, width)}
        )
    keep(rows.values())
    fits = report(list(rows.values()))
    FITTED.write_text(json.dumps(fits, indent=1) + "\n")


if __name__ == "__main__":
    main()
