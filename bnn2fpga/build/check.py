"""Whether a model still keeps what its owners ask of it: budgets, and a baseline to move from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from bnn2fpga.build.compiler import Options, Pipeline
from bnn2fpga.build.dataset import Dataset, correct_labels, load_dataset, predicted_labels
from bnn2fpga.build.findings import Checked, Finding, of_digests, of_figure, of_level
from bnn2fpga.build.verify import climb, random_frames
from bnn2fpga.errors import ConfigError
from bnn2fpga.files.arrays import read_arrays
from bnn2fpga.files.digest import file_digest
from bnn2fpga.files.settings import Table
from bnn2fpga.files.writing import write_whole
from bnn2fpga.planning.estimate import estimate


class Budget(Table):
    """What figures must keep. Accuracy and agreement in per cent at least, frames a second at least.

    LUTs, block RAMs of 36 Kbit and microseconds of latency at most.
    """

    accuracy: float | None = Field(default=None, ge=0, le=100)
    reference: float | None = Field(default=None, ge=0, le=100)
    fps: float | None = Field(default=None, ge=0)
    luts: float | None = Field(default=None, ge=0)
    bram36: float | None = Field(default=None, ge=0)
    latency_us: float | None = Field(default=None, ge=0)


class MayMove(Table):
    """How much worse than the baseline a figure may be: percentage points, or per cent of the others."""

    accuracy: float = Field(default=0, ge=0)
    reference: float = Field(default=0, ge=0)
    fps: float = Field(default=0, ge=0)
    luts: float = Field(default=0, ge=0)
    bram36: float = Field(default=0, ge=0)
    latency_us: float = Field(default=0, ge=0)


class CheckConfig(Options):
    """The settings of `bnn2fpga check`; those of a build, and what must hold.

    `data` are frames and labels, each frame divided by `divide`. `labels` is a file (.npy, or .npz with
    labels or scores) of what another system, such as PyTorch, says of them. `frames` are compared at every
    level. The `baseline` is a file that --update-baseline writes.
    """

    model: Path
    data: Path | None = None
    labels: Path | None = None
    divide: float = 1.0
    frames: int = Field(default=8, ge=1)
    baseline: Path | None = None
    budget: Budget = Budget()
    may_move: MayMove = MayMove()

    def beside(self, folder: Path) -> CheckConfig:
        """The same with paths that are relative to `folder`, where the settings lie."""
        paths = {name: getattr(self, name) for name in ("model", "data", "labels", "baseline")}
        return self.replaced(**{name: folder / path for name, path in paths.items() if path is not None})


def check(config: CheckConfig, update: bool = False) -> Checked:
    """Measures the model and compares; with `update` the figures become the baseline, if all levels agree.

    Raises BuildError where something cannot be measured: a missing file, wrong data, a model that is refused.
    """
    labelled = (config.budget.accuracy, config.budget.reference, config.labels)
    if config.data is None and any(asked is not None for asked in labelled):
        raise ConfigError("budget of labels without data; legal: data = FILE with frames, and labels")
    if update and config.baseline is None:
        raise ConfigError("no baseline is named; legal: baseline = FILE, which --update-baseline then writes")
    kept = None if update else read_baseline(config.baseline)
    options = {name: getattr(config, name) for name in Options.model_fields}
    pipeline = Pipeline(config.model, Options(**options))
    design, board = pipeline.folded, pipeline.board
    shape = design.host.input_shape
    data = load_dataset(config.data, shape, config.divide) if config.data else None
    integers = design.simulate(design.host.encode(data.frames)) if data else None
    outputs = None if integers is None else design.host.decode(integers)
    planned = estimate(design, board)
    figures: dict[str, float] = {}
    if data is not None:
        figures |= _labelled(config, data, outputs)
    figures |= {
        "fps": round(planned.fps, 1),
        "luts": planned.total.all_luts,
        "bram36": planned.total.bram36,
        "latency_us": round(planned.latency_us, 3),
    }
    measured: dict[str, Any] = {"model": file_digest(config.model), "figures": figures}
    if integers is not None:
        measured["outputs"] = hashlib.sha256(np.ascontiguousarray(integers, np.int64).tobytes()).hexdigest()
    levels = list(_levels(pipeline, data, config.frames))
    findings = list(levels)
    for name, found in figures.items():
        before = kept["figures"].get(name) if kept else None
        budget, room = getattr(config.budget, name), getattr(config.may_move, name)
        findings.append(of_figure(name, found, budget, before, room))
    findings += of_digests(measured, kept) if kept else ()
    exact = all(level.ok for level in levels)
    if update and exact and config.baseline is not None:
        write_whole(config.baseline, json.dumps(measured, indent=1) + "\n")
    return Checked(design.name, tuple(findings), measured, exact)


def _labelled(config: CheckConfig, data: Dataset, outputs: Any) -> dict[str, float]:
    """Accuracy and agreement in per cent."""
    wanted = [name for name in ("accuracy", "reference") if getattr(config.budget, name) is not None]
    if isinstance(outputs, tuple):
        if wanted or config.labels:
            raise ConfigError(f"{config.model}: has {len(outputs)} outputs; labels need one")
        return {}
    found: dict[str, float] = {}
    if data.labels is not None:
        found["accuracy"] = round(100 * correct_labels(outputs, data.labels) / len(data.labels), 4)
    elif "accuracy" in wanted:
        raise ConfigError(f"{config.data}: has no labels, which the budget of accuracy needs")
    if config.labels:
        same = predicted_labels(outputs) == reference_labels(config.labels, len(data.frames))
        found["reference"] = round(100 * float(np.mean(same)), 4)
    elif "reference" in wanted:
        raise ConfigError("budget of reference without labels; legal: labels = FILE of the other system's")
    return found


def reference_labels(path: Path, frames: int) -> npt.NDArray[Any]:
    """Labels (N,) of an .npy, or of an .npz under `labels`; or scores (N, classes), of which the largest."""
    arrays = read_arrays(path)
    found = next((arrays[name] for name in ("", "labels", "scores") if name in arrays), None)
    if found is None or found.dtype.kind not in "iuf" or len(found) != frames:
        what = "none" if found is None else f"{found.dtype} of shape {found.shape}"
        raise ConfigError(f"{path}: labels: {what}; legal: a label, or scores, for each of {frames:,} frames")
    return predicted_labels(found)


def read_baseline(path: Path | None) -> dict[str, Any] | None:
    """What --update-baseline wrote; a ConfigError for anything else."""
    if path is None:
        return None
    try:
        kept = json.loads(path.read_text())
        figures = kept["figures"]
        whole = {str(name): float(value) for name, value in figures.items()}
        if not all(np.isfinite(value) for value in whole.values()) or not isinstance(kept["model"], str):
            raise ValueError("its figures are no numbers")
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no baseline yet; bnn2fpga check --update-baseline writes it, keep it with the model"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigError(f"{path}: no baseline ({error}); write it anew with --update-baseline") from error
    return {"model": kept["model"], "outputs": str(kept.get("outputs", "")), "figures": whole}


def _levels(pipeline: Pipeline, data: Dataset | None, count: int) -> Iterator[Finding]:
    """A finding for every level of the ladder."""
    frames = random_frames(pipeline, count) if data is None else data.frames[:count]
    scores = None if data is None or data.scores is None else data.scores[:count]
    for level in climb(pipeline, frames, scores):
        yield of_level(level)
