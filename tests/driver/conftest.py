"""Deployment folders of one small network, and boards that run it.

On a Python without bnn2fpga the folders are those that BNN2FPGA_DEPLOYMENTS names, and the core in the boards
is the generated C++; see test_old_python.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.driver.fake_pynq import Board, Core

MakeBoard = "Callable[[str], Board]"
KINDS = ("sim", "dma", "registers")


@pytest.fixture(scope="session")
def deployments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a deployment folder of each kind, and expected.npz: frames and the graph's outputs."""
    given = os.environ.get("BNN2FPGA_DEPLOYMENTS")
    if given:
        return Path(given)
    from tests.driver.deployments import make_deployments

    return make_deployments(tmp_path_factory.mktemp("deployments"))


@pytest.fixture(scope="session")
def expected(deployments: Path) -> dict[str, Any]:
    """`frames` and the `outputs` of the QONNX graph for them."""
    with np.load(str(deployments / "expected.npz"), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="session")
def driver(deployments: Path) -> ModuleType:
    """driver.py as it lies in a deployment folder."""
    spec = importlib.util.spec_from_file_location("driver", str(deployments / "sim" / "driver.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["driver"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def core(deployments: Path, driver: ModuleType) -> Core:
    """The accelerator as a function on the bytes of frames: the numpy simulator, or else the C++."""
    model = driver.load_model(deployments / "sim")
    if importlib.util.find_spec("bnn2fpga") is None:
        program = driver.CppBackend(model)
        return lambda data: program.run(data)[0]
    from tests.driver.deployments import numpy_core

    return numpy_core()


@pytest.fixture
def board(deployments: Path, core: Core, driver: ModuleType, monkeypatch: pytest.MonkeyPatch) -> MakeBoard:
    """Makes `import pynq` be that of a new board, to which the deployment of a kind was copied."""

    def make(kind: str) -> Board:
        model = driver.load_model(deployments / kind)
        made = Board(core, model.source.frame_bytes, model.sink.frame_bytes, deployments / kind)
        monkeypatch.setitem(sys.modules, "pynq", made.module())
        return made

    return make


@pytest.fixture
def copied(deployments: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A copy of the deployment folder of a kind, to be damaged."""

    def copy(kind: str) -> Path:
        return Path(shutil.copytree(str(deployments / kind), str(tmp_path / kind)))

    return copy
