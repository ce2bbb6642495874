"""What a training run keeps: read whole and checked, or one line."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bnn2fpga.errors import ConfigError

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class Epoch:
    """One finished epoch, from 1; `loss` is the mean over the training images."""

    number: int
    loss: float
    test_accuracy: float
    learning_rate: float
    seconds: float


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A run after its last finished epoch; `config` is the run's as JSON."""

    folder: Path
    config: str
    network: dict[str, Any]
    optimizer: dict[str, Any]
    epochs: tuple[Epoch, ...]

    @classmethod
    def read(cls, folder: Path) -> Checkpoint:
        """What a run keeps in `folder`; a ConfigError if it is missing or broken."""
        path = folder / CHECKPOINT
        try:
            kept = torch.load(path, map_location="cpu", weights_only=True)
            epochs = tuple(Epoch(**values) for values in kept["epochs"])
            config, network, optimizer = (kept[name] for name in ("config", "network", "optimizer"))
            for value, kind in ((config, str), (network, dict), (optimizer, dict)):
                if not isinstance(value, kind):
                    raise TypeError(f"{type(value).__name__} for {kind.__name__}")
            for epoch in epochs:
                if not all(isinstance(getattr(epoch, field.name), int | float) for field in fields(epoch)):
                    raise TypeError("an epoch's figures are no numbers")
        except FileNotFoundError:
            raise ConfigError(f"{path}: no such file; train that network first") from None
        # a damaged file can fail anywhere in torch
        except Exception as error:
            raise ConfigError(f"{path}: not a checkpoint of a run ({type(error).__name__})") from error
        return cls(folder, config, network, optimizer, epochs)

    def fill(self, net: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> None:
        """Gives a network, and its optimizer, what was kept; a ConfigError if that was another network's."""
        try:
            net.load_state_dict(self.network)
            if optimizer is not None:
                optimizer.load_state_dict(self.optimizer)
        except (RuntimeError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise ConfigError(
                f"{self.folder / CHECKPOINT}: another version's network of that name; train it again"
            ) from error
