"""A fixture for the tests of teams that ship a model: `accelerator("model.onnx")`.

    def test_my_model(accelerator):
        chip = accelerator("model.onnx", fps=20_000)
        chip.assert_levels(frames=16)
        chip.assert_equal(images, expected)

Nothing of bnn2fpga is imported before the fixture is asked for a model.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from bnn2fpga.build.compiler import Pipeline

MARK = "bnn2fpga_levels"
BELOW = ("cpp", "rtl")
SHOWN = 5
"""Differences that a failure names."""


def pytest_configure(config: pytest.Config) -> None:
    """Registers the mark."""
    config.addinivalue_line(
        "markers", f"{MARK}(*names): which of cpp, rtl `assert_levels` runs below numpy; both without it"
    )


@dataclass(frozen=True)
class Accelerator:
    """A model compiled for a board. `below` are the levels below numpy that are compared."""

    pipeline: Pipeline
    below: tuple[str, ...] = BELOW

    def run(self, frames: Any) -> Any:
        """What the accelerator returns for frames (N, …) of the model's input, as the graph does."""
        return self.pipeline.lowered.run(frames)

    def labels(self, frames: Any) -> Any:
        """The labels (N,) that it gives."""
        from bnn2fpga.build.dataset import predicted_labels

        return predicted_labels(self.run(frames))

    def assert_equal(self, frames: Any, expected: Any) -> None:
        """The outputs for `frames` are `expected` (N, …): integers to the bit, floats within 1e-5."""
        __tracebackhide__ = True
        import numpy as np

        from bnn2fpga.build.ladder import differing

        found, wanted = np.asarray(self.run(frames)), np.asarray(expected)
        if found.shape != wanted.shape:
            pytest.fail(f"{self.pipeline.name}: outputs of shape {found.shape}, expected {wanted.shape}")
        places = np.argwhere(differing(wanted, found))
        if not len(places):
            return
        frames_off = len(np.unique(places[:, 0]))
        lines = [f"{self.pipeline.name}: {frames_off} of {len(wanted)} frames differ; first of them:"]
        for place in map(tuple, places[:SHOWN]):
            where = f"frame {place[0]}, channel {', '.join(map(str, place[1:]))}"
            lines.append(f"  {where}: expected {wanted[place]}, found {found[place]}")
        pytest.fail("\n".join(lines))

    def assert_levels(self, frames: Any = 8) -> None:
        """Every level computes the same for `frames`, or for that many random ones."""
        __tracebackhide__ = True
        from bnn2fpga.build.verify import climb, random_frames

        chosen = random_frames(self.pipeline, frames) if isinstance(frames, int) else frames
        cpp, rtl = (None if name in self.below else 0 for name in BELOW)
        lines = [
            f"  {level.name} and {level.reference}: {level.equal} of {level.frames} frames are equal; "
            f"{level.difference}"
            for level in climb(self.pipeline, chosen, None, cpp, rtl)
            if not level.ok
        ]
        if lines:
            pytest.fail("\n".join([f"{self.pipeline.name}: levels differ", *lines]))


@pytest.fixture(scope="session")
def _bnn2fpga_pipelines() -> dict[str, Any]:
    """What was compiled in this session."""
    return {}


@pytest.fixture
def accelerator(
    request: pytest.FixtureRequest, _bnn2fpga_pipelines: dict[str, Any]
) -> Callable[..., Accelerator]:
    """Compiles a model: its path, relative to the test's folder, and the options of `bnn2fpga.compile`."""

    def make(model: str | Path, **options: Any) -> Accelerator:
        from bnn2fpga.build.compiler import Options, Pipeline

        path = request.path.parent / model
        key = repr((path, sorted(options.items())))
        if key not in _bnn2fpga_pipelines:
            _bnn2fpga_pipelines[key] = Pipeline(path, Options(**options))
        mark = request.node.get_closest_marker(MARK)
        unknown = [name for name in mark.args if name not in BELOW] if mark else []
        if unknown:
            pytest.fail(f"{MARK}: {', '.join(map(str, unknown))}; legal: {', '.join(BELOW)}")
        return Accelerator(_bnn2fpga_pipelines[key], tuple(mark.args) if mark else BELOW)

    return make
