"""Training of binary networks without batch norm, ready for export to QONNX."""

from bnn2fpga.frontend.graph.export import export_module
from bnn2fpga.frontend.graph.run_module import run_eagerly
from bnn2fpga.training.digits import (
    DigitsData,
    DigitsNet,
    EpochResult,
    accuracy,
    load_digits_data,
    train_digits,
)
from bnn2fpga.training.layers import BinaryConv2d, BinaryLinear, Sign, SignPool, standardize

__all__ = [
    "BinaryConv2d",
    "BinaryLinear",
    "DigitsData",
    "DigitsNet",
    "EpochResult",
    "Sign",
    "SignPool",
    "accuracy",
    "export_module",
    "load_digits_data",
    "run_eagerly",
    "standardize",
    "train_digits",
]
