"""The deployment folder: what is copied to the board, and what a PC needs to simulate it."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from bnn2fpga.boards.board import Board
from bnn2fpga.build.compiler import Options, Pipeline
from bnn2fpga.build.design_facts import describe
from bnn2fpga.build.driver_file import driver_text
from bnn2fpga.build.ladder import compare_outputs
from bnn2fpga.design.graph import Design
from bnn2fpga.design.host import HostShare
from bnn2fpga.design.integers import Ints
from bnn2fpga.design.stream import Stream
from bnn2fpga.driver.model import ARRAYS_FILE, FORMAT, MODEL_FILE, SIMULATION, Model, facts_digest, load_model
from bnn2fpga.driver.program import Program
from bnn2fpga.errors import ConfigError, MismatchError
from bnn2fpga.files.digest import file_digest
from bnn2fpga.planning.timing.schedule import frame_cycles, latency
from bnn2fpga.tools.gcc import header_folder

GOLDEN_FRAMES = 16
"""Golden vectors at most; a selftest of a few of each kind of frame."""
CHECKED_FRAMES = 512
"""Frames at most on which the driver's host share is compared with the graph."""
RANDOM_OUTPUTS = 64
"""Outputs of any value, on which the driver's host share is compared with the graph besides real ones."""
HP0_WIDTHS = (0xF800_8000, 0xF800_8014)
"""RDCHAN_CTRL and WRCHAN_CTRL of S_AXI_HP0 in the Zynq-7000; bit 0 makes it 32 bits wide (AMD UG585)."""

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class BuiltFiles:
    """What a flow has built: its name, the bitstream and the files beside it, and what moves frames.

    `clock_mhz` is the one that was reached, None where it is the one asked for.
    """

    flow: str
    files: tuple[Path, ...] = ()
    transport: Literal["dma", "registers"] | None = None
    clock_mhz: float | None = None

    def bitstream(self, board: Board) -> dict[str, Any] | None:
        """For model.json; None without a bitstream."""
        if self.transport is None:
            return None
        widths = HP0_WIDTHS if board.family == "zynq7000" else ()
        bit = next(path.name for path in self.files if path.suffix == ".bit")
        return {"file": bit, "transport": self.transport, "memory_port_registers": list(widths)}


def deploy(
    pipeline: Pipeline, frames: Array, built: BuiltFiles, loaded: Path, hls: Path, folder: Path
) -> None:
    """Fills the deployment folder; `loaded` and `hls` are the folders of these steps, `frames` verified ones.

    A MismatchError unless the driver's host share gives what the design's host gives: bit for bit, or up to
    the rounding of sums where the host adds floats.
    """
    design = pipeline.folded
    assert design.target is not None
    (folder / "driver.py").write_text(driver_text(), encoding="utf-8")
    for path in built.files:
        shutil.copyfile(path, folder / path.name)
    _write_simulation(pipeline, loaded, hls, folder / SIMULATION)
    share = design.host.share()
    arrays = _golden(design, share, frames[:GOLDEN_FRAMES])
    host = {
        "encode": None if share.encode is None else share.encode.written("encode", arrays),
        "encode_reason": share.encode_reason,
        "decode": None if share.decode is None else share.decode.written("decode", arrays),
        "decode_reason": share.decode_reason,
        "outputs": list(share.outputs) if share.decode is not None else ["integers"],
    }
    np.savez_compressed(folder / ARRAYS_FILE, allow_pickle=False, **arrays)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    facts = _facts(pipeline, share) | {
        "clock_mhz": built.clock_mhz or design.target.clock_mhz,
        "flow": built.flow,
        "files": {path.relative_to(folder).as_posix(): file_digest(path) for path in files},
        "bitstream": built.bitstream(pipeline.board),
        "host": host,
    }
    facts["sha256"] = facts_digest(facts)
    (folder / MODEL_FILE).write_text(json.dumps(facts, indent=1) + "\n")
    _check(design, load_model(folder), frames[:CHECKED_FRAMES])


def rebuild(simulation: Path, digest: str) -> Design:
    """The design of a deployment folder's simulation/, lowered again from its model.

    A MismatchError if it is not the one that `digest` names, as another version of bnn2fpga may build.
    """
    model = next(simulation.glob("model.*"), simulation / "model.onnx")
    kept = simulation / "options.json"
    try:
        options = Options.from_json(kept.read_text(), kept)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{kept}: cannot be read ({error}); deploy again") from error
    design = Pipeline(model, options).lowered
    if design_digest(design) != digest:
        raise MismatchError(
            f"{simulation}: this version of bnn2fpga builds another design of it; build again"
        )
    return design


def design_digest(design: Design) -> str:
    """SHA-256 over the kernels and all of their parameters."""
    return hashlib.sha256(json.dumps(describe(design)["kernels"]).encode()).hexdigest()


def _facts(pipeline: Pipeline, share: HostShare) -> dict[str, Any]:
    design = pipeline.folded
    assert design.target is not None
    source, sink = design.inputs[0].stream, design.outputs[0].stream
    return {
        "format": FORMAT,
        "name": design.name,
        "board": design.target.board,
        "part": design.target.part,
        "frame_clocks": frame_cycles(design, pipeline.board.hp_port_bits),
        "latency_clocks": latency(design),
        "design": design_digest(pipeline.lowered),
        "frame_shape": list(source.shape if share.encode is None else design.host.input_shape),
        "input": _stream(source),
        "output": _stream(sink),
    }


