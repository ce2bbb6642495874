"""The container's file, linted, and its entry, run with stand-ins for AMD's settings64.sh and for bnn2fpga.

No container is built or started here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from bnn2fpga.files.package_data import data_folder

ROOT = data_folder("boards").parent
ENTRY = ROOT / "bnn2fpga/cli/entry.sh"
REPORT = """#!/bin/sh
echo "arguments: $*"
env
command -v vivado || true
command -v vitis_hls || true
"""


def lint(tool: str, path: Path) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not on PATH")
    done = subprocess.run([tool, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dockerfile_is_clean() -> None:
    lint("hadolint", ROOT / "Dockerfile")


def test_the_entry_is_clean() -> None:
    lint("shellcheck", ENTRY)


def test_what_the_dockerfile_copies_is_there() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copied = [line.split()[1:-1] for line in lines if line.startswith("COPY ") and "--from" not in line]
    names = [name for group in copied for name in group]
    assert len(names) == 7 and all((ROOT / name).exists() for name in names)
    assert lines[-4:-2] == ["USER 1000", "WORKDIR /home/user"], "not root"


class Container:
    """A folder with a bnn2fpga that tells what it got; the environment holds nothing else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program(folder / "bin/bnn2fpga", REPORT)
        self.xilinx = folder / "Xilinx"

    def program(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def install(self, tool: str, program: str, place: str) -> None:
        """A tool of AMD's in the folder `place` of the installation; its script is no friend of set -eu."""
        self.program(self.xilinx / place / "bin" / program, "#!/bin/sh\n")
        settings = f'false\n: $UNSET_NAME\nexport PATH="{self.xilinx / place}/bin:$PATH" {tool}=1\n'
        (self.xilinx / place / "settings64.sh").write_text(settings)

    def start(self, *arguments: str, **environment: str) -> tuple[int, str]:
        """Exit code, and what was printed."""
        path = f"{self.folder / 'bin'}:/usr/bin:/bin"
        done = subprocess.run(
            ["bash", str(ENTRY), *arguments],
            env={"PATH": path, "HOME": str(self.folder)} | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def container(tmp_path: Path) -> Container:
    return Container(tmp_path)


def test_without_amds_tools(container: Container) -> None:
    code, text = container.start("build", "a model.onnx")
    assert code == 0 and "arguments: build a model.onnx\n" in text
    assert f"HOME={container.folder}\n" in text and "LD_PRELOAD" not in text and "USER=" in text


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_home_that_cannot_be_written(container: Container) -> None:
    code, text = container.start(HOME="/proc")
    assert code == 0 and "HOME=/proc" not in text


def test_no_home_at_all(container: Container) -> None:
    code, text = container.start(HOME="/absent")
    home = next(line for line in text.splitlines() if line.startswith("HOME=")).removeprefix("HOME=")
    assert code == 0 and Path(home).is_dir()
    Path(home).rmdir()


@pytest.mark.parametrize(
    ("version", "places"),
    [
        ("2022.2", ("Vitis_HLS/2022.2", "Vivado/2022.2")),
        ("2025.1", ("2025.1/Vitis", "2025.1/Vivado")),
    ],
)
def test_both_layouts_of_an_installation(version: str, places: tuple[str, str], container: Container) -> None:
    container.install("HLS", "vitis_hls", places[0])
    container.install("VIVADO", "vivado", places[1])
    container.install("OTHER", "vivado", "Vivado/2019.1")
    code, text = container.start(XILINX_PATH=str(container.xilinx), XILINX_VERSION=version)
    assert code == 0, text
    assert {
        f"{container.xilinx / places[0]}/bin/vitis_hls",
        f"{container.xilinx / places[1]}/bin/vivado",
    } <= set(text.splitlines())
    assert "HLS=1" in text and "VIVADO=1" in text and "OTHER=1" not in text
    if Path("/lib/x86_64-linux-gnu/libudev.so.1").exists():
        assert "LD_PRELOAD=/lib/x86_64-linux-gnu/libudev.so.1" in text


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({"XILINX_PATH": "/absent"}, "XILINX_PATH: /absent is not here; mount it: -v /absent:/absent:ro"),
        ({"XILINX_VERSION": ""}, "XILINX_VERSION is not set"),
        ({"XILINX_VERSION": "2019.1"}, "holds no Vivado 2019.1"),
        ({"XILINX_VERSION": "2020.1"}, "holds no Vitis 2020.1"),
        ({"XILINXD_LICENSE_FILE": "/absent.lic"}, "XILINXD_LICENSE_FILE: /absent.lic is not here; mount it"),
    ],
)
def test_what_is_missing_is_said(environment: dict[str, str], complaint: str, container: Container) -> None:
    container.install("HLS", "vitis_hls", "Vitis_HLS/2022.2")
    container.install("VIVADO", "vivado", "Vivado/2022.2")
    container.install("VIVADO", "vivado", "Vivado/2020.1")
    whole = {"XILINX_PATH": str(container.xilinx), "XILINX_VERSION": "2022.2"}
    code, text = container.start(**whole | environment)
    assert code == 3 and text.startswith("error: ") and complaint in text and "arguments:" not in text


def test_a_license_server(container: Container) -> None:
    container.install("HLS", "vitis_hls", "Vitis_HLS/2022.2")
    container.install("VIVADO", "vivado", "Vivado/2022.2")
    whole = {"XILINX_PATH": str(container.xilinx), "XILINX_VERSION": "2022.2"}
    code, text = container.start(XILINXD_LICENSE_FILE="2100@server", **whole)
    assert code == 0 and "XILINXD_LICENSE_FILE=2100@server" in text
