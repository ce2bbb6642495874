"""Graphs that harm libraries, or take too much: one line before anything is executed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper

from bnn2fpga.errors import ModelError, first_line
from bnn2fpga.frontend.graph.entrance import read_graph
from bnn2fpga.frontend.graph.execute import Graph
from bnn2fpga.frontend.graph.load import load

QONNX = "qonnx.custom_op.general"


def network(size: int = 8, outputs: int = 4, kernel: int = 3, **attributes: Any) -> onnx.ModelProto:
    """A quantizer of the input and a binary convolution."""
    weight = np.ones((outputs, 3, kernel, kernel), np.float32)
    constants = {"w": weight, "s": np.float32(1), "z": np.float32(0), "b": np.float32(4)}
    nodes = [
        helper.make_node("Quant", ["x", "s", "z", "b"], ["q"], "quant", domain=QONNX, signed=0, narrow=0),
        helper.make_node("BipolarQuant", ["w", "s"], ["v"], "weights", domain=QONNX),
        helper.make_node("Conv", ["q", "v"], ["y"], "conv", **attributes),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 3, size, size])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 14), helper.make_opsetid(QONNX, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def test_a_network_passes() -> None:
    assert len(load(ModelWrapper(network())).graph.node) == 3


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("output", lambda node: node.output),
        ("input", lambda node: node.input),
    ],
)
def test_a_name_that_no_line_can_show(name: str, place: Callable[[Any], Any]) -> None:
    model = network()
    place(model.graph.node[2])[0] = "a\nb"
    with pytest.raises(ModelError, match=rf"a {name} in the graph is 'a\\nb'; legal: printable characters"):
        load(ModelWrapper(model))


def test_an_annotation_that_is_no_text(tmp_path: Path) -> None:
    """protobuf gives bytes for a text that is no UTF-8."""
    wrapper = ModelWrapper(network())
    wrapper.set_tensor_datatype("q", DataType["UINT4"])
    path = tmp_path / "m.onnx"
    path.write_bytes(wrapper.model.SerializeToString().replace(b"UINT4", b"UIN\xff4"))
    with pytest.raises(ModelError, match=r"a value in the graph is b'UIN.*legal: printable characters"):
        load(path)


def test_a_domain_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(network().SerializeToString().replace(QONNX.encode(), QONNX[:-1].encode() + b"\xff"))
    with pytest.raises(ModelError, match=r"a domain in the graph is b'qonnx.*legal: printable characters"):
        load(path)


def test_too_many_products() -> None:
    with pytest.raises(
        ModelError, match=r"a frame takes 3\.5e\+10 products, 3\.5e\+10 of them in Conv_0; legal: up"
    ):
        load(ModelWrapper(network(size=2000, outputs=13, kernel=15, pads=[7, 7, 7, 7])))


def test_a_convolution_of_a_single_number() -> None:
    """onnxruntime ends the process."""
    model = network()
    model.graph.node[2].input[0] = "s"
    with pytest.raises(ModelError, match=r"conv.*: .*takes images .*, but its input has the shape \(\)"):
        Graph(ModelWrapper(model))


@pytest.mark.parametrize(("axes", "message"), [(1, r"the shape \(5,\)"), (3, "as many axes, not the shapes")])
def test_a_convolution_of_too_few_axes(axes: int, message: str) -> None:
    """On a constant of one axis onnxruntime ends the process, too."""
    x = onnx.numpy_helper.from_array(np.ones((1, 1, 5)[-axes:], np.float32), "x0")
    weights = onnx.numpy_helper.from_array(np.ones((1, 1, 3, 3), np.float32), "w0")
    node = helper.make_node("Conv", ["x0", "w0"], ["y0"], name="alone")
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in ("x", "y0")]
    graph = helper.make_graph([node], "g", ends[:1], ends[1:], [x, weights])
    with pytest.raises(ModelError, match=f"alone: cannot be executed: .*{message}"):
        Graph(ModelWrapper(helper.make_model(graph)))


@pytest.mark.parametrize("name", ["folder", "device"])
def test_what_is_no_file(name: str, tmp_path: Path) -> None:
    path = tmp_path if name == "folder" else Path("/dev/zero")
    with pytest.raises(ModelError, match=r"not an ONNX file \(a folder or a device\)"):
        read_graph(path)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (KeyError("t0"), "'t0' is missing"),
        (ValueError(""), "ValueError"),
        (ValueError("one\ntwo"), "one"),
        (
            RuntimeError(
                "[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Non-zero status code returned while running X"
            ),
            "running X",
        ),
        (RuntimeError("/src/core/graph.cc:120 too few inputs"), "too few inputs"),
    ],
)
def test_what_a_library_says(error: Exception, line: str) -> None:
    assert first_line(error) == line


def test_settings_are_no_model(tmp_path: Path) -> None:
    (tmp_path / "build.toml").write_text('model = "network.onnx"\n')
    with pytest.raises(
        ModelError, match=r"a [.]toml holds settings for `build`; give the model that it names"
    ):
        read_graph(tmp_path / "build.toml")


def test_a_shape_that_a_frame_decides() -> None:
    """onnxruntime overwrites its stack where the scales are more numbers than the image has axes."""
    proto = network()
    proto.graph.node.append(helper.make_node("Resize", ["y", "", "q"], ["z"], "resize", mode="nearest"))
    proto.graph.output[0].name = "z"
    with pytest.raises(ModelError, match="resize: takes the shape of its output from q, which a frame's"):
        load(ModelWrapper(proto))
