"""Small model files for tests of the build and the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from brevitas.nn import QuantConv2d, QuantIdentity, QuantLinear
from torch import nn

from bnn2fpga.frontend import load
from bnn2fpga.training.layers import BinaryWeightQuant, Sign, UnsignedActQuant

SHAPE = (1, 6, 6)


def _pixels() -> nn.Module:
    return QuantIdentity(act_quant=UnsignedActQuant, bit_width=5, max_val=2.0)


def _dense(inputs: int, outputs: int) -> nn.Module:
    return QuantLinear(inputs, outputs, bias=False, weight_quant=BinaryWeightQuant)


def small_net(seed: int = 0) -> nn.Module:
    """A padded convolution, a pool and a dense layer: (N, 1, 6, 6) to (N, 4)."""
    torch.manual_seed(seed)
    return nn.Sequential(
        _pixels(),
        QuantConv2d(1, 4, 3, padding=1, bias=False, weight_quant=BinaryWeightQuant),
        Sign(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        _dense(36, 4),
    ).eval()


def small_onnx(folder: Path, seed: int = 0) -> Path:
    """`small_net` as QONNX."""
    path = folder / "small.onnx"
    load(small_net(seed), torch.zeros(1, *SHAPE)).save(str(path))
    return path


def float_onnx(folder: Path) -> Path:
    """A network whose convolution has float weights."""
    path = folder / "float.onnx"
    net = nn.Sequential(_pixels(), nn.Conv2d(1, 4, 3, bias=False), Sign()).eval()
    load(net, torch.zeros(1, *SHAPE)).save(str(path))
    return path


def resize_onnx(folder: Path) -> Path:
    """A network that enlarges its feature map by interpolation."""
    path = folder / "resize.onnx"
    torch.manual_seed(0)
    net = nn.Sequential(
        Sign(), nn.Upsample(scale_factor=2, mode="bilinear"), nn.Flatten(), _dense(144, 4)
    ).eval()
    load(net, torch.zeros(1, *SHAPE)).save(str(path))
    return path


def text_file(folder: Path) -> Path:
    """A text that calls itself ONNX."""
    path = folder / "text.onnx"
    path.write_text("this is no model\n")
    return path


def truncated_onnx(folder: Path) -> Path:
    """The first half of a model file."""
    whole = small_onnx(folder).read_bytes()
    path = folder / "truncated.onnx"
    path.write_bytes(whole[: len(whole) // 2])
    return path


def random_data(folder: Path, frames: int = 12) -> Path:
    """Frames with labels."""
    random = np.random.default_rng(0)
    path = folder / "data.npz"
    np.savez(path, images=random.random((frames, *SHAPE), np.float32), labels=random.integers(0, 4, frames))
    return path


def op_types(path: Path) -> set[str]:
    """The operators in a model file."""
    return {node.op_type for node in onnx.load(str(path)).graph.node}
