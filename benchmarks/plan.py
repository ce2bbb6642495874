"""Times the plan of a network, foldings, FIFOs and timing, against FINN's own steps of analysis on it.

FINN: folding for the frame rate (SetFolding), cycles, performance and resources of every layer
(`step_generate_estimate_reports`). Its FIFO depths come from a simulation with AMD's tools and are left out,
and its folding is a rule for each layer. Ours is one integer program for all kernels, width converters and
memories included, the depth of every FIFO, interval and latency.
"""

from __future__ import annotations

import contextlib
import io
import sys
import time
import warnings
from enum import Enum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import MagicMock

from qonnx.core.modelwrapper import ModelWrapper

BEFORE = (
    "step_qonnx_to_finn",
    "step_tidy_up",
    "step_streamline",
    "step_convert_to_hw",
    "step_minimize_bit_width_initial",
    "step_create_dataflow_partition",
    "step_specialize_layers",
)
"""What FINN does to a network first; not timed."""
TIMED = (
    "step_target_fps_parallelization",
    "step_apply_folding_config",
    "step_generate_estimate_reports",
)


def finn_plan_seconds(model: ModelWrapper, fps: int) -> float:
    """Seconds of FINN's folding and estimates of a network for a PYNQ-Z2 at 100 MHz, without Vivado."""
    steps = _steps()
    from finn.builder.build_dataflow_config import DataflowBuildConfig, DataflowOutputType

    with TemporaryDirectory() as folder, warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        settings = DataflowBuildConfig(
            output_dir=folder,
            synth_clk_period_ns=10,
            board="Pynq-Z2",
            target_fps=fps,
            mvau_wwidth_max=10_000,
            generate_outputs=[DataflowOutputType.ESTIMATE_REPORTS],
        )
        Path(settings.get_report_directory()).mkdir(parents=True, exist_ok=True)
        for name in BEFORE:
            model = getattr(steps, name)(model, settings)
        start = time.perf_counter()
        for name in TIMED:
            model = getattr(steps, name)(model, settings)
        return time.perf_counter() - start


def _steps() -> Any:
    """FINN's steps; importing them asks for Vivado's simulator and for mip, which none of these needs."""
    emphasis = Enum("SearchEmphasis", "DEFAULT")
    solver = MagicMock(CBC="CBC", GUROBI="GRB", HIGHS="HiGHS", SearchEmphasis=emphasis)
    sys.modules.setdefault("mip", solver)
    import finn.xsi as simulator
    from finn.util.settings import initialize_dummy_settings

    simulator.ensure_available = lambda: True
    for name in simulator._LAZY_NAMES:
        setattr(simulator, name, type(name, (), {}))
    initialize_dummy_settings()
    import finn.builder.build_dataflow_steps as steps

    return steps
