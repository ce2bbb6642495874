"""A deployment folder as it was written: model.json, the arrays beside it, and checksums of all files."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

import numpy as np

from .facts import array, extents, file_name, number, text, whole, wholes
from .fault import AcceleratorError
from .program import Program, read_program
from .streams import StreamFormat

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = 4
"""What model.json says of itself; another number is another layout."""
MODEL_FILE = "model.json"
ARRAYS_FILE = "model.npz"
SIMULATION = "simulation"
"""The folder with what a PC needs to simulate; the board does not."""
TRANSPORTS = ("dma", "registers")
MOST_BYTES = 1 << 30
"""That the arrays of model.npz may take in memory."""
MOST_MHZ = 1000
MOST_CLOCKS = 1 << 40
"""From frame to frame."""


@dataclass(frozen=True)
class Bitstream:
    """The file to load, and how frames reach it: `transport` is dma (with a .hwh) or registers (without)."""

    file: str
    transport: str
    memory_port_registers: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Golden:
    """Frames verified while building: as the graph takes them, at both ends of the core, and results.

    `results` has an array for each output of the graph.
    """

    frames: NDArray[Any]
    inputs: NDArray[Any]
    outputs: NDArray[Any]
    results: tuple[NDArray[Any], ...]


@dataclass(frozen=True, eq=False)
class Model:
    """What model.json says; shapes are without the batch, clocks in MHz.

    `encode` or `decode` is None where the host's share has no form without the graph; `reasons` says why.
    The frames, or the results, are the core's integers then. `outputs` names the graph's outputs.
    """

    folder: Path
    name: str
    flow: str
    clock_mhz: float
    frame_clocks: int
    frame_shape: tuple[int, ...]
    source: StreamFormat
    sink: StreamFormat
    encode: Program | None
    decode: Program | None
    outputs: tuple[str, ...]
    reasons: dict[str, str | None]
    files: dict[str, str]
    bitstream: Bitstream | None
    design: str
    golden: Golden

    def path(self, name: str) -> Path:
        """The file `name`; an AcceleratorError unless it is the one that was built."""
        path = self.folder / name
        if name not in self.files:
            raise AcceleratorError(f"{path}: is no file of this build; copy the whole folder again")
        if _checksum(path) != self.files[name]:
            raise AcceleratorError(
                f"{path}: SHA-256 {_checksum(path)[:16]}…, but model.json was written for "
                f"{self.files[name][:16]}…; copy the whole folder again"
            )
        return path

    def check_simulation(self) -> None:
        """An AcceleratorError unless the files to simulate with are those that were built."""
        for name in self.files:
            if name.startswith(f"{SIMULATION}/"):
                self.path(name)


def load_model(folder: Path) -> Model:
    """Reads and checks a deployment folder; an AcceleratorError says what is wrong with it."""
    place = folder / MODEL_FILE
    content = _content(place)
    # damaged files fail anywhere in json, zipfile, zlib and numpy
    try:
        facts = json.loads(content, parse_constant=_refuse_constant)
        if facts["format"] != FORMAT:
            raise AcceleratorError(
                f"{place}: format {facts['format']!r}, this driver reads {FORMAT}; take driver.py beside it"
            )
        if facts.pop("sha256", None) != facts_digest(facts):
            raise AcceleratorError(f"{place}: was changed after it was written; copy the whole folder again")
        arrays_place = folder / ARRAYS_FILE
        if _checksum(arrays_place) != facts["files"][ARRAYS_FILE]:
            raise AcceleratorError(f"{arrays_place}: is not the file that {place} was written with")
        return _model(folder, facts, _arrays(arrays_place))
    except AcceleratorError:
        raise
    except Exception as error:
        said = " ".join(repr(error).split())[:300]
        raise AcceleratorError(f"{place}: not written by bnn2fpga ({said}); copy it again") from error


def facts_digest(facts: dict[str, Any]) -> str:
    """SHA-256 over what model.json says, but for this digest itself."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of model.npz, as large as its files say."""
    with ZipFile(str(path)) as archive:
        size = sum(info.file_size for info in archive.infolist())
    if size > MOST_BYTES:
        raise ValueError(f"arrays of {size:.1e} bytes; legal: up to {MOST_BYTES:.1e}")
    with np.load(str(path), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _model(folder: Path, facts: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Model:
    host = facts["host"]
    shares = {
        name: None if host[name] is None else read_program(host[name], arrays)
        for name in ("encode", "decode")
    }
    reasons = {
        name: None if host[name] is not None else text(host[f"{name}_reason"], "reason") for name in shares
    }
    outputs = tuple(text(name, "output") for name in host["outputs"])
    source, sink = _stream(facts["input"]), _stream(facts["output"])
    frame_shape = extents(facts["frame_shape"], "frame_shape")
    decode = shares["decode"]
    if len(outputs) != (1 if decode is None else len(decode.results)):
        raise ValueError(f"{len(outputs)} outputs of another number of results")
    clock_mhz = number(facts["clock_mhz"], "clock_mhz")
    if not 0 < clock_mhz <= MOST_MHZ:
        raise ValueError(f"clock_mhz of {clock_mhz}; legal: up to {MOST_MHZ}")
    return Model(
        folder,
        text(facts["name"], "name"),
        text(facts["flow"], "flow"),
        clock_mhz,
        whole(facts["frame_clocks"], "frame_clocks", 1, MOST_CLOCKS),
        frame_shape,
        source,
        sink,
        shares["encode"],
        decode,
        outputs,
        reasons,
        {file_name(name, "file"): text(digest, "SHA-256") for name, digest in facts["files"].items()},
        _bitstream(facts["bitstream"]),
        text(facts["design"], "design"),
        _golden(arrays, frame_shape, source, sink, len(outputs)),
    )


def _bitstream(facts: Any) -> Bitstream | None:
    if facts is None:
        return None
    if facts["transport"] not in TRANSPORTS:
        raise ValueError(f"transport {facts['transport']!r}; legal: {', '.join(TRANSPORTS)}")
    registers = wholes(facts["memory_port_registers"], "memory_port_registers", 0, (1 << 32) - 4)
    return Bitstream(file_name(facts["file"], "bitstream"), facts["transport"], registers)


def _golden(
    arrays: dict[str, NDArray[Any]],
    frame_shape: tuple[int, ...],
    source: StreamFormat,
    sink: StreamFormat,
    outputs: int,
) -> Golden:
    names = ("frames", "inputs", "outputs", *(f"results_{place}" for place in range(outputs)))
    frames, inputs, found, *results = (array(arrays[f"golden_{name}"], name) for name in names)
    count = len(frames)
    if (
        not count
        or frames.shape[1:] != frame_shape
        or any(len(one) != count for one in (inputs, found, *results))
    ):
        raise ValueError(f"golden frames of shape {frames.shape} do not fit the others, or the network")
    return Golden(frames, source.check(inputs), sink.check(found), tuple(results))


def _stream(facts: dict[str, Any]) -> StreamFormat:
    names = ("bits", "signed", "bipolar", "low", "high", "lanes")
    return StreamFormat(wholes(facts["shape"], "shape"), *(facts[name] for name in names))


def _checksum(path: Path) -> str:
    return hashlib.sha256(_content(path)).hexdigest()


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise AcceleratorError(
            f"{path}: {error.strerror or error}; give the whole deployment folder of a build"
        ) from error
