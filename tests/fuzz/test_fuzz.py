"""A bounded part of what `python -m tests.fuzz` does without bound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bnn2fpga.frontend import load
from bnn2fpga.training.models import build_model
from tests.fuzz.campaign import campaign, counted


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small networks of every kind that is trained here, and a parameter file."""
    folder = tmp_path_factory.mktemp("seeds")
    for name, parameters in (
        ("mlp", {"hidden": [8, 8]}),
        ("convnet", {"blocks": [[4]], "dense": [8]}),
        ("wsfracbnn", {"width": 4, "halves": 1, "levels": 4}),
    ):
        torch.manual_seed(0)
        net = build_model(name, (1, 16, 16), 3, parameters).eval()
        load(net, torch.zeros(1, 1, 16, 16)).save(str(folder / f"{name}.onnx"))
    random = np.random.default_rng(0)
    np.savez(
        folder / "dense.npz",
        **{
            "meta/layer_order": np.array(["fc0", "fc1"]),
            "fc0/weight_bits": random.integers(0, 2, (8, 16), np.uint8),
            "fc0/threshold": random.integers(0, 16, 8),
            "fc1/weight_bits": random.integers(0, 2, (4, 8), np.uint8),
        },
    )
    return folder


@pytest.mark.slow
def test_changed_files_are_built_or_refused(seeds: Path, tmp_path: Path) -> None:
    counts, faults = counted(campaign(seeds, tmp_path, 0, 150))
    print(dict(counts))
    assert not faults
    assert counts["refused"] and counts["built"], "some changes do no harm"
