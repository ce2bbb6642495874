"""What the names in one design must not do."""

from __future__ import annotations

from bnn2fpga.design.graph import Design
from bnn2fpga.errors import BuildError


def check_names(design: Design) -> None:
    """A BuildError unless the top level and the kernels have different names."""
    if design.name in {node.name for node in design.nodes}:
        raise BuildError(f"{design.name}: the design and one of its kernels share this name; rename one")
