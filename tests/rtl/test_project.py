"""The files of a design as SystemVerilog."""

from __future__ import annotations

import pytest
from syrupy.assertion import SnapshotAssertion

from bnn2fpga.backends.rtl import rtl_project
from bnn2fpga.design.integers import BIPOLAR
from bnn2fpga.design.layers import Copies
from bnn2fpga.design.stream import Stream
from bnn2fpga.errors import BuildError
from tests.kernels.designs import chain, dense_net, dot


@pytest.mark.parametrize("name", ["top_.sv", "fifo_.sv", "xnor_popcount_1_.sv"])
def test_generated_text(name: str, snapshot: SnapshotAssertion) -> None:
    assert rtl_project(dense_net((6, 4, 3))).files[f"rtl/{name}"] == snapshot


def test_kernels_of_any_name_have_files_of_their_own() -> None:
    names = ("top", "fifo", "counters")
    forks = ((name, lambda s, _: Copies(s, 1)) for name in names)
    design = chain("line", Stream((6,), BIPOLAR), *forks, dot("unit", 2, 0))
    files = [name for name in rtl_project(design, primitives=True).files if name.endswith(".sv")]
    kernels = (*names, "unit", "xnor_popcount_1_", "counters_", "copies_", "fifo_", "top_")
    assert sorted(files) == sorted(f"rtl/{name}.sv" for name in kernels)


def test_a_kernel_that_is_named_as_its_design_is_refused() -> None:
    design = chain("line", Stream((6,), BIPOLAR), ("line", lambda s, _: Copies(s, 1)))
    with pytest.raises(BuildError, match="line: the design and one of its kernels share this name"):
        rtl_project(design)
