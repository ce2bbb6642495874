"""Synthesizes each kernel of a design on its own, several at a time, and keeps the cells for the next build.

The cells are gates, registers, memories and carry chains: most of yosys' time goes into these. LUTs are made
of all kernels at once, which takes seconds and finds what kernels share with the FIFOs between them.

The folder `kernels` of a build holds NAME-DIGEST.il.gz, a kernel's cells in yosys' own format, and NAME.log.
The digest is over all that decides on the cells: a kernel that stays the same is not synthesized again.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import threading
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bnn2fpga.files.writing import write_whole
from bnn2fpga.planning.pool import open_pool
from bnn2fpga.tools.yosys import map_gates, run_yosys, yosys_version

FOLDER = "kernels"
"""Beside the folders of a build's steps."""


@dataclass(frozen=True)
class Request:
    """Kernels of which RTL are to be mapped into which folder; `stop` ends it.

    `texts` are those of its files, `places` the files of modules and of memories by name.
    """

    yosys: str
    version: str
    rtl: Path
    texts: Mapping[Path, str]
    places: Mapping[str, Path]
    store: Path
    into: Path
    stop: threading.Event


def kernel_sources(rtl: Path) -> list[Path]:
    """The file of each kernel, a module of the same name without parameters; names of others end in `_`."""
    return sorted(path for path in rtl.glob("*.sv") if not path.stem.endswith("_"))


def map_kernels(yosys: str, rtl: Path, store: Path, into: Path, jobs: int | None) -> None:
    """Writes NAME.il for each kernel of `rtl` into the folder `into`; `jobs` at a time, None is one a core.

    What `store` keeps is taken from there; what is of no use any more is removed. Raises a ToolError that
    names the kernel.
    """
    store.mkdir(exist_ok=True)
    texts = {path: path.read_text() for path in rtl.glob("*.sv")}
    places = {
        module: path for path, text in texts.items() for module in re.findall(r"^module (\w+)", text, re.M)
    }
    places |= {path.name: path for path in rtl.glob("*.mem")}
    request = Request(yosys, yosys_version(yosys), rtl, texts, places, store, into, threading.Event())
    names = [path.stem for path in kernel_sources(rtl)]
    with open_pool(jobs, threads=True) as pool:
        try:
            used = {kept for _, kept in pool.apply(_map_kernel, request, names)}
        except BaseException:
            request.stop.set()
            raise
    for path in set(store.iterdir()) - used - {store / f"{name}.log" for name in names}:
        path.unlink()


def _map_kernel(name: str, request: Request) -> Path:
    """Gives where its cells are kept."""
    files = _needed(name, request)
    sources = [file for file in files if file in request.texts]
    block_ram = any('ram_style = "block"' in request.texts[file] for file in sources)
    script = (
        f"read_verilog -sv {' '.join(file.name for file in sources)}; {map_gates(name, block_ram)}; "
        f"opt_merge; opt_clean; check -assert; select {name}; setattr -mod -unset top; "
        "write_rtlil -selected"
    )
    digest = hashlib.sha256(f"{request.version} {script}".encode())
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    kept, cells = request.store / f"{name}-{digest.hexdigest()[:16]}.il.gz", request.into / f"{name}.il"
    if content := _read(kept):
        cells.write_bytes(content)
    else:
        log = request.store / f"{name}.log"
        run_yosys(request.yosys, request.rtl, f'{script} "{cells}"', name, log, request.stop)
        write_whole(kept, gzip.compress(cells.read_bytes(), 1, mtime=0))
    return kept


def _read(path: Path) -> bytes:
    """Nothing if it is absent or damaged."""
    try:
        return gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error):
        return b""


def _needed(name: str, request: Request) -> list[Path]:
    """The file of a kernel, those of the modules that it instantiates, and the memory files they read."""
    found: set[Path] = set()
    to_read = {request.places[name]}
    while to_read:
        found |= to_read
        words = {word for path in to_read for word in re.findall(r"[\w.]+", request.texts.get(path, ""))}
        to_read = {request.places[word] for word in words & request.places.keys()} - found
    return sorted(found)
