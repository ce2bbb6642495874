"""A kernel is one Python file, two templates and one test; a board is one TOML file. Nothing else changes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ADDED = ROOT / "tests/added"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the package with its templates, boards and tests, to add to."""
    for name in ("bnn2fpga", "hls_templates", "boards", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(ROOT / "pyproject.toml", tmp_path / "pyproject.toml")
    return tmp_path


def python(checkout: Path, *arguments: str) -> str:
    """Runs Python in the copy, which is imported before what is installed; what it printed."""
    command = [sys.executable, *arguments]
    environment = {"PYTHONPATH": str(checkout), "PATH": "/usr/bin:/bin", "COLUMNS": "80"}
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_new_kernel_is_one_file_two_templates_and_a_test(checkout: Path) -> None:
    shutil.copyfile(ADDED / "negation.py", checkout / "bnn2fpga/kernels/negation.py")
    for kind in ("hpp", "sv"):
        name = f"negation.{kind}.j2"
        shutil.copyfile(ADDED / name, checkout / "hls_templates/kernels" / name)
    shutil.copyfile(ADDED / "negation_contract.py", checkout / "tests/kernels/test_negation.py")
    assert "Negation  folding: lanes\n    negates every number" in python(
        checkout, "-m", "bnn2fpga", "kernels"
    )
    # its contract: meaning, C++ and SystemVerilog are equal, trips and cycles as declared
    shown = python(checkout, "-m", "pytest", "-q", "-n", "0", "tests/kernels/test_negation.py")
    assert "5 passed" in shown


def test_a_new_board_is_one_toml_file(checkout: Path) -> None:
    facts = (checkout / "boards/pynq-z2.toml").read_text()
    own = facts.replace('name = "pynq-z2"', 'name = "my-desk"').replace("luts = 53200", "luts = 20000")
    (checkout / "boards/my-desk.toml").write_text(own)
    assert "my-desk    xc7z020clg400-1       20,000" in python(checkout, "-m", "bnn2fpga", "boards")
    model = "bnn2fpga/training/trained/digits.onnx"
    estimated = python(checkout, "-m", "bnn2fpga", "estimate", model, "--board", "my-desk", "--fps", "1000")
    assert "of 20,000" in estimated
