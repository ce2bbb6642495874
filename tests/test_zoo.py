"""The zoo: its page is what was found, and a network that fails or hangs stops nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.zoo import KEPT, PAGE, Network, is_done
from benchmarks.zoo_page import came_out, page
from benchmarks.zoo_trial import CPP_FRAMES, FRAMES, RTL_FRAMES, flags, lowered, trial, ways_out
from bnn2fpga.frontend import load
from tests.frontend.nets import conv, sign
from tests.models import SHAPE, float_onnx, small_onnx

ROWS = json.loads(KEPT.read_text())


def test_the_page_is_what_was_found() -> None:
    assert PAGE.read_text() == page(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["network"])
def test_no_network_differs_or_fails(row: dict[str, str]) -> None:
    assert row["outcome"] in ("exact", "refused"), came_out(row)


def test_ways_out_of_a_refusal() -> None:
    refused = "join it, or allow x (--exact-sums), or --input uint8 or int8"
    assert list(ways_out(refused, {})) == [{"exact_sums": True}, {"input_type": "uint8"}]
    assert list(ways_out(refused, {"exact_sums": True})) == [{"exact_sums": True, "input_type": "uint8"}]
    assert flags({"trunk_bits": "4", "exact_sums": True}) == ["--trunk-bits 4", "--exact-sums"]


def test_ways_out_are_taken(tmp_path: Path) -> None:
    """A float convolution in front: the host computes it when its weights turn out to be no integers."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, 3), sign(), conv(3, 2), nn.Flatten())
    file = tmp_path / "net.onnx"
    load(net.eval(), torch.zeros(1, *SHAPE)).save(str(file))
    _, given = lowered(file, {})
    assert given == {"host_layers": True}


def test_a_network_that_is_refused(tmp_path: Path) -> None:
    row = trial(float_onnx(tmp_path))
    assert row["outcome"] == "refused" and "Conv_0" in row["reason"]


@pytest.mark.slow
def test_a_network_that_fails_or_hangs() -> None:
    """Each in a process of its own."""
    absent = Network("absent", "nowhere").tried(600)
    assert (absent["outcome"], absent["reason"]) == ("failed", "KeyError: 'absent'")
    assert Network("TFC W1A1", "example").tried(0)["outcome"] == "stopped"


def test_a_quick_trial(tmp_path: Path) -> None:
    row = trial(small_onnx(tmp_path), quick=True)
    assert row["outcome"] == "exact" and row["levels"] == {
        "streamlined": FRAMES,
        "numpy": FRAMES,
        "packed": FRAMES,
    }
    assert is_done(row, quick=True) and not is_done(row, quick=False)


@pytest.mark.slow
def test_a_network_that_is_exact(tmp_path: Path) -> None:
    row = trial(small_onnx(tmp_path))
    assert row["outcome"] == "exact" and row["luts"] > 0 and row["fps"] > 1000
    assert is_done(row, quick=False)
    assert row["levels"] == {
        "streamlined": FRAMES,
        "numpy": FRAMES,
        "packed": FRAMES,
        "C++": CPP_FRAMES,
        "RTL": RTL_FRAMES,
    }
