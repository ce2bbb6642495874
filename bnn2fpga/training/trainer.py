"""A training run: epochs that can be killed and go on, and what is written about them."""

from __future__ import annotations

import io
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bnn2fpga.errors import ConfigError, TrainingError
from bnn2fpga.files.output_folder import blaming
from bnn2fpga.files.writing import write_whole
from bnn2fpga.training.calibration import calibrate, settle
from bnn2fpga.training.checkpoint import CHECKPOINT, Checkpoint, Epoch
from bnn2fpga.training.clipping import clip_gradients
from bnn2fpga.training.config import TrainConfig
from bnn2fpga.training.data import ImageData, Labels, Pixels
from bnn2fpga.training.distributed import Group
from bnn2fpga.training.layers import BinaryConv2d, BinaryLinear, follows
from bnn2fpga.training.models import build_model

METRICS = "metrics.jsonl"
TEST_BATCH = 500


@dataclass(frozen=True)
class Step:
    """How far a running epoch is; `loss` is the last batch's."""

    epoch: int
    step: int
    steps: int
    loss: float


@dataclass(frozen=True, eq=False)
class Callbacks:
    """Told, in the process that writes files, about every finished step and epoch, and of the end."""

    on_step: Callable[[Step], None] = lambda step: None
    on_epoch: Callable[[Epoch], None] = lambda epoch: None
    on_end: Callable[[nn.Module, list[Epoch]], None] = lambda net, epochs: None


def train(
    config: TrainConfig, data: ImageData, folder: Path, callbacks: Callbacks = Callbacks()
) -> tuple[nn.Module, list[Epoch]]:
    """The trained network in evaluation mode, and its epochs; both are kept in `folder`.

    A run that was killed goes on after its last finished epoch and ends with the same weights: whatever
    is random in an epoch follows from the seed and the epoch's number. Under torchrun every process takes
    its part of each batch. Raises ConfigError for a folder of another run, TrainingError for a loss that
    is not finite.
    """
    with Group.join() as group:
        run = _Run(config, data, folder, callbacks, group)
        return run.finish()


