"""A network without a quantizer at its input, and what the user says of its frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from torch import nn

from bnn2fpga.build.compiler import Options, Pipeline
from bnn2fpga.errors import BuildError, ConfigError, ModelError
from bnn2fpga.frontend import load
from tests.frontend.nets import affine, conv, norm, sign
from tests.frontend.test_patterns import check_graph, seeded

SHAPE = (2, 6, 7)
EXAMPLE = np.zeros((1, *SHAPE), np.float32)


def net() -> nn.Module:
    return seeded(
        lambda: nn.Sequential(conv(2, 4, padding=1), norm(4), sign(), conv(4, 3), affine(3), sign()), 0
    )


@pytest.mark.parametrize(
    ("declared", "low", "high"), [("uint8", 0, 255), ("int8", -128, 127), ("uint3", 0, 7)]
)
def test_frames_of_integers(declared: str, low: int, high: int) -> None:
    raw = load(net(), EXAMPLE, declared)
    frames = np.random.default_rng(0).integers(low, high + 1, (20, *SHAPE)).astype(np.float32)
    design = check_graph(raw, frames, 0)
    assert str(design.inputs[0].stream.type) == declared


def test_frames_that_were_divided(tmp_path: Path) -> None:
    """They compute what the network does for them, though a quantizer now stands in front of it."""
    pipeline = Pipeline(net(), Options(input_type="uint8/256"), EXAMPLE)
    integers = np.random.default_rng(0).integers(0, 256, (20, *SHAPE))
    frames = (integers / 256).astype(np.float32)
    check_graph(pipeline.loaded, frames, 0)
    np.testing.assert_array_equal(
        pipeline.lowered.host.encode(frames), Pipeline(net(), Options(input_type="uint8"), EXAMPLE)
        .lowered.host.encode(integers)
    )  # fmt: skip


def test_the_refusal_offers_what_then_works() -> None:
    with pytest.raises(ModelError, match="--input uint8 or int8, or uint8/255 for divided pixels") as error:
        assert Pipeline(net(), Options(), EXAMPLE).lowered
    assert "Conv_0" in str(error.value)
    for declared in ("uint8", "int8", "uint8/256"):
        assert Pipeline(net(), Options(input_type=declared), EXAMPLE).lowered.nodes


@pytest.mark.parametrize("declared", ["float", "uint17", "int1", "uint8/0", "uint8/", "8", "uint8/-1", ""])
def test_other_types_are_refused(declared: str) -> None:
    with pytest.raises(ConfigError, match=r"legal: uint1 to uint16 or int2 to int16, .* uint8/255") as error:
        load(net(), EXAMPLE, declared)
    assert "\n" not in str(error.value)


def test_a_graph_that_says_otherwise_is_believed() -> None:
    model = load(net(), EXAMPLE, "uint8")
    assert load(model, input_type="uint8").graph.node == model.graph.node
    for declared in ("int8", "uint8/255"):
        with pytest.raises(BuildError, match="is annotated UINT8 in the graph"):
            load(model, input_type=declared)
