"""Networks and exports of other people, frame by frame against QONNX execution of the file as it is."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.util.cleanup import cleanup_model

from bnn2fpga.build.compiler import Options, Pipeline
from bnn2fpga.errors import ModelError
from bnn2fpga.frontend.graph.execute import Array
from bnn2fpga.frontend.graph.streamline import random_input
from tests.frontend.test_patterns import assert_close
from tests.networks.shared import shared_file

FRAMES = 20

EXACT = [
    "avgpool1d",
    "channel_shuffle_dense",
    "channels_last_mid",
    "chunk_concat",
    "concat_raw_sums",
    "conv1d_as_2d_tcn",
    "conv_quant_bias32",
    "conv_transpose",
    "dense_on_nhwc",
    "flatten_axis0",
    "global_maxpool",
    "nhwc_quant_then_transpose",
    "plain_torch_sign",
    "qcdq_w2a2",
    "reduce_mean",
    "squeeze_all",
    "trunc_avgpool",
    "two_stem_branches_own_input_quant",
    "uint8_annot_div",
    "upsample_nearest",
]


def by_qonnx(path: Path, frames: Array) -> Array:
    """What qonnx itself makes of the file, a frame at a time."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = cleanup_model(ModelWrapper(str(path)))
        (source,), (result,) = [v.name for v in model.graph.input], [v.name for v in model.graph.output]
        return np.stack([execute_onnx(model, {source: frame[None]})[result] for frame in frames])


def check(path: Path, **options: Any) -> None:
    """The design of the file computes what qonnx does."""
    pipeline = Pipeline(path, Options(**options))
    frames = random_input(pipeline.loaded, FRAMES, seed=3)
    wanted = by_qonnx(path, frames)
    found = pipeline.lowered.run(frames)
    assert_close(found.reshape(wanted.shape), wanted)
    assert len(np.unique(wanted)) > 1


@pytest.mark.parametrize("name", EXACT)
def test_computes_what_qonnx_does(name: str) -> None:
    check(shared_file(f"cases/networks/{name}.onnx"))


REFUSED = {
    "finn_cybsec_pe_simd": ["MVAU_hls is a hardware layer of FINN", "give the QONNX graph"],
    "minifloat": ["FloatQuant_0", "quantizes to small floating-point numbers", "quantize to integers"],
    "only_quant": ["nothing to build in hardware", "give a network with a layer"],
    "reflect_pad": ["Pad_0: pads by reflect", "a constant border", "take the Pad out"],
}
"""What is refused truly, and what the refusal says."""


@pytest.mark.parametrize("name", REFUSED)
def test_says_what_stands_there_and_a_way_out(name: str) -> None:
    """To `build` and to `explain` alike, in one line that is nobody else's."""
    path = shared_file(f"cases/networks/{name}.onnx")
    with pytest.raises(ModelError) as error:
        assert Pipeline(path, Options()).lowered
    text = str(error.value)
    assert "\n" not in text and all(part in text for part in REFUSED[name]), text
    pipeline = Pipeline(path, Options())
    try:
        refusal = pipeline.explained.refusal
    except ModelError as other:
        assert str(other) == text
    else:
        assert refusal is not None and refusal.reason == text and refusal.exit_code
