"""Compiled files kept between runs: the same again, never a stale one, whatever happens to the folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bnn2fpga.backends.hls import hls_project
from bnn2fpga.files import kept
from bnn2fpga.simulation.cpp import CppSimulator
from tests.conftest import Run
from tests.contract import random_values
from tests.random_designs import random_design


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(kept, "user_cache_path", lambda name: tmp_path / "cache" / name)
    return tmp_path


def made(target: Path, *parts: bytes) -> bool:
    """Whether the file had to be made; it then holds its parts."""
    calls = []

    def make() -> None:
        calls.append(target.write_bytes(b"".join(parts)))

    kept.make_or_copy(target, parts, make)
    assert target.read_bytes() == b"".join(parts)
    return bool(calls)


def test_made_once(folder: Path) -> None:
    assert made(folder / "one", b"source", b"-O1")
    assert not made(folder / "two", b"source", b"-O1")
    assert made(folder / "two", b"source", b"-O2")
    # the same bytes, cut elsewhere
    assert made(folder / "two", b"source-", b"O1")
    assert kept.clear_kept() > 0 and kept.kept_bytes() == 0
    assert made(folder / "one", b"source", b"-O1")


def test_an_executable_stays_one(folder: Path) -> None:
    def make() -> None:
        (folder / "run").write_text("#!/bin/sh\n")
        (folder / "run").chmod(0o755)

    for _ in range(2):
        kept.make_or_copy(folder / "run", [b"run"], make)
        assert os.access(folder / "run", os.X_OK)
        (folder / "run").unlink()


def test_nothing_is_kept_of_what_fails(folder: Path) -> None:
    def make() -> None:
        raise ValueError("does not compile")

    for _ in range(2):
        with pytest.raises(ValueError, match="does not compile"):
            kept.make_or_copy(folder / "one", [b"x"], make)
    assert kept.kept_bytes() == 0


def test_a_folder_that_cannot_be_written_is_no_error(folder: Path) -> None:
    (folder / "cache").write_text("a file in its place")
    assert made(folder / "one", b"x") and made(folder / "one", b"x")


def test_the_oldest_go_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "LIMIT", 250)
    for number in range(3):
        assert made(folder / "one", bytes([number]) * 100)
        newest = max(kept.kept_folder().iterdir(), key=lambda path: path.stat().st_mtime_ns)
        os.utime(newest, (number + 1, number + 1))
    assert kept.kept_bytes() == 200
    assert made(folder / "one", bytes(100))


def test_many_at_once(folder: Path) -> None:
    """Processes that make the same file: each has it whole."""
    program = (
        "import sys; from pathlib import Path; from bnn2fpga.files import kept\n"
        "kept.user_cache_path = lambda name: Path(sys.argv[1]); target = Path(sys.argv[2])\n"
        "for turn in range(40):\n"
        "    content = bytes([turn % 4]) * 200_000\n"
        "    kept.make_or_copy(target, [content[:1]], lambda: target.write_bytes(content))\n"
        "    assert target.read_bytes() == content\n"
    )
    command = [sys.executable, "-c", program, str(folder / "cache")]
    running = [subprocess.Popen([*command, str(folder / f"out{number}")]) for number in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]


def test_generated_cpp_is_compiled_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    design = random_design(0)
    stream = design.inputs[0].stream
    project = hls_project(design, "xc7z020clg400-1", 100)
    frames = random_values(stream.type, (2, *stream.shape), 0)
    expected = design.simulate(frames, "numpy")

    def run(number: int, flags: tuple[str, ...] = ()) -> None:
        sources = folder / f"sources{number}"
        project.write(sources)
        simulator = CppSimulator.compile(design, sources, sources / "run", flags=flags, keep=True)
        assert (simulator.run(frames).outputs[0] == expected).all()

    run(0)
    monkeypatch.setattr("bnn2fpga.simulation.cpp.find_gcc", lambda: "/no/compiler")
    run(1)  # from another folder
    with pytest.raises(OSError, match="/no/compiler"):
        run(2, ("-O2",))
    monkeypatch.setattr("bnn2fpga.simulation.cpp.gcc_identity", lambda: "another")
    with pytest.raises(OSError, match="/no/compiler"):
        run(3)


def test_doctor_clears_it(folder: Path, run: Run) -> None:
    made(folder / "one", bytes(2_000_000))
    code, printed, _ = run("doctor", "--clear-cache")
    assert code == 0 and "2.0 MB removed" in printed
    assert kept.kept_bytes() == 0
