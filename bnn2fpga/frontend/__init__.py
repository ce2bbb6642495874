"""From a trained network to a Design: load, streamline, lower.

The only part of bnn2fpga that knows qonnx, FINN, Brevitas and torch.
"""

from bnn2fpga.frontend.explain import explain
from bnn2fpga.frontend.graph.load import load
from bnn2fpga.frontend.graph.streamline import DEFAULT_TRANSFORMATIONS, streamline
from bnn2fpga.frontend.importers.parameters import import_parameters
from bnn2fpga.frontend.lowering.lower import lower

__all__ = ["DEFAULT_TRANSFORMATIONS", "explain", "import_parameters", "load", "lower", "streamline"]
