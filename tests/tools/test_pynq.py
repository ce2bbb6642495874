"""The last PYNQ with PYNQ-Z1 and Z2, 3.1.2: its own code reads our bitstreams, and loads our driver's engine.

uv builds it in an environment of its own, from PyPI's 63 MB of source: it wants an older numpy than bnn2fpga,
and the packages of its time.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bnn2fpga.boards.board import load_board
from bnn2fpga.build.driver_file import driver_text
from tests.driver.test_old_python import interpreter
from tests.tools.fake_files import CONTROL, bit_file
from tests.tools.test_vivado import copying, drawn

HERE = Path(__file__).parent
HEADER = bytes.fromhex(
    "00090ff00ff00ff00ff00000016100266469676974732e6672616d65733b47656e657261746f723d7863376672616d65733262"
    "6974006200107863377a303230636c673430302d310063000b323032362f31312f33300064000931393a33333a34300065"
)
"""What xc7frames2bit wrote before the length of the data, for digits.frames."""
SYNC = bytes.fromhex("ffffffffaa99556620000000")

pytestmark = pytest.mark.slow


@pytest.fixture
def pynq() -> list[str]:
    """The command of a Python with pynq; skips where it cannot be had."""
    python = interpreter("3.10") or interpreter("3.11")
    if python is None or shutil.which("uv") is None:
        pytest.skip("uv, or Python 3.10 (which the board has) or 3.11, is not installed")
    command = ["uv", "run", "--quiet", "--no-project", "--no-config", "--python", python]
    command += ["--with", "pynq==3.1.2", "--exclude-newer", "2025-12-31", "python"]
    done = subprocess.run([*command, "-c", ""], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"pynq 3.1.2 cannot be had: {done.stderr.strip()[-200:]}")
    return command


def read(pynq: list[str], *arguments: str | Path) -> Any:
    """What read_as_pynq.py says of each file."""
    command = [*pynq, HERE / "read_as_pynq.py", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_header_of_a_bitstream(pynq: list[str], tmp_path: Path) -> None:
    """The whole length is there, and the chip gets what follows, in words turned round; no .hwh is needed."""
    open_, vivado = tmp_path / "open.bit", tmp_path / "vivado.bit"
    open_.write_bytes(HEADER + len(SYNC).to_bytes(4, "big") + SYNC)
    vivado.write_bytes(bit_file("zynq_top", "xc7z020clg400", SYNC))
    found = read(pynq, "header", open_, vivado)
    for one in found:
        assert bytes.fromhex(one.pop("data")) == SYNC
        assert bytes.fromhex(one.pop("loaded")) == bytes.fromhex("ffffffff665599aa00000020")
    assert found == [
        {
            "design": "digits.frames", "version": "Generator=xc7frames2bit", "part": "xc7z020clg400-1",
            "date": "2026/11/30", "time": "19:33:40", "length": "12", "parser": None,
        },
        {
            "design": "zynq_top", "version": "Version=2022.2", "part": "7z020clg400",
            "date": "2026/11/30", "time": "18:32:24", "length": "12", "parser": None,
        },
    ]  # fmt: skip


def test_the_overlay_of_a_block_design(pynq: list[str], tmp_path: Path) -> None:
    """From the flow's block design: pynq's driver of the DMA engine, under the name that ours asks for."""
    driver, bits = tmp_path / "driver.py", []
    driver.write_text(driver_text(), encoding="utf-8")
    for name in ("pynq-z2", "zcu104"):
        board, work = load_board(name), tmp_path / name
        drawn(work, copying(24, board), board, 100)
        bits.append(tmp_path / f"{name}.bit")
        shutil.copyfile(next(work.glob("project/*.runs/impl_1/*.bit")), bits[-1])
        handoff = next(work.glob("project/*/sources_1/bd/*/hw_handoff/*.hwh"))
        shutil.copyfile(handoff, bits[-1].with_suffix(".hwh"))
    other = tmp_path / "other.bit"
    other.write_bytes(bits[0].read_bytes())
    text = bits[0].with_suffix(".hwh").read_text()
    renamed = text.replace('INSTANCE="dma"', 'INSTANCE="other"').replace('"/dma"', '"/other"')
    other.with_suffix(".hwh").write_text(renamed)
    clocks = {str(clock): {"enable": 0, "divisor0": 1, "divisor1": 1} for clock in (1, 2, 3)}
    engine = {
        "type": "xilinx.com:ip:axi_dma:7.1",
        "span": 0x1_0000,
        "most_bytes": (1 << 26) - 1,
        "started": [1, 1],
    }
    zynq, zynqmp, without = read(pynq, "overlay", driver, *bits, other)
    assert zynq == engine | {
        "processor": "processing_system7",
        "address": CONTROL["processing_system7"][1],
        "clocks": {"0": {"enable": 1, "divisor0": 10, "divisor1": 1}} | clocks,
        "aligned": [8, 8],
    }
    assert zynqmp == engine | {
        "processor": "zynq_ultra_ps_e",
        "address": CONTROL["zynq_ultra_ps_e"][1],
        "clocks": {"0": {"enable": 1, "divisor0": 15, "divisor1": 1}} | clocks,
        "aligned": [16, 16],
    }
    assert f"{other}: its .hwh names no DMA engine 'dma' with two channels" in without["error"]
