"""Exports a Brevitas module to a QONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bnn2fpga.errors import ModelError
from bnn2fpga.frontend.graph.load import load


def export_module(module: Any, example_input: Any, path: str | Path) -> Path:
    """Writes `module` as QONNX to `path`, tidied; `example_input` is one frame (1, …).

    Raises ModelError where it cannot be exported or written.
    """
    try:
        load(module, example_input).save(str(path))
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}; choose another file") from error
    return Path(path)
