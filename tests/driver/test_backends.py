"""The contract on each backend; pynq is a stand-in whose core is the simulator."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.driver.contract import BATCH, DriverContract
from tests.driver.fake_pynq import Board, Core

needs_gcc = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")
needs_bnn2fpga = pytest.mark.skipif(
    importlib.util.find_spec("bnn2fpga") is None, reason="bnn2fpga is not installed in this Python"
)


@needs_gcc
class TestCpp(DriverContract):
    backend = "cpp"


@needs_bnn2fpga
class TestNumpy(DriverContract):
    backend = "numpy"


class OnBoard(DriverContract):
    """Under the stand-in of pynq."""

    backend = "pynq"

    @pytest.fixture(scope="class", autouse=True)
    def fake(self, driver: ModuleType, deployments: Path, core: Core) -> Iterator[Board]:
        model = driver.load_model(deployments / self.kind)
        board = Board(core, model.source.frame_bytes, model.sink.frame_bytes, deployments / self.kind)
        sys.modules["pynq"] = board.module()
        yield board
        del sys.modules["pynq"]

    @pytest.fixture(scope="class")
    def opened(
        self, fake: Board, driver: ModuleType, deployments: Path, request: pytest.FixtureRequest
    ) -> Iterator[Any]:
        with driver.Accelerator(deployments / self.kind, "auto", batch=BATCH) as accelerator:
            yield accelerator
        assert not fake.buffers and fake.downloads == 2  # one more by the test of `close`
        pairs = [fake.log[at : at + 2] for at in range(0, len(fake.log), 2)]
        assert len(pairs) > 50 and all(pair == ["receive", "send"] for pair in pairs)


class TestDma(OnBoard):
    kind = "dma"


class TestRegisters(OnBoard):
    kind = "registers"
