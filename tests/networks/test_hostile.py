"""Broken and malicious files in ../shared/cases: one line that says what, or the network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bnn2fpga import compile
from bnn2fpga.build.verify import verify
from bnn2fpga.errors import ConfigError, ModelError
from bnn2fpga.training.config import read_train_config
from bnn2fpga.training.data import load_images
from tests.networks.shared import shared_file

FOLDER = "cases/hostile"

REFUSED = {
    "annotation_garbage": r"tensor x\.1: is annotated 'GARBAGE'; legal: ",
    "annotation_scaledint": r"tensor x\.1: is annotated 'SCALEDINT<8>'; legal: ",
    "annotation_uint1e9": r"tensor x\.1: is annotated 'UINT1000000000'; legal: .* up to 64 bits",
    "byte_group_flip_keyerror": "output 22: no node computes it",
    "conv_stride0": r"/c0/Conv: strides of \[0, 1\]; legal: from 1",
    "flatten_then_perchannel_mul": "the graph cannot be tidied: negative dimensions",
    "negative_pads": r"/c0/Conv: pads of \[-1, -1, -1, -1\] crop; legal: from 0, with a Slice in front",
    "pads_1e6": r"Conv_0: its output would hold 8\.0e\+07 values; legal: up to",
    "recursive_function": "function Fn calls itself",
}
BUILT = ("output_also_value_info", "output_moved_shape_lies", "value_info_twice")


@pytest.mark.parametrize(("name", "message"), REFUSED.items())
def test_refused(name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        compile(shared_file(f"{FOLDER}/{name}.onnx"))
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILT)
def test_wrong_declarations_do_no_harm(name: str) -> None:
    assert verify(shared_file(f"{FOLDER}/{name}.onnx"), 20, cpp_frames=2, rtl_frames=1).ok


def test_a_domain_runs_no_file_beside_the_model(tmp_path: Path) -> None:
    (tmp_path / "evilmod.py").write_text("open('ran', 'w')\n")
    (tmp_path / "m.onnx").write_bytes(shared_file(f"{FOLDER}/domain_import.onnx").read_bytes())
    command = [sys.executable, "-m", "bnn2fpga", "explain", "m.onnx"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        "error: /c0/Conv: Conv is of the domain 'evilmod', which is not known; legal: onnx's, qonnx' and "
        "FINN's own\n"
    )
    assert not (tmp_path / "ran").exists()


@pytest.mark.slow
def test_thresholds_of_more_than_32_bits() -> None:
    assert verify(shared_file(f"{FOLDER}/bnnpynq_threshold_2_31.npz"), 10, cpp_frames=10, rtl_frames=2).ok


def test_a_pickle_of_objects() -> None:
    with pytest.raises(ConfigError, match=r"data_batch_1: not a CIFAR batch \(holds an array of type b'O8'"):
        load_images(read_train_config(shared_file(f"{FOLDER}/cifar_segv.toml")).data)
