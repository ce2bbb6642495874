"""Everything that goes wrong on a board is an error in time, with a way out, and nothing is left behind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.driver.conftest import MakeBoard

BOARDS = ("dma", "registers")
TRANSFER = {
    ("dma", "short"): "a short transfer: 16 of 20 bytes came back before TLAST",
    (
        "dma",
        "no_tlast",
    ): r"5 frames did not come back within .* s: all input was taken, but the output does not",
    ("dma", "hang"): "5 frames did not come back within .* s: the core does not take all of its input",
    ("dma", "busy"): r"the DMA engine is busy \(DMA channel not idle\); another program",
    ("dma", "memory"): "the DMA's receiving channel reports a decode error",
    ("registers", "short"): "the data mover reports last_error: TLAST came early, late or never",
    ("registers", "no_tlast"): "the data mover reports last_error",
    ("registers", "hang"): "5 frames did not come back within .* s: 0 frames have left the core",
    ("registers", "busy"): "the data mover is busy; another program",
    ("registers", "memory"): "the data mover reports read_error: the memory refused a read",
}
LOADING = {
    ("dma", "clock"): "the fabric's clock is 50 MHz, the design was built for 100",
    ("dma", "narrow_port"): r"S_AXI_HP0 is set to 32 bits \(bit 0 of 0xf8008000\)",
    ("dma", "other_design"): r"tiny\.bit: its \.hwh names no DMA engine 'dma'",
    ("dma", "no_cma"): r"no contiguous memory \(CMA\) for 256 output frames, 1024 bytes",
    ("registers", "clock"): "the fabric's clock is 50 MHz",
    ("registers", "narrow_port"): "S_AXI_HP0 is set to 32 bits",
    ("registers", "other_design"): "register digest reads 0x00c0ffef, not 0x00c0ffee: another design",
    ("registers", "no_cma"): "no contiguous memory",
}


def change_facts(driver: ModuleType, folder: Path, change: Callable[[Any], Any]) -> None:
    """Changes model.json, and its digest with it."""
    facts = json.loads((folder / "model.json").read_text())
    change(facts)
    facts.pop("sha256")
    facts["sha256"] = driver.facts_digest(facts)
    (folder / "model.json").write_text(json.dumps(facts))


@pytest.mark.parametrize(("kind", "fault"), TRANSFER)
def test_a_transfer_that_fails(
    kind: str, fault: str, board: MakeBoard, driver: ModuleType, deployments: Path, expected: Any
) -> None:
    """The error holds the registers; the buffers are free and the hardware is reset; then it works again."""
    hardware = board(kind)
    hardware.faults = {fault}
    accelerator = driver.Accelerator(deployments / kind, "pynq", timeout=0.02)
    frames = expected["frames"][:5]
    with pytest.raises(driver.AcceleratorError, match=TRANSFER[kind, fault]) as caught:
        accelerator.logits(frames)
    names = {"dma": {"MM2S_DMASR", "S2MM_DMASR"}, "registers": {"status", "frames"}}[kind]
    assert names <= set(caught.value.registers)
    assert all(f"\n  {name} 0x" in str(caught.value) for name in names)
    assert not hardware.buffers and hardware.log[-1] == "reset"
    hardware.faults = set()
    assert (accelerator.logits(frames) == expected["outputs"][:5]).all()
    # the mover's reset reaches the core; after a reset of the DMA the core must be loaded again
    assert hardware.downloads == {"dma": 2, "registers": 1}[kind]
    accelerator.close()
    assert not hardware.buffers


@pytest.mark.parametrize(("kind", "fault"), LOADING)
def test_a_board_that_cannot_be_used(
    kind: str, fault: str, board: MakeBoard, driver: ModuleType, deployments: Path
) -> None:
    hardware = board(kind)
    hardware.faults = {fault}
    with pytest.raises(driver.AcceleratorError, match=LOADING[kind, fault]):
        driver.Accelerator(deployments / kind, "pynq")
    assert not hardware.buffers


@pytest.mark.parametrize("kind", BOARDS)
def test_interrupted(
    kind: str, board: MakeBoard, driver: ModuleType, deployments: Path, expected: Any
) -> None:
    """Ctrl-C while waiting stops the hardware before its buffers are freed."""
    hardware = board(kind)
    hardware.faults = {"interrupt"}
    with driver.Accelerator(deployments / kind, "pynq") as accelerator:
        with pytest.raises(KeyboardInterrupt):
            accelerator.logits(expected["frames"][:5])
        assert not hardware.buffers and hardware.log[-1] == "reset"
        hardware.faults = set()
        assert (accelerator.logits(expected["frames"][:5]) == expected["outputs"][:5]).all()


@pytest.mark.parametrize("kind", BOARDS)
def test_buffers_are_freed_when_the_user_fails(
    kind: str, board: MakeBoard, driver: ModuleType, deployments: Path
) -> None:
    hardware = board(kind)
    with pytest.raises(ZeroDivisionError), driver.Accelerator(deployments / kind, "pynq"):
        assert len(hardware.buffers) == 2
        raise ZeroDivisionError
    assert not hardware.buffers


@pytest.mark.parametrize("kind", BOARDS)
def test_a_bitstream_of_another_build(
    kind: str, board: MakeBoard, driver: ModuleType, copied: Callable[[str], Path]
) -> None:
    """Is not loaded."""
    hardware = board(kind)
    folder = copied(kind)
    with (folder / "tiny.bit").open("ab") as file:
        file.write(b"!")
    with pytest.raises(driver.AcceleratorError, match=r"tiny\.bit: SHA-256 .*; copy the whole folder again"):
        driver.Accelerator(folder, "pynq")
    assert hardware.downloads == 0


@pytest.mark.parametrize(
    ("kind", "name", "text"),
    [
        ("dma", "tiny.hwh", "No such file or directory; give the whole deployment folder"),
        ("registers", "registers.json", "No such file or directory"),
        ("dma", "tiny.bit", "No such file or directory"),
        ("dma", "model.json", "No such file or directory"),
        ("dma", "model.npz", "No such file or directory"),
    ],
)
def test_a_file_that_was_not_copied(
    kind: str, name: str, text: str, board: MakeBoard, driver: ModuleType, copied: Callable[[str], Path]
) -> None:
    board(kind)
    folder = copied(kind)
    (folder / name).unlink()
    with pytest.raises(driver.AcceleratorError, match=text) as caught:
        driver.Accelerator(folder, "pynq")
    assert name in str(caught.value)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda facts: facts.update(format=1), "format 1, this driver reads 4"),
        (lambda facts: facts.pop("input"), r"not written by bnn2fpga \(KeyError\('input'\)\)"),
        (lambda facts: facts["host"]["encode"]["steps"].append({"operation": "save"}), "not written by"),
        (lambda facts: facts["host"]["encode"].update(results=[99]), "not written by bnn2fpga"),
        (lambda facts: facts["host"]["encode"]["steps"][0].update(sources=[5]), "not written by bnn2fpga"),
        (lambda facts: facts["host"]["encode"]["steps"][0].update(dtype="object"), "not written by bnn2fpga"),
        (lambda facts: facts["files"].update({"model.npz": "0" * 64}), "is not the file that"),
        (lambda facts: facts["input"].update(bits=0), "bits of 0; legal: integers from 1 to 62"),
        (lambda facts: facts["input"].update(lanes=5), "on 5 lanes"),
        (lambda facts: facts["output"].update(low=-(1 << 40)), "low of -1099511627776; legal: "),
        (lambda facts: facts.update(clock_mhz=-1), "clock_mhz of -1.0"),
        (lambda facts: facts.update(clock_mhz=float("inf")), "Infinity is no number of JSON"),
        (lambda facts: facts["host"].update(outputs=["a", "b"]), "2 outputs of another number of results"),
        (lambda facts: facts["files"].update({"../x": ""}), "legal: a file within the folder"),
    ],
)
def test_a_damaged_model_file(
    change: Callable[[Any], None], text: str, driver: ModuleType, copied: Callable[[str], Path]
) -> None:
    folder = copied("sim")
    change_facts(driver, folder, change)
    with pytest.raises(driver.AcceleratorError, match=text):
        driver.Accelerator(folder, "cpp")


def test_a_model_file_that_was_changed(driver: ModuleType, copied: Callable[[str], Path]) -> None:
    folder = copied("sim")
    facts = json.loads((folder / "model.json").read_text())
    facts["clock_mhz"] += 1
    (folder / "model.json").write_text(json.dumps(facts))
    with pytest.raises(driver.AcceleratorError, match=r"model\.json: was changed after it was written"):
        driver.Accelerator(folder, "cpp")


@pytest.mark.parametrize(("longest", "batch"), [(36 * 3 + 5, 3), (36, 1), (1 << 26, 256)])
def test_batches_fit_the_length_register(
    longest: int, batch: int, board: MakeBoard, driver: ModuleType, deployments: Path, expected: Any
) -> None:
    hardware = board("dma")
    hardware.longest = longest
    with driver.Accelerator(deployments / "dma", "pynq") as accelerator:
        assert accelerator.batch == batch
        assert (accelerator.logits(expected["frames"]) == expected["outputs"]).all()


def test_a_frame_longer_than_a_transfer(board: MakeBoard, driver: ModuleType, deployments: Path) -> None:
    board("dma").longest = 35
    with pytest.raises(driver.AcceleratorError, match="tiny: a frame has more than the 35 bytes of one"):
        driver.Accelerator(deployments / "dma", "pynq")


def test_a_core_that_errs_fails_the_selftest(board: MakeBoard, driver: ModuleType, deployments: Path) -> None:
    """A single bit of one frame, and it says where."""
    hardware = board("dma")
    right = hardware.core

    def wrong(data: Any) -> Any:
        found = right(data)
        found[3, 2] ^= 1
        return found

    hardware.core = wrong
    place = r"selftest on pynq: the core differs first at frame 3, element \[2\]"
    with driver.Accelerator(deployments / "dma", "pynq") as accelerator:
        with pytest.raises(driver.AcceleratorError, match=place):
            accelerator.selftest()
        assert len(hardware.buffers) == 2


def test_auto_takes_what_is_there(
    board: MakeBoard, driver: ModuleType, deployments: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hardware = board("dma")
    assert driver._choose(driver.load_model(deployments / "dma")) == "pynq"
    without_bitstream = driver.load_model(deployments / "sim")
    assert driver._choose(without_bitstream) in ("cpp", "numpy")
    import pynq

    pynq.Device.devices = []
    assert driver._choose(driver.load_model(deployments / "dma")) in ("cpp", "numpy")
    assert hardware.downloads == 0
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(driver, "find_spec", lambda name: None)
    with pytest.raises(
        driver.AcceleratorError, match=r"no backend: neither a bitstream and a board with pynq"
    ):
        driver.Accelerator(deployments / "dma")


def test_wrong_arguments(driver: ModuleType, deployments: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refusals: list[tuple[dict[str, Any], str]] = [
        ({"backend": "fpga"}, "backend 'fpga'; legal: auto, pynq, cpp, numpy"),
        ({"backend": "cpp", "batch": 0}, "batch=0"),
        ({"backend": "pynq"}, "holds no bitstream .flow sim.; legal backends: cpp, numpy"),
    ]
    for arguments, text in refusals:
        with pytest.raises(driver.AcceleratorError, match=text):
            driver.Accelerator(deployments / "sim", **arguments)
    with pytest.raises(driver.AcceleratorError, match="backend pynq: No module named 'pynq'"):
        driver.Accelerator(deployments / "dma", "pynq")
    with pytest.raises(driver.AcceleratorError, match=r"g\+\+ is not on PATH"):
        monkeypatch.setattr(shutil, "which", lambda name: None)
        driver.Accelerator(deployments / "sim", "cpp")


def test_no_simulation_folder(driver: ModuleType, copied: Callable[[str], Path]) -> None:
    folder = copied("sim")
    shutil.rmtree(str(folder / "simulation"))
    with pytest.raises(driver.AcceleratorError, match=r"simulation.*is missing; copy it from the build"):
        driver.Accelerator(folder, "cpp")


def test_cpp_that_does_not_compile(driver: ModuleType, copied: Callable[[str], Path]) -> None:
    folder = copied("sim")
    (folder / "simulation/cpp/top.cpp").write_text("nonsense\n")
    change_facts(driver, folder, lambda facts: facts["files"].pop("simulation/cpp/top.cpp"))
    with pytest.raises(driver.AcceleratorError, match=r"g\+\+ failed: .*error"):
        driver.Accelerator(folder, "cpp")
    assert np.load(str(folder / "model.npz")).files
