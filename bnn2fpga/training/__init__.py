"""Training of binary networks without batch norm, ready for export to QONNX."""

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
    "load_digits_data",
    "standardize",
    "train_digits",
]