class _Run:
    """The state of a run: network, optimizer, finished epochs."""

    def __init__(
        self, config: TrainConfig, data: ImageData, folder: Path, callbacks: Callbacks, group: Group
    ) -> None:
        self.config, self.data, self.folder = config, data, folder
        self.callbacks, self.group = callbacks, group
        torch.manual_seed(config.seed)
        self.net = build_model(config.model, data.shape, data.classes, config.parameters).to(group.device)
        self.teacher: nn.Module | None = None
        if config.teacher is not None:
            self.teacher = load_network(config.teacher, data).to(group.device)
            evaluate_quickly(self.teacher)
        self.optimizer = torch.optim.Adam(
            self.net.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.epochs: list[Epoch] = []
        with blaming(folder):
            folder.mkdir(parents=True, exist_ok=True)
        if (folder / CHECKPOINT).is_file():
            self._restore()
        elif config.calibrate:
            first = torch.from_numpy(data.train_images[: config.calibrate])
            calibrate(self.net, as_input(first).to(group.device))
        self.shared = group.wrap(self.net)

    def finish(self) -> tuple[nn.Module, list[Epoch]]:
        for number in range(len(self.epochs) + 1, self.config.epochs + 1):
            start = time.perf_counter()
            loss = self._epoch(number)
            if number == self.config.epochs and self.config.settle:
                self._settle()
            correct = accuracy_of(self.net, self.data.test_images, self.data.test_labels)
            rate = self.optimizer.param_groups[0]["lr"]
            self.epochs.append(Epoch(number, loss, correct, rate, time.perf_counter() - start))
            if self.group.first:
                self._keep()
                self.callbacks.on_epoch(self.epochs[-1])
        self.net.eval()
        if self.group.first:
            self.callbacks.on_end(self.net, self.epochs)
        return self.net, self.epochs

    def _epoch(self, number: int) -> float:
        """Trains one epoch; the mean loss."""
        config, group = self.config, self.group
        torch.manual_seed(config.seed * 1_000_003 + number)
        order = torch.randperm(len(self.data.train_labels))
        if len(order) < config.batch:
            raise ConfigError(f"batch={config.batch} is more than the {len(order)} training images")
        batches = order[: len(order) // config.batch * config.batch].split(config.batch)
        floating = number <= config.float_epochs
        set_float_weights(self.net, floating)
        limited = [layer.weight for layer in weighted_layers(self.net)[:-1]]
        self.net.train()
        total = torch.zeros(())
        for step, chosen in enumerate(batches):
            for settings in self.optimizer.param_groups:
                settings["lr"] = self._rate(number, step, len(batches))
            images, labels = self._batch(chosen)
            with torch.autocast("cuda", enabled=group.device.type == "cuda"):
                loss = self._loss(self.shared(images), images, labels)
            if not math.isfinite(loss.item()):
                raise TrainingError(
                    f"epoch {number}, step {step + 1}: the loss is {loss.item()}; lower learning_rate "
                    f"({config.learning_rate:g}), or limit gradients with clip (0.001; it is {config.clip})"
                )
            self.optimizer.zero_grad()
            loss.backward()
            if config.clip is not None:
                clip_gradients(limited, config.clip)
            self.optimizer.step()
            total += loss.detach().cpu()
            if group.first:
                self.callbacks.on_step(Step(number, step + 1, len(batches), loss.item()))
        set_float_weights(self.net, False)
        if not all(bool(weights.isfinite().all()) for weights in self.net.parameters()):
            raise TrainingError(
                f"epoch {number}: weights are not finite; lower learning_rate ({config.learning_rate:g})"
            )
        return float(total) / len(batches)

    def _settle(self) -> None:
        """Measures running means and deviations on images that every process draws alike."""
        config = self.config
        torch.manual_seed(config.seed * 1_000_003 + config.epochs + 1)
        count = max(1, config.settle // config.batch) * config.batch
        order = torch.randperm(len(self.data.train_labels))[:count]
        batches = (self._augmented(chosen)[0] for chosen in order.split(config.batch))
        settle(self.net, (as_input(images).to(self.group.device) for images in batches))

    def _rate(self, number: int, step: int, steps: int) -> float:
        """The learning rate of a step, from 0, of an epoch of `steps`; each phase ends near 0."""
        config = self.config
        start = config.float_epochs if number > config.float_epochs else 0
        end = config.epochs if number > config.float_epochs else config.float_epochs
        gone = (number - 1 - start) * steps + step
        done = gone / (steps * max(1, end - start))
        fall = (1 + math.cos(math.pi * done)) / 2 if config.schedule == "cosine" else 1 - done
        return config.learning_rate * fall * min(1.0, (gone + 1) / (config.warmup + 1))

    def _augmented(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """These training images, augmented, and their labels; every process draws the same random numbers."""
        images = torch.from_numpy(self.data.train_images[chosen.numpy()])
        labels = torch.from_numpy(self.data.train_labels[chosen.numpy()])
        return augmented(images, self.config.shift, self.config.flip), labels

    def _batch(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """This process's part of a batch."""
        images, labels = self._augmented(chosen)
        own = self.group.part(len(labels))
        device = self.group.device
        return as_input(images[own]).to(device), labels[own].to(device)

    def _loss(self, scores: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        config = self.config
        loss = F.cross_entropy(scores, labels, label_smoothing=config.smoothing)
        if self.teacher is None:
            return loss
        with torch.no_grad():
            taught = self.teacher(images)
        soft = F.kl_div(
            F.log_softmax(scores / config.temperature, 1),
            F.log_softmax(taught / config.temperature, 1),
            reduction="batchmean",
            log_target=True,
        )
        share = config.teacher_weight
        return (1 - share) * loss + share * config.temperature**2 * soft

    def _keep(self) -> None:
        """The checkpoint, moved into place whole, then the metrics."""
        content = io.BytesIO()
        torch.save(
            {
                "config": self.config.model_dump_json(),
                "network": self.net.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "epochs": [asdict(epoch) for epoch in self.epochs],
            },
            content,
        )
        write_whole(self.folder / CHECKPOINT, content.getvalue())
        lines = (json.dumps(asdict(epoch)) for epoch in self.epochs)
        write_whole(self.folder / METRICS, "".join(f"{line}\n" for line in lines))

    def _restore(self) -> None:
        kept = Checkpoint.read(self.folder)
        if kept.config != self.config.model_dump_json():
            raise ConfigError(f"{self.folder}: holds a run of another configuration; give another folder")
        kept.fill(self.net, self.optimizer)
        self.epochs = list(kept.epochs)


def load_network(folder: Path, data: ImageData) -> nn.Module:
    """The network of the run in `folder`, in evaluation mode, for images like `data`'s."""
    kept = Checkpoint.read(folder)
    config = TrainConfig.from_json(kept.config, folder / CHECKPOINT)
    net = build_model(config.model, data.shape, data.classes, config.parameters)
    kept.fill(net)
    return net.eval()


def evaluate_quickly(net: nn.Module) -> None:
    """Lets modules that give the same numbers while training do so, in a third of Brevitas' time.

    Batch norms, and layers that follow their inputs, stay in evaluation.
    """
    for module in net.modules():
        module.training = not (follows(module) or isinstance(module, nn.BatchNorm2d))


def as_input(images: Tensor) -> Tensor:
    """Pixels 0 to 255 as the networks take them: multiples of 1/256."""
    return images.to(torch.float32) / 256


def augmented(images: Tensor, shift: int, flip: bool) -> Tensor:
    """Images (N, C, H, W), each moved by up to `shift` pixels, its edge repeated, and maybe mirrored."""
    count, _, height, width = images.shape
    if shift:
        padded = F.pad(images.to(torch.float32), (shift,) * 4, mode="replicate").to(images.dtype)
        y, x = torch.randint(2 * shift + 1, (2, count, 1))
        rows, columns = y + torch.arange(height), x + torch.arange(width)
        frames = torch.arange(count)[:, None, None]
        images = padded.permute(0, 2, 3, 1)[frames, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    if flip:
        mirrored = torch.rand(count) < 0.5
        images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
    return images


def accuracy_of(net: nn.Module, images: Pixels, labels: Labels) -> float:
    """Share of `images` whose largest score, the first among equals, is at its label."""
    net.eval()
    device = next(net.parameters()).device
    correct = 0
    with torch.no_grad():
        for at in range(0, len(images), TEST_BATCH):
            scores = net(as_input(torch.from_numpy(images[at : at + TEST_BATCH])).to(device))
            correct += int(np.sum(scores.argmax(1).cpu().numpy() == labels[at : at + TEST_BATCH]))
    return correct / len(images)


def binary_layers(net: nn.Module) -> Iterator[BinaryConv2d | BinaryLinear]:
    """The layers with binary weights, in order."""
    return (layer for layer in net.modules() if isinstance(layer, BinaryConv2d | BinaryLinear))


def weighted_layers(net: nn.Module) -> list[BinaryConv2d | nn.Linear]:
    """The layers with binary or real weights, in order."""
    return [layer for layer in net.modules() if isinstance(layer, BinaryConv2d | nn.Linear)]


def set_float_weights(net: nn.Module, floating: bool) -> None:
    """Real or binary weights in all layers."""
    for layer in binary_layers(net):
        layer.float_weights = floating
