"""Parameter files (.npz) of published networks that come without a graph."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from bnn2fpga.design.graph import Design
from bnn2fpga.errors import ModelError
from bnn2fpga.frontend.importers.bnnpynq import import_bnnpynq
from bnn2fpga.frontend.importers.fracnet_design import import_fracnet

FORMATS: dict[str, Callable[[Path], Design]] = {
    "meta/layer_order": import_bnnpynq,
    "meta/block_order": import_fracnet,
}
"""The importer for files that hold an array of this name."""


def import_parameters(path: str | Path) -> Design:
    """The Design of a BNN-PYNQ or a FracBNN file; a ModelError for anything else."""
    try:
        with np.load(path, allow_pickle=False) as file:
            importers = [importer for name, importer in FORMATS.items() if name in file.files]
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file") from None
    except (OSError, ValueError, EOFError, AttributeError, BadZipFile) as error:
        raise ModelError(f"{path}: not an .npz file ({error})") from error
    if len(importers) != 1:
        raise ModelError(
            f"{path}: array meta/layer_order (BNN-PYNQ) or meta/block_order (FracBNN) is missing"
        )
    return importers[0](Path(path))
