"""What the tests of hybrid networks share."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from bnn2fpga.build.compiler import Options, Pipeline
from bnn2fpga.build.verify import climb
from bnn2fpga.design.graph import Design
from bnn2fpga.frontend import load
from bnn2fpga.frontend.graph.run_module import run_eagerly
from bnn2fpga.training.models import build_model


def check_exact(model: str, shape: tuple[int, int, int], parameters: dict[str, Any]) -> Design:
    """Brevitas, graphs and numpy on 20 images, C++ on 5, RTL on 2, all equal, no DSP; the folded design."""
    torch.manual_seed(2)
    net = build_model(model, shape, 5, parameters).eval()
    frames = (np.random.default_rng(0).integers(0, 256, (20, *shape)) / 256).astype(np.float32)
    with torch.no_grad():
        pipeline = Pipeline(load(net, frames[:1]), Options(fps=1000))
        scores = run_eagerly(net, frames)
    levels = list(climb(pipeline, frames, scores, 5, 2))
    assert [level.name for level in levels if not level.ok] == [] and len(levels) >= 6
    assert sum(node.kernel.resources.dsps for node in pipeline.folded.nodes) == 0
    return pipeline.folded
