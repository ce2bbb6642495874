"""python -m tests.fuzz --minutes 30 -o faults [SEEDS]: changes files of a folder until the time is over.

Without a folder the files are those of `make_seeds`; with `graphs` for SEEDS, random networks are compared.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.fuzz.campaign import campaign


def main() -> int:
    """Prints every fault as it is found; 1 if there was one."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("seeds", nargs="?", help="A folder of .onnx and .npz models, or `graphs`.")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--first", type=int, default=0, help="Number of the first change.")
    parser.add_argument("--count", type=int, default=1 << 40)
    parser.add_argument("--output", "-o", type=Path, default=Path("faults"), help="Folder for what fails.")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as scratch:
        if arguments.seeds is None:
            from tests.fuzz.seeds import make_seeds

            arguments.seeds = make_seeds(Path(scratch))
        return fuzz(arguments)


def fuzz(arguments: argparse.Namespace) -> int:
    """Until the time, or the count, is over."""
    end, faults, counts = time.monotonic() + 60 * arguments.minutes, 0, Counter[str]()
    for verdict in campaign(arguments.seeds, arguments.output, arguments.first, arguments.count):
        counts[verdict.ended] += 1
        if not verdict.ok:
            faults += 1
            print(f"{verdict.name}: {verdict.ended}: {verdict.fault}", flush=True)
        if time.monotonic() > end:
            break
    print(", ".join(f"{count:,} {ended}" for ended, count in sorted(counts.items())), f"{faults} faults")
    return int(faults > 0)


if __name__ == "__main__":
    raise SystemExit(main())
