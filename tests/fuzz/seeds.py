"""The corpus: small networks of every kind, and a parameter file, whose copies are changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from brevitas import nn as qnn
from torch import nn

from bnn2fpga.frontend import load
from bnn2fpga.training.models import build_model
from tests.frontend.nets import BinaryWeight, TernaryWeight, affine, conv, dense, levels, norm, pixels, sign


class Joined(nn.Module):
    """Branches that are added, then concatenated, and pools of both kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.source, self.first = pixels(), conv(2, 4, 3, padding=1)
        self.act, self.left, self.right = levels(2), conv(4, 4, 3, padding=1), conv(4, 4, 1)
        self.again, self.pool, self.mean = sign(), nn.MaxPool2d(2), nn.AvgPool2d(2)
        self.last, self.levels = dense(128, 3, TernaryWeight), levels(3, signed=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act(self.first(self.source(x)))
        both = self.left(x) + self.right(x)
        x = torch.cat([self.pool(self.again(both)), self.again(self.mean(x))], 1)
        return self.last(self.levels(x.flatten(1)))


def make_seeds(folder: Path) -> Path:
    """Writes the corpus, the same files at every run; gives `folder`."""
    torch.manual_seed(0)
    for name, parameters in (
        ("mlp", {"hidden": [8, 8]}),
        ("convnet", {"blocks": [[4]], "dense": [8]}),
        ("wsfracbnn", {"width": 4, "halves": 1, "levels": 4}),
    ):
        net = build_model(name, (1, 16, 16), 3, parameters).eval()
        load(net, torch.zeros(1, 1, 16, 16)).save(str(folder / f"{name}.onnx"))
    nets: dict[str, nn.Module] = {
        "joined": Joined(),
        "depthwise": nn.Sequential(
            pixels(),
            conv(2, 4, 3, stride=2, padding=1),
            norm(4),
            levels(2),
            conv(4, 8, (3, 1), groups=4, bias=True),
            affine(8),
            sign(),
            conv(8, 3, (1, 4), dilation=(1, 1), weight=TernaryWeight),
        ),
        "transposed": nn.Sequential(
            pixels(), conv(2, 3, 2), sign(), nn.Upsample(scale_factor=2), conv(3, 2, 3), norm(2)
        ),
        "dense": nn.Sequential(
            pixels(),
            nn.Flatten(),
            dense(128, 4, BinaryWeight, bias=True),
            nn.BatchNorm1d(4),
            nn.ReLU(),
            qnn.QuantReLU(bit_width=2),
            dense(4, 3),
            nn.Softmax(1),
        ),
    }
    for name, net in nets.items():
        load(net.eval(), torch.zeros(1, 2, 8, 8)).save(str(folder / f"{name}.onnx"))
    random = np.random.default_rng(0)
    np.savez(
        folder / "dense.npz",
        **{
            "meta/layer_order": np.array(["fc0", "fc1"]),
            "fc0/weight_bits": random.integers(0, 2, (8, 16), np.uint8),
            "fc0/threshold": random.integers(0, 16, 8),
            "fc1/weight_bits": random.integers(0, 2, (4, 8), np.uint8),
        },
    )
    return folder
