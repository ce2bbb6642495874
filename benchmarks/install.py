"""Megabytes that an installation takes, and seconds until commands answer.

python -m benchmarks.install, in the environment that is to be measured. Sizes are those of files that belong
to bnn2fpga and to what it requires, without the extra `dev`; seconds are the median of fresh processes, files
already read once.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import time
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import bnn2fpga

RUNS = 7
MODEL = str(Path(bnn2fpga.__file__).with_name("training") / "trained/digits.onnx")
CUDA = re.compile(r"nvidia|cuda|triton")


def required(name: str, seen: dict[str, Distribution]) -> None:
    """Adds a distribution and all that it requires here to `seen`."""
    key = re.sub(r"[-_.]+", "-", name).lower()
    if key in seen:
        return
    try:
        seen[key] = distribution(name)
    except PackageNotFoundError:
        return
    for requirement in seen[key].requires or ():
        if "extra ==" not in requirement:
            required(re.split(r"[\s;<>=!~\[(]", requirement, maxsplit=1)[0], seen)


def megabytes(found: Distribution) -> float:
    """Of its files on disk."""
    places = (Path(str(found.locate_file(file))) for file in found.files or ())
    return sum(place.stat().st_size for place in places if place.is_file()) / 1e6


def answer(*arguments: str) -> float:
    """Seconds of a fresh Python, the median of some."""
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    """Two tables in Markdown."""
    seen: dict[str, Distribution] = {}
    required("bnn2fpga", seen)
    sizes = {name: megabytes(found) for name, found in seen.items()}
    cuda = sum(size for name, size in sizes.items() if CUDA.match(name))
    torch, total = sizes.get("torch", 0), sum(sizes.values())
    print("| installed | MB |\n|---|---:|")
    print(f"| torch {seen['torch'].version} | {torch:,.0f} |\n| CUDA and Triton | {cuda:,.0f} |")
    print(f"| {len(sizes) - 1} packages in all | {total:,.0f} |\n")
    whole = answer("-c", "import torch")
    print("| command | seconds | `import torch` alone takes so many times as long |\n|---|---:|---:|")
    for title, arguments in {
        "`import bnn2fpga`": ("-c", "import bnn2fpga"),
        "`bnn2fpga --help`": ("-m", "bnn2fpga", "--help"),
        "`bnn2fpga boards`": ("-m", "bnn2fpga", "boards"),
        "`bnn2fpga estimate digits.onnx`": ("-m", "bnn2fpga", "estimate", MODEL),
        "`bnn2fpga simulate digits.onnx`": ("-m", "bnn2fpga", "simulate", MODEL),
    }.items():
        took = answer(*arguments)
        print(f"| {title} | {took:.2f} | {whole / took:.1f} |", flush=True)


main()
