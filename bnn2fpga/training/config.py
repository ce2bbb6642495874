"""What a training run is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from bnn2fpga.files.settings import Settings, read_settings

MOST_RATE = 100.0
"""A rate that leaves no weight as it was; above it, sums overflow."""


class TrainConfig(Settings):
    """A training run, as in its TOML file; paths in the file are relative to it.

    `model` and its `parameters` name a network of `training.models`. Training is Adam on cross entropy with
    label `smoothing`. The first `float_epochs` train real weights under binary activations, the rest binary
    weights; each phase has its own schedule, whose first `warmup` steps raise the rate from 0. `clip` is the
    limit of adaptive gradient clipping. The first `calibrate` images set gains and shifts before training; on
    `settle` random ones running means and deviations are measured after it.
    `shift` and `flip` augment the images: moved by up to so many pixels, mirrored. `teacher` is the folder of
    another run, whose scores, softened by `temperature`, have the share `teacher_weight` of the loss.
    """

    model: str
    data: Path
    parameters: dict[str, Any] = Field(default_factory=dict)
    epochs: int = Field(default=30, ge=1, le=100_000)
    float_epochs: int = Field(default=0, ge=0)
    batch: int = Field(default=128, ge=1, le=1_000_000)
    learning_rate: float = Field(default=1e-3, gt=0, le=MOST_RATE)
    schedule: Literal["cosine", "linear"] = "cosine"
    warmup: int = Field(default=0, ge=0)
    weight_decay: float = Field(default=0.0, ge=0)
    clip: float | None = Field(default=None, gt=0)
    smoothing: float = Field(default=0.0, ge=0, lt=1)
    calibrate: int = Field(default=0, ge=0)
    settle: int = Field(default=0, ge=0)
    shift: int = Field(default=0, ge=0)
    flip: bool = False
    teacher: Path | None = None
    teacher_weight: float = Field(default=0.5, ge=0, le=1)
    temperature: float = Field(default=3.0, gt=0)
    seed: int = Field(default=0, ge=0, lt=1 << 32)


def read_train_config(path: Path) -> TrainConfig:
    """The run in a TOML file; a ConfigError that lists every fault."""
    config = read_settings(path, TrainConfig)
    teacher = config.teacher and path.parent / config.teacher
    return config.replaced(data=path.parent / config.data, teacher=teacher)
