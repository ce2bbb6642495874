"""Synthesizes every kind of kernel over a sweep of shapes and foldings, and fits bnn2fpga's estimate to it.

The kernels are those of the tests' contracts, of CNV and of the networks in ../shared, where that is. Measured
kernels are kept in area.json and not synthesized again while their SystemVerilog stays the same.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from math import log2
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.progress import track

from bnn2fpga.errors import FoldingError
from bnn2fpga.ir import Design
from bnn2fpga.kernel import Kernel
from bnn2fpga.matrix_vector import MatrixVector
from bnn2fpga.passes.fold import fold
from bnn2fpga.boards import load_board
from bnn2fpga.passes.widths import without_converters
from bnn2fpga.pipeline import Options, Pipeline
from bnn2fpga.rtl.project import rtl_project
from bnn2fpga.tools.yosys import synthesize
from tests.contract import side_by_side
from tests.rtl.cases import contracts

MEASURED = Path(__file__).with_name("area.json")
NETWORKS = ("TFC_1W1A.onnx", "bnnpynq_lfcW1A1.npz", "bnnpynq_cnvW1A1.npz", "fracnet_cifar10.npz")
RATES = (300.0, 1000.0, 3000.0, 10_000.0)
LARGEST = 2048
"""Products a clock, or bits of a beat, of a kernel in the sweep."""
MEMORY = 300_000
"""Bits of constants in LUTs, likewise; yosys takes minutes for more."""


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
        """Of the datapath: products a clock or bits of the widest beat."""
        ports = self.kernel.inputs + self.kernel.outputs
        lanes = getattr(self.kernel, "pe", 1) * getattr(self.kernel, "simd", 1)
        return max(lanes, *(stream.bits for stream in ports))

    @property
    def constants(self) -> int:
        """Bits of constants that lie in LUTs."""
        return sum(rom.depth * rom.width for rom in self.kernel.roms.values() if rom.style == "logic")

    def files(self) -> dict[str, str]:
        """Its SystemVerilog."""
        files = rtl_project(side_by_side([self.kernel]), primitives=True).files
        return {name: text for name, text in files.items() if not name.endswith(("top_.sv", "fifo_.sv"))}

    def measure(self) -> dict[str, Any]:
        """What yosys needs for it alone, with the digest of what it read."""
        files = self.files()
        with TemporaryDirectory() as folder:
            for name, text in files.items():
                path = Path(folder, name)
                path.parent.mkdir(exist_ok=True)
                path.write_text(text)
            found = synthesize(Path(folder, "rtl"), "k0", Path(folder))
        return {"digest": digest(files)} | found.as_dict()


def digest(files: dict[str, str]) -> str:
    """Over the names and texts of generated files."""
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:16]


def networks(folder: Path) -> Iterator[tuple[str, Design]]:
    """The networks that there are, not folded."""
    for name in NETWORKS:
        if (folder / name).is_file():
            yield name.split(".")[0], Pipeline(folder / name, Options()).lowered


def candidates(folder: Path) -> Iterator[Sample]:
    """Every kernel at every folding."""
    for contract in contracts():
        for kernel, _ in contract.collected():
            yield from (Sample("contract", folded) for folded in kernel.foldings())
    for name, design in networks(folder):
        for node in without_converters(design)[0]:
            yield from (Sample(f"{name} {node.name}", folded) for folded in node.kernel.foldings())
        for rate in RATES:
            try:
                folded = fold(design, load_board("pynq-z2"), 100, rate)
            except FoldingError:
                continue
            yield from (Sample(f"{name} {node.name} {rate:g}", node.kernel) for node in folded.nodes)


def chosen(folder: Path, count: int) -> list[Sample]:
    """At most `count` of a kind, of all sizes alike; the same ones every time."""
    random.seed(0)
    bins: dict[str, dict[int, list[Sample]]] = defaultdict(lambda: defaultdict(list))
    for sample in candidates(folder):
        if sample.size <= LARGEST:
            bins[sample.kind][int(log2(sample.size))].append(sample)
    samples = []
    for kind in sorted(bins):
        rows = [random.sample(bins[kind][size], len(bins[kind][size])) for size in sorted(bins[kind])]
        seen: set[str] = set()
        wanted = count * (2 if issubclass(type(rows[0][0].kernel), MatrixVector) else 1)
        while len(seen) < wanted and any(rows):
            for row in rows:
                sample = row.pop() if row else None
                if sample and str(sample.kernel) not in seen and sample.constants <= MEMORY:
                    seen.add(str(sample.kernel))
                    samples.append(sample)
    random.shuffle(samples)
    return samples


def main() -> None:
    """Measures what is missing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.area", description=__doc__)
    parser.add_argument("--models", type=Path, default=Path(__file__).parents[2] / "shared/models")
    parser.add_argument("--count", type=int, default=30, help="Kernels of a kind.")
    arguments = parser.parse_args()
    samples = chosen(arguments.models, arguments.count)
    known = {row["digest"]: row for row in json.loads(MEASURED.read_text())} if MEASURED.is_file() else {}
    for sample in track(samples, "synthesizing"):
        if digest(sample.files()) not in known:
            row = {"kind": sample.kind, "source": sample.source, "folding": sample.kernel.folding} | sample.measure()
            known[row["digest"]] = row
            MEASURED.write_text(json.dumps(list(known.values()), indent=1) + "\n")


if __name__ == "__main__":
    main()
