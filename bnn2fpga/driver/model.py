"""A deployment folder as it was written: model.json, the arrays beside it, and checksums of all files."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .fault import AcceleratorError
from .program import Program, read_program
from .streams import StreamFormat

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = 3
"""What model.json says of itself; another number is another layout."""
MODEL_FILE = "model.json"
ARRAYS_FILE = "model.npz"
SIMULATION = "simulation"
"""The folder with what a PC needs to simulate; the board does not."""


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
        if _checksum(path) != self.files[name]:
            raise AcceleratorError(
                f"{path}: SHA-256 {_checksum(path)[:16]}…, but model.json was written for "
                f"{self.files[name][:16]}…; copy the whole folder again"
            )
        return path


def load_model(folder: Path) -> Model:
    """Reads and checks a deployment folder; an AcceleratorError says what is wrong with it."""
    place = folder / MODEL_FILE
    try:
        facts = json.loads(_content(place))
        if facts["format"] != FORMAT:
            raise AcceleratorError(
                f"{place}: format {facts['format']}, this driver reads {FORMAT}; take the driver.py beside it"
            )
        arrays_place = folder / ARRAYS_FILE
        if _checksum(arrays_place) != facts["files"][ARRAYS_FILE]:
            raise AcceleratorError(f"{arrays_place}: is not the file that {place} was written with")
        with np.load(str(arrays_place), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return _model(folder, facts, arrays)
    except (ValueError, KeyError, TypeError) as error:
        raise AcceleratorError(f"{place}: not written by bnn2fpga ({error!r}); copy it again") from error


def _model(folder: Path, facts: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Model:
    host, bitstream = facts["host"], facts["bitstream"]
    shares = {
        name: None if host[name] is None else read_program(host[name], arrays)
        for name in ("encode", "decode")
    }
    return Model(
        folder,
        facts["name"],
        facts["flow"],
        float(facts["clock_mhz"]),
        int(facts["frame_clocks"]),
        tuple(facts["frame_shape"]),
        _stream(facts["input"]),
        _stream(facts["output"]),
        shares["encode"],
        shares["decode"],
        tuple(host["outputs"]),
        {name: host[f"{name}_reason"] for name in shares},
        facts["files"],
        None
        if bitstream is None
        else Bitstream(bitstream["file"], bitstream["transport"], tuple(bitstream["memory_port_registers"])),
        facts["design"],
        Golden(
            arrays["golden_frames"],
            arrays["golden_inputs"],
            arrays["golden_outputs"],
            tuple(arrays[f"golden_results_{place}"] for place in range(len(host["outputs"]))),
        ),
    )


def _stream(facts: dict[str, Any]) -> StreamFormat:
    names = ("bits", "signed", "bipolar", "low", "high", "lanes")
    return StreamFormat(tuple(facts["shape"]), *(facts[name] for name in names))


def _checksum(path: Path) -> str:
    return hashlib.sha256(_content(path)).hexdigest()


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise AcceleratorError(
            f"{path}: {error.strerror or error}; give the whole deployment folder of a build"
        ) from error
