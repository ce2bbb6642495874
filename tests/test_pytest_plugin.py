"""The plugin, run by pytest itself on test files of a team."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import bnn2fpga
from tests.models import SHAPE, small_onnx

pytest_plugins = ["pytester"]


@pytest.fixture
def team(pytester: pytest.Pytester, tmp_path: Path) -> pytest.Pytester:
    """A folder with a model, frames, and what it says of them."""
    model = small_onnx(tmp_path)
    (pytester.path / "model.onnx").write_bytes(model.read_bytes())
    frames = np.random.default_rng(0).random((6, *SHAPE)).astype(np.float32)
    np.savez(pytester.path / "kept.npz", frames=frames, scores=bnn2fpga.compile(model).run(frames))
    return pytester


def test_a_model_that_holds(team: pytest.Pytester) -> None:
    team.makepyfile("""
        import numpy as np
        import pytest

        @pytest.mark.bnn2fpga_levels("cpp")
        def test_levels(accelerator):
            accelerator("model.onnx").assert_levels(frames=3)

        def test_outputs(accelerator):
            kept = np.load("kept.npz")
            chip = accelerator("model.onnx")
            chip.assert_equal(kept["frames"], kept["scores"])
            assert (chip.labels(kept["frames"]) == kept["scores"].argmax(1)).all()
    """)
    result = team.runpytest_subprocess("--strict-markers")
    result.assert_outcomes(passed=2)


def test_failures_say_where(team: pytest.Pytester) -> None:
    team.makepyfile("""
        import numpy as np
        import pytest

        def test_outputs(accelerator):
            kept = np.load("kept.npz")
            wrong = kept["scores"].copy()
            wrong[4, 1] += 3
            accelerator("model.onnx").assert_equal(kept["frames"], wrong)

        def test_shape(accelerator):
            kept = np.load("kept.npz")
            accelerator("model.onnx").assert_equal(kept["frames"], kept["scores"][:3])

        @pytest.mark.bnn2fpga_levels("verilog")
        def test_mark(accelerator):
            accelerator("model.onnx")

        def test_no_model(accelerator):
            accelerator("absent.onnx").assert_levels()
    """)
    result = team.runpytest_subprocess()
    result.assert_outcomes(failed=4)
    result.stdout.fnmatch_lines_random(
        [
            "*model: 1 of 6 frames differ; first of them:*",
            "*frame 4, channel 1: expected *, found *",
            "*model: outputs of shape (6, *), expected (3, *",
            "*bnn2fpga_levels: verilog; legal: cpp, rtl*",
            "*absent.onnx: no such file*",
        ]
    )


def test_it_costs_nothing_when_unused(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import sys

        def test_nothing():
            assert not {"torch", "numpy", "onnx"} & sys.modules.keys()
    """)
    pytester.runpytest_subprocess("-p", "no:hypothesispytest").assert_outcomes(passed=1)
