"""Tries every network that is at hand, and writes what came out into docs/zoo.md.

Networks are those in ../shared, those in each FOLDER (.onnx), and the examples of FINN and Brevitas that are
exported here. Each is tried in a process of its own. What is known is kept in zoo.json: of networks that
have not changed nothing is tried again without --again, unless it failed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import brevitas
import onnx

from benchmarks import examples
from benchmarks.zoo_page import came_out, page
from benchmarks.zoo_trial import Row, trial

HERE = Path(__file__).parents[1]
SHARED = HERE.parent / "shared"
KEPT, PAGE = HERE / "benchmarks/zoo.json", HERE / "docs/zoo.md"
MODELS = ("TFC_1W1A.onnx", "bnnpynq_lfcW1A1.npz", "bnnpynq_cnvW1A1.npz", "fracnet_cifar10.npz")
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["benchmarks.examples", "benchmarks.zoo_trial"])


@dataclass(frozen=True)
class Network:
    """An example by its name, or a file; `source` says where it comes from."""

    name: str
    source: str
    file: Path | None = None

    @property
    def key(self) -> str:
        """Of its row."""
        return f"{self.source}: {self.name}"

    @property
    def digest(self) -> str:
        """Changes with the network."""
        made = Path(examples.__file__).read_bytes() + f"{brevitas.__version__} {onnx.__version__}".encode()
        return hashlib.sha256(self.file.read_bytes() if self.file else made).hexdigest()[:16]

    def tried(self, limit: float, quick: bool = False) -> Row:
        """What came out of it in a process of its own, which is ended after `limit` seconds."""
        begin = time.monotonic()
        with TemporaryDirectory() as folder:
            process = PROCESSES.Process(target=try_alone, args=(self, Path(folder), quick))
            process.start()
            try:
                process.join(limit)
            finally:
                code = process.exitcode
                if code is None:
                    end(process.pid)
            if code is None:
                row = {"outcome": "stopped", "reason": f"after {limit:,.0f} s"}
            elif code:
                printed = Path(folder, "printed").read_text().strip() or f"exit code {code}"
                row = {"outcome": "failed", "reason": printed.splitlines()[-1]}
            else:
                row = json.loads(Path(folder, "row.json").read_text())
            process.join()
        return row | {"seconds": round(time.monotonic() - begin)}


def end(process: int | None) -> None:
    """Ends a process and those that it has started."""
    assert process
    for kill in (os.killpg, os.kill):  # it may not lead a group yet
        with suppress(ProcessLookupError):
            kill(process, signal.SIGKILL)


def try_alone(network: Network, folder: Path, quick: bool) -> None:
    """In a process of its own, with those that it starts: row.json, and what was printed."""
    os.setsid()
    with Path(folder, "printed").open("w") as printed:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(printed.fileno(), stream.fileno())
    file = network.file
    if file is None:
        file = folder / "model.onnx"
        examples.EXAMPLES[network.name].export().save(str(file))
    Path(folder, "row.json").write_text(json.dumps(trial(file, quick)))


def networks(folders: list[Path]) -> Iterator[Network]:
    """All that there are."""
    for name in MODELS:
        if (SHARED / "models" / name).is_file():
            yield Network(name, "trained by others", SHARED / "models" / name)
    for folder in (SHARED / "cases/networks", *folders):
        for file in sorted(folder.glob("*.onnx")):
            yield Network(file.stem, "users' cases" if folder not in folders else folder.name, file)
    yield from (Network(name, "example, random weights") for name in examples.EXAMPLES)


def is_done(row: Row, quick: bool) -> bool:
    """Whether the network need not be tried again: it is refused, or was compared at every level."""
    every = quick or "unplanned" in row or "RTL" in row.get("levels", {})
    return row["outcome"] == "refused" or (row["outcome"] == "exact" and every)


def main() -> None:
    """Tries what is new or has changed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.zoo", description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER", help="With .onnx files.")
    parser.add_argument("--only", default="", metavar="TEXT", help="Networks whose name holds it.")
    parser.add_argument("--again", action="store_true", help="What has not changed, too.")
    parser.add_argument("--quick", action="store_true", help="Down to numpy alone.")
    parser.add_argument("--limit", type=float, default=600, help="Seconds for one network.")
    arguments = parser.parse_args()
    rows: dict[str, Row] = {}
    if KEPT.is_file():
        rows = {f"{row['source']}: {row['network']}": row for row in json.loads(KEPT.read_text())}
    found = [one for one in networks(arguments.folders) if arguments.only in one.name]
    for place, one in enumerate(found):
        known = rows.get(one.key, {})
        same = known.get("digest") == one.digest and not arguments.again
        if same and is_done(known, arguments.quick):
            continue
        print(f"[{place + 1}/{len(found)}] {one.name}", end=": ", file=sys.stderr, flush=True)
        facts = {"network": one.name, "source": one.source, "digest": one.digest}
        rows[one.key] = facts | one.tried(arguments.limit, arguments.quick)
        print(came_out(rows[one.key])[:100], file=sys.stderr, flush=True)
        ordered = sorted(rows.values(), key=lambda row: (row["source"], row["network"]))
        KEPT.write_text("[\n" + ",\n".join(json.dumps(row) for row in ordered) + "\n]\n")
    kept = list(rows.values()) if not KEPT.is_file() else json.loads(KEPT.read_text())
    PAGE.write_text(page(kept))
    print(PAGE.read_text())


if __name__ == "__main__":
    main()
