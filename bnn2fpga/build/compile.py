"""The Python API's `compile`."""

from __future__ import annotations

from typing import Any

from bnn2fpga.design.graph import Design
from bnn2fpga.build.pipeline import Options, Pipeline


def compile(
    model: Any,
    board: str = "pynq-z2",
    fps: float | None = None,
    *,
    example_input: Any = None,
    clock_mhz: float | None = None,
    exact_sums: bool = False,
    trunk_bits: int | None = None,
    name: str | None = None,
) -> Design:
    """The integer design of `model`, folded for `board`.

    `model` is the path of a QONNX file or of a BNN-PYNQ or FracBNN .npz, a qonnx ModelWrapper, or a Brevitas
    module, which needs `example_input` (1, …). Without `fps` the design is as fast as the board's
    resources allow. `exact_sums` and `trunk_bits` are explained at `frontend.lower`. Raises a BuildError
    subclass.
    """
    options = Options(
        board=board, fps=fps, clock_mhz=clock_mhz, exact_sums=exact_sums, trunk_bits=trunk_bits, name=name
    )
    return Pipeline(model, options, example_input).folded
