"""What an Accelerator does on any backend."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

BATCH = 16


class DriverContract:
    """Inherited by one class a backend, which says its name and the kind of folder."""

    backend = ""
    kind = "sim"

    @pytest.fixture(scope="class")
    def opened(self, driver: ModuleType, deployments: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
        """One Accelerator for all tests of a class."""
        with driver.Accelerator(deployments / self.kind, self.backend, batch=BATCH) as accelerator:
            yield accelerator

    def test_says_what_it_is(self, opened: Any, expected: Any) -> None:
        assert (opened.backend, opened.name, opened.batch) == (self.backend, "tiny", BATCH)
        assert opened.frame_shape == expected["frames"].shape[1:]
        assert opened.reasons == {"encode": None, "decode": None}

    def test_logits_are_the_graphs(self, opened: Any, expected: Any) -> None:
        """To the bit, for as many frames as there are."""
        found = opened.logits(expected["frames"])
        assert found.dtype == expected["outputs"].dtype
        assert found.tobytes() == expected["outputs"].tobytes()
        assert len(np.unique(found)) > 10

    @pytest.mark.parametrize("frames", [0, 1, BATCH - 1, BATCH, BATCH + 1, 3 * BATCH + 5])
    def test_any_number_of_frames(self, opened: Any, expected: Any, frames: int) -> None:
        found = opened.logits(expected["frames"][:frames])
        assert found.shape == (frames, 4) and (found == expected["outputs"][:frames]).all()

    def test_labels_are_the_first_largest(self, opened: Any, expected: Any) -> None:
        found = opened.predict(expected["frames"])
        assert found.shape == (200,) and (found == expected["outputs"].argmax(axis=1)).all()
        assert opened.predict(expected["frames"][:0]).shape == (0,)

    def test_frames_may_be_lists_and_doubles(self, opened: Any, expected: Any) -> None:
        frames = expected["frames"][:2]
        for given in (frames.tolist(), frames.astype(np.float64), frames[:, :, ::-1][:, :, ::-1]):
            assert (opened.logits(given) == expected["outputs"][:2]).all()

    def test_results_stay_and_frames_are_not_changed(self, opened: Any, expected: Any) -> None:
        """No result is a view of a buffer that the next call fills."""
        frames = expected["frames"].copy()
        first = opened.logits(frames[:3])
        opened.logits(frames[3:6])
        assert (first == expected["outputs"][:3]).all() and (frames == expected["frames"]).all()

    def test_selftest_counts_its_frames(self, opened: Any) -> None:
        assert opened.selftest() == 16

    def test_benchmark(self, opened: Any) -> None:
        found = opened.benchmark(2 * BATCH + 1)
        assert (found["backend"], found["frames"], found["batch"]) == (self.backend, 2 * BATCH + 1, BATCH)
        assert found["clock_mhz"] == 100
        assert 0 < found["fps_with_host"] <= found["fps"]
        assert found["latency_us_with_host"] >= found["latency_us"] > 0
        assert found["planned_fps"] > 1000

    def test_threads_do_not_mix_frames(self, opened: Any, expected: Any) -> None:
        parts = [slice(at, at + 25) for at in range(0, 200, 25)]
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda part: opened.logits(expected["frames"][part]), parts))
        assert all((f == expected["outputs"][part]).all() for f, part in zip(found, parts))

    def test_frames_that_do_not_fit(self, driver: ModuleType, opened: Any, expected: Any) -> None:
        with pytest.raises(driver.AcceleratorError, match=r"tiny: frames of shape \(3, 36\).*\(N, 1, 6, 6\)"):
            opened.logits(expected["frames"][:3].reshape(3, 36))
        with pytest.raises(driver.AcceleratorError, match="a frame holds values that are no numbers"):
            broken = expected["frames"][:3].copy()
            broken[1, 0, 1, 1] = np.nan
            opened.logits(broken)
        assert (opened.logits(expected["frames"][:3]) == expected["outputs"][:3]).all()

    def test_closed(self, driver: ModuleType, deployments: Path, expected: Any) -> None:
        accelerator = driver.Accelerator(deployments / self.kind, self.backend)
        accelerator.close()
        accelerator.close()
        with pytest.raises(driver.AcceleratorError, match="tiny: is closed"):
            accelerator.logits(expected["frames"])
