"""The Zynq-7000 around an accelerator core: registers, a data mover, the processing system; no vendor IP.

The core is the module named like the design. The files here give it a clock, its two streams and a way to
be started; `registers.json` tells a driver what it would else read in a vendor's hardware hand-off file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import gcd
from typing import Any

from bnn2fpga.design.graph import Design, Edge
from bnn2fpga.errors import BuildError
from bnn2fpga.files.project import Project
from bnn2fpga.files.templates import render

TOP = "zynq_top"
"""The module that has no pins: PS7, BUFG and everything else."""

LUTS = "luts.v"
"""What place and route wants of the netlist: a map for yosys."""

MAGIC = 0x42324650
"""What the register `id` reads, "B2FP"."""

BASE = 0x4000_0000
SPAN = 0x1000
"""Where M_AXI_GP0 lies in the processor's memory map (AMD UG585, table 4-1), and bytes of registers."""

ALIGNMENT = 128
"""Bytes; what the addresses of both buffers are multiples of, so that no burst crosses 4 KiB."""

_STALLS = 0x100
_WORD_BYTES = 8
_FRAME = ("top", "registers", "stalls", "bridge")
_MOVER = ("mover", "unpack", "widen", "narrow", "pack", "turn", "fifo")

_REGISTERS: tuple[tuple[str, str, str], ...] = (
    ("id", "r", "0x42324650, B2FP"),
    ("digest", "r", "the first 32 bits of the core's digest"),
    ("control", "rw", "what is asked for; reads soft_reset until it is over"),
    (
        "status",
        "r",
        "of the transfer; last_error: TLAST came on another beat than the last, the lengths disagree",
    ),
    ("clocks_low", "r", "clocks since configuration or clear; reading this half takes the other"),
    ("clocks_high", "r", "the high half as it was when the low one was read"),
    ("frames", "r", "frames that left the core since configuration or clear; wraps"),
    ("input_frame_bytes", "r", "bytes of one input frame"),
    ("output_frame_bytes", "r", "bytes of one output frame"),
    ("source_address", "rw", "physical address of the input frames; the low 7 bits are 0"),
    ("source_bytes", "rw", "bytes to read; whole frames"),
    ("destination_address", "rw", "physical address of the output frames; the low 7 bits are 0"),
    ("destination_bytes", "rw", "bytes to write; whole frames, as many as are read"),
    ("busy_clocks", "r", "clocks of the present or last transfer, from start until it is done"),
    ("edges", "r", "how many stall counters there are"),
)
"""Name, access and meaning of each register, four bytes apart from offset 0 on."""

_BITS = {
    "control": {"start": 0, "soft_reset": 1, "clear": 2},
    "status": {"busy": 0, "done": 1, "read_error": 2, "write_error": 3, "last_error": 4},
}


@dataclass(frozen=True)
class StreamPort:
    """One end of the core as the mover sees it: beats of `beat_bytes` against words of 8 bytes.

    A unit is the greatest piece that divides both.
    """

    edge: Edge

    @property
    def beat_bytes(self) -> int:
        """Bytes of one beat."""
        return self.edge.stream.beat_bytes

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame in memory."""
        return self.edge.stream.frame_bytes

    @property
    def bits(self) -> int:
        """Width of TDATA."""
        return 8 * self.beat_bytes

    @property
    def unit_bits(self) -> int:
        """8, 16, 32 or 64."""
        return 8 * gcd(_WORD_BYTES, self.beat_bytes)

    @property
    def word_units(self) -> int:
        """Units of a word: 8, 4, 2 or 1."""
        return 8 * _WORD_BYTES // self.unit_bits

    @property
    def beat_units(self) -> int:
        """Units of a beat."""
        return self.bits // self.unit_bits

    def facts(self) -> dict[str, Any]:
        """What a driver needs to pack or unpack frames."""
        stream = self.edge.stream
        return {
            "shape": list(stream.shape),
            "type": str(stream.type),
            "lanes": stream.lanes,
            "beats": stream.beats,
            "beat_bytes": self.beat_bytes,
            "frame_bytes": self.frame_bytes,
        }


def register_offset(name: str) -> int:
    """Bytes from the base to the register of this name."""
    return 4 * [register for register, _, _ in _REGISTERS].index(name)


def zynq_project(design: Design, digest: str) -> Project:
    """The files around the core of `design`; `digest` (hexadecimal, of the core's files) names it.

    One input and one output, and no more edges than stall counters fit; a BuildError otherwise.
    """
    if len(design.inputs) != 1 or len(design.outputs) != 1:
        raise BuildError(
            f"{design.name}: has {len(design.inputs)} inputs and {len(design.outputs)} outputs; the data "
            "mover of the Zynq serves one of each; join them in the model"
        )
    most = (SPAN - _STALLS) // 4
    if len(design.edges) > most:
        raise BuildError(f"{design.name}: has {len(design.edges)} edges; the registers count up to {most}")
    modules = {f"zynq_{module}" for module in (*_FRAME, *_MOVER)}
    taken = sorted(modules & {design.name, *(node.name for node in design.nodes)})
    if taken:
        raise BuildError(f"{design.name}: {taken[0]} is a module of the Zynq's files too; rename it")
    ports = {"source": StreamPort(design.inputs[0]), "sink": StreamPort(design.outputs[0])}
    values = {"name": design.name, "digest": digest[:8], "edges": len(design.edges), **ports}
    files = {f"zynq/{module}.sv": render(f"zynq/{module}.sv.j2", **values) for module in (*_FRAME, *_MOVER)}
    files[f"zynq/{LUTS}"] = render(f"zynq/{LUTS}.j2")
    return Project(files | {"registers.json": json.dumps(register_map(design, digest), indent=1) + "\n"})


def register_map(design: Design, digest: str) -> dict[str, Any]:
    """What a driver needs to run the accelerator: registers, streams, stall counters by edge."""
    target = design.target
    return {
        "design": design.name,
        "id": MAGIC,
        "digest": int(digest[:8], 16),
        "part": target.part if target else None,
        "clock_mhz": target.clock_mhz if target else None,
        "clock": "fclk0",
        "base_address": BASE,
        "span": SPAN,
        "memory_port": {"name": "S_AXI_HP0", "bits": 8 * _WORD_BYTES, "alignment": ALIGNMENT},
        "registers": [
            {"name": name, "offset": 4 * index, "access": access, "about": about}
            | ({"bits": _BITS[name]} if name in _BITS else {})
            for index, (name, access, about) in enumerate(_REGISTERS)
        ],
        "stalls": [
            {"offset": _STALLS + 4 * index, "source": str(edge.source), "target": str(edge.target)}
            for index, edge in enumerate(design.edges)
        ],
        "input": StreamPort(design.inputs[0]).facts(),
        "output": StreamPort(design.outputs[0]).facts(),
    }
