"""How many frames a graph takes at once."""

from __future__ import annotations

from qonnx.core.modelwrapper import ModelWrapper

from bnn2fpga.frontend.graph.keep_batch import keeps_batch
from bnn2fpga.frontend.graph.quantizer import QUANTIZERS

MOST = 256


def frames_at_once(model: ModelWrapper) -> int:
    """1 where a node keeps to the batch of 1 that is written in it, or the batch leaves the first axis."""
    # qonnx' and FINN's own nodes (Im2Col, …) keep to the batch size that is written in them
    own = any(n.domain not in ("", "ai.onnx") and n.op_type not in QUANTIZERS for n in model.graph.node)
    return 1 if own or not keeps_batch(model) else MOST
