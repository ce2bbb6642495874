"""The demo: trains a small network on handwritten digits, then builds and verifies it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bnn2fpga.build.config import BuildConfig
from bnn2fpga.build.step_runner import Step
from bnn2fpga.build.steps import Build


@dataclass(frozen=True, eq=False)
class Demo:
    """A build whose first step trains the model; `on_epoch` sees each finished epoch."""

    build: Build
    epochs: int
    on_epoch: Callable[[Any], None]

    @classmethod
    def of(
        cls,
        folder: Path,
        epochs: int,
        on_epoch: Callable[[Any], None],
        on_level: Callable[[Any], None],
        **options: Any,
    ) -> Demo:
        """The demo in a build folder; `options` are those of a build (board, fps, …)."""
        trained = folder / "01-train"
        config = BuildConfig(model=trained / "digits.onnx", data=trained / "test.npz", **options)
        return cls(Build.of(config, on_level), epochs, on_epoch)

    def steps(self) -> list[Step]:
        """Training, then a build's steps."""
        return [Step("train", self.train, (), f"epochs {self.epochs}"), *self.build.steps(before=("train",))]

    def train(self, folder: Path) -> None:
        """Trains the network; leaves it as QONNX, with the test images and Brevitas' scores for them."""
        from bnn2fpga.frontend import load
        from bnn2fpga.frontend.graph.run_module import run_eagerly
        from bnn2fpga.training.digits import load_digits_data, train_digits

        data = load_digits_data()
        net = train_digits(data, self.epochs, on_epoch=self.on_epoch)
        load(net, data.test_images[:1]).save(str(folder / "digits.onnx"))
        scores = run_eagerly(net, data.test_images)
        np.savez(
            folder / "test.npz", images=data.test_images, labels=data.test_labels, brevitas_scores=scores
        )
