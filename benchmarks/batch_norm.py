"""Trains ResNet-20 with batch norm, without it, and without each of what stands in for it: one table.

Every run gets the same images, epochs and learning rate, and leaves its network to build. Finished runs in
the folder are not repeated, so the command can be stopped and said again; several at once share the rows with
--only.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from bnn2fpga.training.checkpoint import CHECKPOINT, Checkpoint, Epoch
from bnn2fpga.training.config import TrainConfig
from bnn2fpga.training.data import ImageData, Pixels, load_images
from bnn2fpga.training.results import TEST, write_results
from bnn2fpga.training.trainer import Callbacks, train

RATE = 6e-3
"""Of learning; what suits three epochs."""
BASE: dict[str, Any] = {
    "batch": 64,
    "warmup": 50,
    "schedule": "linear",
    "shift": 2,
    "flip": True,
    "settle": 12_800,
}
FREE: dict[str, Any] = {"model": "wsfracbnn", "clip": 0.001, "calibrate": 512}
NORMED = "fracbnn, weight standardization"
TAUGHT = {"teacher": Path(f"{NORMED}-0")}
"""By the first network with batch norm and weight standardization, in the folder of the runs."""
ROWS: dict[str, tuple[dict[str, Any], dict[str, Any], int]] = {
    "fracbnn": ({"model": "fracbnn"}, {}, 4),
    "wsfracbnn": (FREE, {}, 4),
    NORMED: ({"model": "fracbnn"}, {"standardized": True}, 2),
    f"{NORMED}, slopes from 1/32": ({"model": "fracbnn"}, {"standardized": True, "slope": 1 / 32}, 1),
    f"{NORMED}, gradient clipping": (
        {"model": "fracbnn", "clip": FREE["clip"]},
        {"standardized": True},
        1,
    ),
    "fracbnn, taught": ({"model": "fracbnn"} | TAUGHT, {}, 2),
    "wsfracbnn, taught": (FREE | TAUGHT, {}, 2),
    "wsfracbnn, not tracked": (FREE, {"tracked": False, "slope": 1 / 4}, 2),
    "wsfracbnn, not centred": (FREE, {"centred": False}, 2),
    "wsfracbnn, folded batch norm": (FREE, {"folded_norm": True}, 2),
    "wsfracbnn, no gradient clipping": (FREE | {"clip": None}, {}, 2),
    "wsfracbnn, no warm-up": (FREE | {"warmup": 0}, {}, 1),
    "wsfracbnn, no weight standardization": (FREE, {"standardized": False}, 2),
    "wsfracbnn, alpha 1/4": (FREE, {"alpha": 0.25}, 2),
}
"""Changes to the configuration and to the network, and the number of seeds."""


def halved(data: ImageData) -> ImageData:
    """Every pixel the mean of four; an epoch takes a quarter of the time."""

    def half(images: Pixels) -> Pixels:
        count, channels, height, width = images.shape
        fours = images.reshape(count, channels, height // 2, 2, width // 2, 2)
        return np.rint(fours.mean((3, 5), np.float32)).astype(np.uint8)

    return replace(data, train_images=half(data.train_images), test_images=half(data.test_images))


def run(name: str, seed: int, width: int, epochs: int, rate: float, data: ImageData, folder: Path) -> None:
    """Trains one row with one seed, unless that is done."""
    changes, parameters, _ = ROWS[name]
    if "teacher" in changes:
        changes = changes | {"teacher": folder / changes["teacher"]}
    config = TrainConfig(
        data=Path("-"),
        epochs=epochs,
        seed=seed,
        learning_rate=rate,
        parameters={"width": width, **parameters},
        **BASE | changes,
    )
    place = folder / f"{name.replace('/', '_')}-{seed}"

    def on_end(net: nn.Module, epochs: list[Epoch]) -> None:
        if not (place / TEST).is_file():
            write_results(place, net, data, epochs)

    train(config, data, place, Callbacks(on_end=on_end))


def table(folder: Path) -> None:
    """Accuracies in per cent, the mean first."""
    print("| network | test accuracy, % | seeds |\n|---|---:|---|")
    for name, (_, _, seeds) in ROWS.items():
        paths = [folder / f"{name.replace('/', '_')}-{seed}" for seed in range(seeds)]
        kept = [Checkpoint.read(path).epochs for path in paths if (path / CHECKPOINT).is_file()]
        found = [100 * epochs[-1].test_accuracy for epochs in kept]
        if found:
            print(f"| {name} | {np.mean(found):.2f} | {', '.join(f'{value:.2f}' for value in found)} |")


def main() -> None:
    """Trains what is missing, then prints the table."""
    shared = Path(__file__).parents[2] / "shared"
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batch_norm", description=__doc__)
    parser.add_argument("--data", type=Path, default=shared / "data/cifar10_jpeg.npz")
    parser.add_argument("--folder", type=Path, default=Path("batch_norm"))
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--rate", type=float, default=RATE, help="learning rate, in a folder of its own")
    parser.add_argument("--halved", action="store_true", help="images of half the height and width")
    parser.add_argument("--threads", type=int, default=1, help="of one run")
    parser.add_argument("--only", choices=list(ROWS), nargs="*", default=list(ROWS))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    data, folder = load_images(arguments.data), arguments.folder
    if arguments.halved:
        data, folder = halved(data), folder / "halved"
    if arguments.rate != RATE:
        folder /= f"rate-{arguments.rate:g}"
    for name in arguments.only:
        for seed in range(ROWS[name][2]):
            run(name, seed, arguments.width, arguments.epochs, arguments.rate, data, folder)
    table(folder)


if __name__ == "__main__":
    main()
