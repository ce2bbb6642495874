"""Thresholds that no value reaches, of 2^31 and beyond on either side, through every template with some."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bnn2fpga.design.integers import Ints
from bnn2fpga.design.kernel import Kernel
from bnn2fpga.design.step_functions import Steps
from tests.contract import PACER, compile_rtl, run_cpp, side_by_side
from tests.rtl.cases import contracts, least_foldings
from tests.some_slow import some_slow

BEYOND = (2**31, 2**31 + 5, 2**40, 2**62)
FEW = 3
"""Foldings of a kind of kernel."""


def widened(kernel: Any, beyond: int) -> Kernel | None:
    """The kernel with its last thresholds at `beyond` and, where there are several, its first ones below."""
    steps = getattr(kernel, "steps", None)
    if isinstance(steps, Steps) and steps.count:
        thresholds = steps.thresholds.astype(np.int64)
        thresholds[:, -1] = beyond
        if steps.count > 1:
            thresholds[:, 0] = -beyond - 1
        return replace(kernel, steps=replace(steps, thresholds=thresholds))
    for name in ("gates", "thresholds"):
        if isinstance(getattr(kernel, name, None), np.ndarray):
            limits = np.where(np.arange(len(getattr(kernel, name))) % 2, beyond, -beyond - 1)
            return replace(kernel, **{name: limits})
    return None


@some_slow("beyond", BEYOND)
def test_wide_thresholds(beyond: int, tmp_path: Path) -> None:
    kernels: list[Kernel] = []
    inputs: list[Ints] = []
    expected: list[tuple[Kernel, Ints]] = []
    for contract in contracts():
        for kernel, seed in least_foldings(contract, FEW):
            wide = widened(kernel, beyond)
            if wide is not None:
                arrays = contract.inputs_of(wide, seed)
                kernels.append(wide)
                inputs += arrays
                expected += [(wide, result) for result in wide.compute(*arrays)]
    assert len({type(kernel) for kernel in kernels}) >= 6
    compiled = run_cpp(side_by_side(kernels), *inputs)
    simulated = compile_rtl(kernels, tmp_path).run(PACER, *inputs).outputs[1:]
    for (kernel, want), *found in zip(expected, compiled, simulated, strict=True):
        for have in found:
            np.testing.assert_array_equal(have, want, err_msg=str(kernel))
