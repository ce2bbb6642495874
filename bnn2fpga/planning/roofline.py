"""The roofline of a design: what its board could do at most, and what the design does.

After S. Williams, A. Waterman, D. Patterson: Roofline: an insightful visual performance model for multicore
architectures (CACM 52, 2009); for binary networks on FPGAs, Y. Umuroglu et al.: FINN (FPGA 2017), figure 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bnn2fpga.boards.board import USABLE
from bnn2fpga.design.integers import BIPOLAR
from bnn2fpga.kernels.xnor_mvu import XnorMvu

SOURCE = "Williams et al., CACM 52 (2009); for binary networks Umuroglu et al., FINN, FPGA 2017"


def luts_per_operation() -> float:
    """LUTs for one XNOR and its count a clock, as estimated for a wide unit (SIMD 512 x PE 8).

    Narrow units, integers and thresholds take more, so a roof of this cost is not low.
    """
    unit = XnorMvu((1024,), BIPOLAR, np.ones((64, 1024), np.int8), BIPOLAR, None, 8, 512, "block")
    return unit.resources.luts / (unit.pe * unit.simd)


def roofline(
    design: Mapping[str, Any], estimate: Mapping[str, Any], board: Mapping[str, Any]
) -> dict[str, Any]:
    """Roofs and points from the JSON of a folded design; operations a second, bytes, bytes a second.

    `memory_roof` is one port between fabric and DRAM, a word a clock each way, so that the larger of a
    frame's input and output counts. `compute_roof` is what the LUTs that are planned with could do as XNOR
    units alone, `folding_roof` what the units of this design do if none ever waits. `points` are operations
    a frame over its bytes, against operations a second: of the design as planned, and what the port would
    leave of it if the weights were read with every frame.
    """
    clock = estimate["clock_mhz"] * 1e6
    cost = luts_per_operation()
    read = sum(edge["bytes"] for edge in design["edges"] if edge["source"] is None)
    written = sum(edge["bytes"] for edge in design["edges"] if edge["target"] is None)
    frame_bytes = max(read, written)
    weight_bytes = (design["weight_bits"] + 7) // 8
    memory_roof = board["hp_port_bits"] / 8 * clock
    compute_roof = USABLE * board["luts"] / cost * clock
    rate = design["operations"] * clock / estimate["frame_cycles"]
    streamed = design["operations"] / max(read + weight_bytes, written)
    return {
        "luts_per_operation": round(cost, 3),
        "frame_bytes": frame_bytes,
        "weight_bytes": weight_bytes,
        "memory_roof": memory_roof,
        "compute_roof": compute_roof,
        "folding_roof": sum(kernel["operations"] / kernel["cycles"] for kernel in design["kernels"]) * clock,
        "points": [
            {"name": "as planned", "intensity": design["operations"] / frame_bytes, "rate": rate},
            {"name": "weights in DRAM", "intensity": streamed, "rate": min(rate, streamed * memory_roof)},
        ],
        "source": SOURCE,
    }
