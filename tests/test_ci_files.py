"""The files for CI servers follow the servers' own schemas, and call commands that there are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Run

CI = Path(__file__).parents[1] / "docs/ci"
SCHEMAS = {"github.yml": "vendor.github-workflows", "gitlab.yml": "vendor.gitlab-ci"}


@pytest.mark.parametrize("name", SCHEMAS)
def test_schema(name: str) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", SCHEMAS[name]]
    done = subprocess.run([*command, str(CI / name)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_wrong_file_is_found(tmp_path: Path) -> None:
    wrong = tmp_path / "github.yml"
    wrong.write_text((CI / "github.yml").read_text().replace("runs-on", "run-on"))
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", SCHEMAS["github.yml"]]
    assert subprocess.run([*command, str(wrong)], capture_output=True, check=False).returncode == 1


@pytest.mark.parametrize("name", SCHEMAS)
def test_commands(name: str, run: Run) -> None:
    lines = [line for line in (CI / name).read_text().splitlines() if "bnn2fpga check" in line]
    assert len(lines) == 1
    code, _, error = run("check", *lines[0].split("bnn2fpga check", 1)[1].split())
    assert code == 2 and "bnn2fpga.toml: no such file" in error.lower(), error
