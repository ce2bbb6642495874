"""Every refusal of bnn2fpga, with the exit code that the command line gives it."""

import re

_NOISE = re.compile(
    r"\[ONNXRuntimeError\] : \d+ : \w+ : |/\S+\.(?:cc|h|hpp):\d+ |Non-zero status code returned while "
)
"""Places in a library's own sources, which are of no use to who reads the line."""


def first_line(error: Exception) -> str:
    """Of what a library's error says, or its kind where it says nothing."""
    said = f"{error} is missing" if isinstance(error, KeyError) else str(error)
    return (_NOISE.sub("", said).strip().splitlines() or [type(error).__name__])[0]


class BuildError(Exception):
    """Something in the model, the configuration or the request cannot be built.

    The text is one line: where it happened, what is wrong, what is legal, what to do.
    """

    exit_code = 1


class ModelError(BuildError):
    """The model file cannot be read, or its graph holds something that has no exact integer form."""


class TransformError(BuildError):
    """A graph transformation changed what the graph computes."""


class TrainingError(BuildError):
    """A training run cannot go on."""


class FoldingError(BuildError):
    """A folding is illegal, or no folding meets the request."""


class ConfigError(BuildError):
    """A board, a configuration file or an argument is wrong."""

    exit_code = 2


class ToolError(BuildError):
    """An external tool is missing or failed."""

    exit_code = 3


class MismatchError(BuildError):
    """Two levels that must agree do not."""

    exit_code = 4


class BitstreamError(BuildError):
    """A bitstream cannot be read, or it holds what the chip's data does not explain."""

    exit_code = 4
