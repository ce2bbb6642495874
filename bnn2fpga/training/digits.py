"""A binary network without batch norm for the handwritten digits that ship with scikit-learn.

Small enough to train in half a minute on a CPU, complete enough to need every part of the compiler: an
integer input, zero padding, max pooling, convolutions and fully-connected layers. About 98 % of the test
digits come out right.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from brevitas.nn import QuantIdentity
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional as F

from bnn2fpga.training.layers import BinaryConv2d, BinaryLinear, Sign, SignPool, UnsignedActQuant

INPUT_SHAPE = (1, 1, 8, 8)
"""Shape of one frame, batch first."""
CLASSES = 10
PIXEL_STD = 0.376
"""Standard deviation of a pixel in [0, 1]; the first layer's gamma is its inverse."""
SHIFTED = 0.4
"""Share of the training images that are moved by up to a pixel each time they are shown."""


@dataclass(frozen=True, eq=False)
class DigitsData:
    """Images float32 (N, 1, 8, 8), multiples of 1/16 in [0, 1]; labels int64 (N,) in 0..9."""

    train_images: npt.NDArray[np.float32]
    train_labels: npt.NDArray[np.int64]
    test_images: npt.NDArray[np.float32]
    test_labels: npt.NDArray[np.int64]


@dataclass(frozen=True)
class EpochResult:
    """One finished epoch, 1..epochs; loss is the mean over the training images."""

    epoch: int
    epochs: int
    loss: float
    test_accuracy: float


def load_digits_data(seed: int = 0) -> DigitsData:
    """1437 training and 360 test images, every class split alike; the seed picks the split."""
    digits = load_digits()
    images = (digits.images[:, None] / 16).astype(np.float32)
    train_images, test_images, train_labels, test_labels = train_test_split(
        images, digits.target.astype(np.int64), test_size=0.2, stratify=digits.target, random_state=seed
    )
    return DigitsData(train_images, train_labels, test_images, test_labels)


class DigitsNet(nn.Module):  # type: ignore[misc]
    """(N, 1, 8, 8) in [0, 1] to scores (N, 10), multiples of 2^-4 with |score| <= 4; weights +-1 throughout.

    Three 3x3 convolutions of 16, 32 and 64 channels padded with zeros, a 2x2 max pool before the third, then
    fully-connected layers of 64 and 10. The input is rounded to 5 unsigned bits of 1/16: pixels stay exact.
    """

    def __init__(self) -> None:
        super().__init__()
        self.input = QuantIdentity(act_quant=UnsignedActQuant, bit_width=5, max_val=2.0)
        self.features = nn.Sequential(
            BinaryConv2d(1, 16, 3, padding=1, gamma=1 / PIXEL_STD),
            Sign(),
            BinaryConv2d(16, 32, 3, padding=1),
            SignPool(2),
            BinaryConv2d(32, 64, 3, padding=1),
            Sign(),
        )
        self.classifier = nn.Sequential(
            BinaryLinear(1024, 64), Sign(), BinaryLinear(64, CLASSES, output_scale=2.0**-4)
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(self.input(images)).reshape(-1, 1024))


def accuracy(net: nn.Module, images: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]) -> float:
    """Share of images (N, 1, 8, 8) whose largest score, the first among equals, is at its label (N,)."""
    training = net.training
    net.eval()
    with torch.no_grad():
        predicted = net(torch.from_numpy(images)).argmax(1).numpy()
    net.train(training)
    return float((predicted == labels).mean())


def train_digits(
    data: DigitsData,
    epochs: int = 60,
    seed: int = 0,
    on_epoch: Callable[[EpochResult], None] | None = None,
) -> DigitsNet:
    """A network trained with Adam (3e-3, cosine decay) on smoothed labels and shifted images, in eval mode.

    The same data, epochs and seed give the same weights. Random state, thread count and the other settings
    of torch are as before on return.
    """
    with _reproducible(seed):
        return _train(data, epochs, on_epoch or (lambda _: None))


def _train(
    data: DigitsData, epochs: int, on_epoch: Callable[[EpochResult], None], batch: int = 64
) -> DigitsNet:
    net, batch = DigitsNet(), 64
    labels = torch.from_numpy(data.train_labels)
    shifts = _shifts(torch.from_numpy(data.train_images))
    count = len(labels)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * -(-count // batch))
    for epoch in range(1, epochs + 1):
        net.train()
        total = 0.0
        for chosen in torch.randperm(count).split(batch):
            direction = torch.randint(len(shifts), chosen.shape) * (torch.rand(chosen.shape) < SHIFTED)
            scores = net(shifts[direction, chosen])
            loss = F.cross_entropy(scores, labels[chosen], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(chosen)
        on_epoch(EpochResult(epoch, epochs, total / count, accuracy(net, data.test_images, data.test_labels)))
    net.eval()
    return net


def _shifts(images: Tensor) -> Tensor:
    """(N, 1, H, W) to (9, N, 1, H, W): the images themselves first, then moved by one pixel each way."""
    height, width = images.shape[-2:]
    padded = F.pad(images, (1, 1, 1, 1))
    offsets = sorted(((y, x) for y in range(3) for x in range(3)), key=lambda offset: offset != (1, 1))
    return torch.stack([padded[..., y : y + height, x : x + width] for y, x in offsets])


@contextmanager
def _reproducible(seed: int) -> Iterator[None]:
    """Seeded, deterministic and on one thread inside; everything as before outside."""
    threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        try:
            torch.default_generator.manual_seed(seed)
            torch.set_num_threads(1)
            torch.use_deterministic_algorithms(True)
            yield
        finally:
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
