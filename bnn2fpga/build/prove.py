"""The last rungs of the ladder: the routed netlist, and the bitstream read back, compute what numpy does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bnn2fpga.bitstream.decode import decode
from bnn2fpga.bitstream.netlist import Netlist
from bnn2fpga.bitstream.routed import read_routed
from bnn2fpga.build.compiler import Pipeline
from bnn2fpga.build.ladder import Array, Level, compare_integers
from bnn2fpga.errors import MismatchError
from bnn2fpga.planning.timing.schedule import frame_cycles, interval, latency
from bnn2fpga.simulation.zynq import ZynqSimulator

CLOCKS = 200_000
"""What a rung spends if it may run more frames than FEWEST."""
FEWEST, MOST = 3, 16
"""Frames of a rung, as far as there are any."""


@dataclass(frozen=True)
class Made:
    """What the open flow has made: nextpnr's netlist, the bitstream and the registers.json beside it."""

    routed: Path
    bitstream: Path
    registers: Path


def rungs(pipeline: Pipeline, frames: Array, made: Made, database: Path) -> Iterator[Level]:
    """Both netlists, simulated around a model of the processing system on the first of `frames`.

    A MismatchError if the accelerator has another id or digest than its registers.json says, or goes against
    the protocol; a BitstreamError if the bitstream cannot be read back by prjxray's `database`.
    """
    target = pipeline.folded.target
    assert target is not None
    yield _rung("routed netlist", read_routed(made.routed), pipeline, frames, made.registers)
    read_back = decode(made.bitstream, target.part, database)
    yield _rung("bitstream", read_back, pipeline, frames, made.registers)


def _rung(name: str, netlist: Netlist, pipeline: Pipeline, frames: Array, registers: Path) -> Level:
    design = pipeline.folded
    count = min(len(frames), max(FEWEST, min(MOST, CLOCKS // interval(design))))
    integers = design.host.encode(frames[:count]).reshape(count, *design.inputs[0].stream.shape)
    clocks = count * frame_cycles(design, pipeline.board.hp_port_bits) + latency(design)
    with TemporaryDirectory() as scratch:
        try:
            simulator = ZynqSimulator.compile(design, netlist, Path(scratch), count)
            result = simulator.run(integers, clocks)
        except MismatchError as error:
            raise MismatchError(f"{name}: {error}") from error
    expected = json.loads(registers.read_text())
    for register, found in result.registers.items():
        if found != expected[register]:
            raise MismatchError(
                f"{design.name}: {name}: register {register} reads {found:#x} instead of "
                f"{expected[register]:#x}; it is of another design"
            )
    simulated = design.simulate(integers, "numpy").reshape(count, -1)
    return compare_integers(name, "numpy", simulated, result.outputs.reshape(count, -1))
