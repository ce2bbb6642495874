"""Commands for networks that are not trained yet: train, count."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bnn2fpga.cli.terminal import command, out

PANEL = "Train"


@command(PANEL, "bnn2fpga train mnist.toml -o lfc", "bnn2fpga build lfc/model.onnx --data lfc/test.npz")
def train(
    config: Annotated[
        Path, typer.Argument(help="A TOML file: model, data, epochs, …; see training/config.py.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The run's folder.")] = Path("bnn2fpga-run"),
) -> None:
    """Trains a binary network without batch norm and exports it to QONNX.

    A run that was stopped goes on after its last epoch and ends with the same weights. On several GPUs or
    machines: torchrun --nproc-per-node 4 -m bnn2fpga train CONFIG.
    """
    from bnn2fpga.cli.progress import TrainProgress
    from bnn2fpga.training.config import read_train_config
    from bnn2fpga.training.data import load_images
    from bnn2fpga.training.results import write_results
    from bnn2fpga.training.trainer import Callbacks
    from bnn2fpga.training.trainer import train as run_training

    settings = read_train_config(config)
    data = load_images(settings.data)

    def finish(net: Any, epochs: list[Any]) -> None:
        write_results(output, net, data, epochs)
        out.print(
            f"test accuracy {100 * epochs[-1].test_accuracy:.2f} %; {output}: model.onnx, test.npz, "
            f"curves.svg, metrics.jsonl\nnext: bnn2fpga build {output}/model.onnx --data {output}/test.npz"
        )

    with TrainProgress(out, settings.epochs) as progress:
        run_training(settings, data, output, Callbacks(progress.step, progress.epoch, finish))


@command(PANEL, "bnn2fpga count wsfracbnn --classes 100", "bnn2fpga count cmt --size ti")
def count(
    model: Annotated[
        str, typer.Argument(help="A network by name: mlp, convnet, bcmt, csasml, fracbnn, wsfracbnn, cmt.")
    ],
    classes: Annotated[int, typer.Option(min=2, help="Classes to tell apart.")] = 10,
    image: Annotated[tuple[int, int, int], typer.Option(help="Channels, height and width of an image.")] = (
        3,
        32,
        32,
    ),
    size: Annotated[str, typer.Option(help="Of cmt, as published: ti, xs, s, b.")] = "ti",
) -> None:
    """Counts what a network costs: binary and float operations, and what the emitted hardware does."""
    from bnn2fpga.cli.tables import conventions, counts, float_counts, split_share
    from bnn2fpga.training.cmt import count_size
    from bnn2fpga.training.count import CONVENTIONS, Hardware, count_operations
    from bnn2fpga.training.csasml import block_products
    from bnn2fpga.training.models import BASELINES, build_model

    if model == "cmt":
        out.print(float_counts(f"cmt {size}", count_size(size)))
        return
    net = build_model(model, image, classes, {})
    found = count_operations(net, image)
    out.print(counts(model, found, Hardware.of(found)))
    if model == "csasml":
        plain = build_model(model, image, classes, {"split": False, "attention": False})
        out.print()
        out.print(split_share(block_products(plain, image), block_products(net, image)))
    if model in BASELINES:
        before = count_operations(build_model(BASELINES[model], image, classes, {}), image)
        out.print()
        out.print(conventions(BASELINES[model], model, before, found, CONVENTIONS))