def _stream(stream: Stream) -> dict[str, Any]:
    """How frames are packed; beat and frame bytes follow from the rest and are there to be read."""
    kind = stream.type
    return {
        "shape": list(stream.shape),
        "bits": kind.bits,
        "signed": kind.signed,
        "bipolar": kind.bipolar,
        "low": kind.low,
        "high": kind.high,
        "lanes": stream.lanes,
        "beat_bytes": stream.beat_bytes,
        "frame_bytes": stream.beats * stream.beat_bytes,
    }


def _write_simulation(pipeline: Pipeline, loaded: Path, hls: Path, folder: Path) -> None:
    """The model with its options, and the C++ with AMD's headers, so that g++ alone compiles it."""
    cpp = folder / "cpp"
    (cpp / "gcc").mkdir(parents=True)
    kept = pipeline.options.model_dump(include={"exact_sums", "trunk_bits", "host_layers"}) | {
        "name": pipeline.name
    }
    (folder / "options.json").write_text(json.dumps(kept, indent=1) + "\n")
    if pipeline.imported:
        shutil.copyfile(loaded / "parameters.npz", folder / "model.npz")
    else:
        shutil.copyfile(loaded / "model.onnx", folder / "model.onnx")
    for name in ("bnn2fpga.hpp", "top.hpp", "top.cpp", "testbench.cpp", "gcc/ap_axi_sdata.h"):
        shutil.copyfile(hls / name, cpp / name)
    shutil.copytree(hls / "kernels", cpp / "kernels")
    shutil.copytree(header_folder(), cpp / "include")


def _golden(design: Design, share: HostShare, frames: Array) -> dict[str, Array]:
    """Golden vectors: frames, the core's integers at both ends (N, size), results."""
    inputs = design.host.encode(frames)
    outputs = design.simulate(inputs, "numpy")
    results = (outputs,) if share.decode is None else share.decode.run(outputs.reshape(len(frames), -1))
    flat = (outputs.reshape(len(frames), -1), inputs.reshape(len(frames), -1))
    taken = inputs.reshape(len(frames), *design.inputs[0].stream.shape) if share.encode is None else frames
    return {
        "golden_frames": taken,
        "golden_inputs": flat[1],
        "golden_outputs": flat[0],
        **{f"golden_results_{place}": result for place, result in enumerate(results)},
    }


def _check(design: Design, model: Model, frames: Array) -> None:
    """The driver as it was written against the design's own host and packing."""
    share = design.host.share()
    integers = design.host.encode(frames).reshape(len(frames), -1)
    if model.encode is not None:
        encoded = _applied(model.encode, frames)[0].reshape(integers.shape).astype(integers.dtype)
        _equal(design, "encoding of a frame", integers, encoded)
    found = design.simulate(integers)
    for edge, packed, values in (
        (design.inputs[0], model.source, integers),
        (design.outputs[0], model.sink, found.reshape(len(frames), -1)),
    ):
        expected = edge.stream.pack(values.reshape(len(values), *edge.stream.shape))
        _equal(design, "packing of a frame", expected.reshape(len(values), -1), packed.pack(values))
    if model.decode is not None:
        kind = design.outputs[0].stream.type
        levels = np.random.default_rng(0).integers(0, kind.levels, (RANDOM_OUTPUTS, model.sink.size))
        for outputs in (found.reshape(len(frames), -1), kind.low + kind.step * levels):
            shaped = outputs.reshape(len(outputs), *design.outputs[0].stream.shape)
            expected = design.host.decode(shaped)
            every = expected if isinstance(expected, tuple) else (expected,)
            for own, result in zip(every, _applied(model.decode, outputs), strict=True):
                if share.decode_exact:
                    _equal(design, "result", own, result)
                else:
                    _close(design, own, result)


def _applied(program: Program, x: Array | Ints) -> list[Array]:
    return [np.asarray(result) for result in program.run(x)]


def _close(design: Design, expected: Array, found: Array) -> None:
    """Floats up to the rounding of sums in another order; labels on outputs of any value may be ties."""
    same = expected.dtype == found.dtype and expected.shape == found.shape
    if not same or (
        np.issubdtype(found.dtype, np.floating) and not compare_outputs("", "", expected, found).ok
    ):
        raise MismatchError(
            f"{design.name}: the driver's result is not the graph's ({found.dtype} {found.shape} for "
            f"{expected.dtype} {expected.shape}); please report this model"
        )


def _equal(design: Design, what: str, expected: Array, found: Array) -> None:
    """Equal to the bit, the sign of a zero and the type of the elements included."""
    same = expected.dtype == found.dtype and expected.shape == found.shape
    if not same or expected.tobytes() != found.tobytes():
        raise MismatchError(
            f"{design.name}: the driver's {what} is not the graph's ({found.dtype} {found.shape} for "
            f"{expected.dtype} {expected.shape}); please report this model"
        )
