"""What the user says of the frames of a network that quantizes its input nowhere."""

from __future__ import annotations

import re

import numpy as np
from onnx import helper
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.infer_shapes import InferShapes

from bnn2fpga.errors import ConfigError, ModelError

FORM = re.compile(r"(u?)int(\d{1,2})(?:/(\d+(?:\.\d+)?))?")
MOST_BITS = 16


def declare_input(model: ModelWrapper, declared: str) -> ModelWrapper:
    """The graph with an input of integers: `declared` is uint8, int8, …, or uint8/255.

    uint1 to uint16 and int2 to int16 say that the frames hold such integers. Behind a slash stands what
    they were divided by: the frames then are floats, and a quantizer brings them back to integers. Raises
    ConfigError for another text, ModelError where the graph says otherwise.
    """
    unsigned, bits, divisor = _read(declared)
    name = model.graph.input[0].name
    known, kind = model.get_tensor_datatype(name), f"{'U' if unsigned else ''}INT{bits}"
    if known != DataType["FLOAT32"] and (divisor is not None or known != DataType[kind]):
        raise ModelError(f"{name}: is annotated {known} in the graph, not {declared}; leave input_type out")
    if divisor is None:
        model.set_tensor_datatype(name, DataType[kind])
        return model
    return _quantized(model, name, unsigned, bits, divisor)


def _read(declared: str) -> tuple[bool, int, float | None]:
    found = FORM.fullmatch(declared)
    unsigned, bits = bool(found and found[1]), int(found[2]) if found else 0
    divisor = float(found[3]) if found and found[3] else None
    if found is None or not 2 - unsigned <= bits <= MOST_BITS or divisor == 0:
        raise ConfigError(
            f"input_type={declared}; legal: uint1 to uint{MOST_BITS} or int2 to int{MOST_BITS}, and, for "
            "frames that were divided, by what: uint8/255"
        )
    return unsigned, bits, divisor


def _quantized(model: ModelWrapper, name: str, unsigned: bool, bits: int, divisor: float) -> ModelWrapper:
    """A quantizer of steps 1 / divisor right behind the input."""
    parameters = []
    for value in (1 / divisor, 0, bits):
        parameters.append(model.make_new_valueinfo_name())
        model.set_initializer(parameters[-1], np.float32(value))
    result = model.make_new_valueinfo_name()
    for node in model.graph.node:
        for place, read in enumerate(node.input):
            if read == name:
                node.input[place] = result
    quantizer = helper.make_node(
        "Quant",
        [name, *parameters],
        [result],
        name="declared_input",
        domain="qonnx.custom_op.general",
        signed=int(not unsigned),
        narrow=0,
        rounding_mode="ROUND",
    )
    model.graph.node.insert(0, quantizer)
    return model.transform(InferShapes())
