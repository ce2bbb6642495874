"""Parameter files (.npz) of published networks that come without a graph."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bnn2fpga.design.graph import Design
from bnn2fpga.errors import ModelError
from bnn2fpga.files.arrays import read_arrays
from bnn2fpga.frontend.importers.bnnpynq import import_bnnpynq
from bnn2fpga.frontend.importers.fracnet_design import import_fracnet

FORMATS: dict[str, Callable[[Path], Design]] = {
    "meta/layer_order": import_bnnpynq,
    "meta/block_order": import_fracnet,
}
"""The importer for files that hold an array of this name."""


def import_parameters(path: str | Path) -> Design:
    """The Design of a BNN-PYNQ or a FracBNN file; a ModelError for anything else."""
    arrays = read_arrays(Path(path), ModelError)
    importers = [importer for name, importer in FORMATS.items() if name in arrays]
    if len(importers) != 1:
        raise ModelError(
            f"{path}: array meta/layer_order (BNN-PYNQ) or meta/block_order (FracBNN) is missing"
        )
    return importers[0](Path(path))
