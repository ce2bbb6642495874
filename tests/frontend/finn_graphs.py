"""What FINN's own transformations make of networks: its dialect, streamlined, convolutions lowered."""

from __future__ import annotations

import warnings

import finn.transformation.streamline.absorb as absorb
import numpy as np
from finn.transformation.qonnx.convert_qonnx_to_finn import ConvertQONNXtoFINN
from finn.transformation.streamline import Streamline
from finn.transformation.streamline.reorder import MakeMaxPoolNHWC
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.bipolar_to_xnor import ConvertBipolarMatMulToXnorPopcount
from qonnx.transformation.fold_constants import FoldConstants
from qonnx.transformation.infer_data_layouts import InferDataLayouts
from qonnx.transformation.infer_datatypes import InferDataTypes
from qonnx.transformation.infer_shapes import InferShapes
from qonnx.transformation.lower_convs_to_matmul import LowerConvsToMatMul
from torch import nn

from bnn2fpga.frontend import load

STAGES = ("dialect", "streamlined", "lowered", "xnor")
"""In the order of FINN's builder."""


def finn_onnx(net: nn.Module, shape: tuple[int, ...], stage: str) -> ModelWrapper:
    """The network as FINN's builder has it behind `stage`."""
    model = load(net.eval(), np.zeros((1, *shape), np.float32))
    until = STAGES.index(stage)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        steps = [ConvertQONNXtoFINN(), InferShapes(), FoldConstants(), InferDataTypes()]
        if until >= 1:
            steps += [absorb.AbsorbScalarBiasIntoMultiThreshold(), Streamline()]
        if until >= 2:
            steps += [LowerConvsToMatMul(), MakeMaxPoolNHWC(), absorb.AbsorbTransposeIntoMultiThreshold()]
            steps += [MakeMaxPoolNHWC(), absorb.AbsorbConsecutiveTransposes()]
        if until >= 3:
            steps += [ConvertBipolarMatMulToXnorPopcount(), Streamline(), InferDataLayouts()]
        for step in steps:
            model = model.transform(step)
    return model
