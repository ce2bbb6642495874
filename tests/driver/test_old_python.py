"""The driver where it will run: an old Python with numpy and nothing else, the files copied there.

The contract runs on the generated C++ and on the boards' stand-ins, whose core is that C++; so do all faults.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
COPIED = ("__init__", "conftest", "contract", "fake_pynq")
COPIED += ("test_arithmetic", "test_backends", "test_faults", "test_tampered")


def interpreter(version: str) -> str | None:
    """A Python of this version that starts."""
    candidates = [shutil.which(f"python{version}") or ""]
    candidates += [str(path) for path in Path.home().glob(f".pyenv/versions/{version}.*/bin/python")]
    for path in filter(None, candidates):
        if subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0:
            return path
    return None


def bare_python(version: str) -> list[str]:
    """The command of a Python with numpy and pytest alone; skips the test where there is none."""
    python = interpreter(version)
    if python is None or shutil.which("uv") is None:
        pytest.skip(f"Python {version} or uv is not installed")
    command = ["uv", "run", "--quiet", "--no-project", "--no-config", "--python", python]
    command += ["--with", "numpy", "--with", "pytest", "python"]
    done = subprocess.run(
        [*command, "-c", "import numpy, pytest"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"numpy and pytest for Python {version} cannot be had: {done.stderr.strip()[-200:]}")
    return command


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")
@pytest.mark.parametrize("version", ["3.8", pytest.param("3.10", marks=pytest.mark.long)])
def test_contract_and_faults(version: str, deployments: Path, tmp_path: Path) -> None:
    command = bare_python(version)
    folder = tmp_path / "tests" / "driver"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    for name in COPIED:
        shutil.copyfile(HERE / f"{name}.py", folder / f"{name}.py")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run(
        [*command, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "tests"],
        cwd=tmp_path,
        env={**os.environ, "BNN2FPGA_DEPLOYMENTS": str(deployments), "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    # all but the backend that needs bnn2fpga
    assert "failed" not in done.stdout and "TestNumpy" not in done.stdout
    counts = done.stdout.strip().splitlines()[-1]
    assert int(counts.split(" passed")[0].split()[-1]) > 80, counts
    skipped = [line for line in done.stdout.splitlines() if line.startswith("SKIPPED")]
    assert all("bnn2fpga is not installed in this Python" in line for line in skipped), skipped
