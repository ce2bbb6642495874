"""Deployment folders that were changed after they were written: an AcceleratorError, or right results.

Half of the changes of model.json come with a digest that fits, as of one who means it. What such a file says
may be wrong then, but nothing else may come of it than an AcceleratorError or arrays.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.driver.fake_pynq import Board, Core

SECONDS = 30
"""For one folder, on a busy machine."""
FOLDERS = 500
EVERY_DAY = 60
VALUES = (
    *(None, True, 0, -1, 1, 2, 7, 64, 1 << 31, 1 << 63, 10**40, 0.5, -0.0, float("nan"), float("inf"), 1e300),
    *("", "x", "../../../etc/passwd", "model.json", "save", "float16", "object", "é\n\n", "a" * 10_000),
    *([], {}, [[]], [0], [-1, 1], [1 << 40] * 3, {"array": "x"}, {"array": ["golden_frames"]}),
)
Random = np.random.Generator


def places(facts: Any) -> list[tuple[Any, Any]]:
    """Every container of a JSON value with every key in it."""
    found = []
    if isinstance(facts, (dict, list)):
        keys = list(facts) if isinstance(facts, dict) else list(range(len(facts)))
        for key in keys:
            found += [(facts, key), *places(facts[key])]
    return found


def change_facts(facts: Any, random: Random) -> None:
    """One to three values replaced, removed, or exchanged for others of the same file."""
    for _ in range(random.integers(1, 4)):
        found = places(facts)
        parent, key = found[random.integers(len(found))]
        other, of_other = found[random.integers(len(found))]
        what = random.integers(4)
        if what == 0 and isinstance(parent, dict):
            del parent[key]
        elif what == 1:
            parent[key] = json.loads(json.dumps(other[of_other]))
        elif what == 2 and isinstance(parent[key], (int, float)):
            parent[key] = parent[key] + int(random.integers(-2, 3))
        else:
            parent[key] = VALUES[random.integers(len(VALUES))]


def change_bytes(path: Path, random: Random) -> None:
    """A few bytes changed, cut off, or the file emptied."""
    data = bytearray(path.read_bytes())
    for _ in range(random.integers(1, 6)):
        if data:
            data[random.integers(len(data))] = random.integers(256)
    keep = len(data) if random.random() < 0.7 else random.integers(len(data) + 1)
    path.write_bytes(bytes(data[:keep]))


def change_arrays(path: Path, random: Random) -> None:
    """One array of another type, shape or value, or gone; or the file's bytes."""
    if random.random() < 0.3:
        return change_bytes(path, random)
    with np.load(str(path)) as file:
        arrays = {name: file[name] for name in file.files}
    name = list(arrays)[random.integers(len(arrays))]
    array = arrays[name]
    what = random.integers(5)
    if what == 0:
        kinds = ("f4", "f8", "i8", "u1", "U4", "c8", "?", "M8[s]")
        arrays[name] = np.zeros(array.shape, kinds[random.integers(len(kinds))])
    elif what == 1:
        arrays[name] = array.reshape(-1)[: random.integers(array.size + 1)]
    elif what == 2:
        del arrays[name]
    elif what == 3:
        arrays[name] = arrays[list(arrays)[random.integers(len(arrays))]]
    elif array.size:
        value = (0, 1, -1, 100, np.nan, np.inf)[random.integers(6)]
        array = array if array.dtype.kind == "f" or np.isfinite(value) else array.astype(np.float64)
        array.reshape(-1)[random.integers(array.size)] = value if array.dtype.kind == "f" else abs(value)
        arrays[name] = array
    np.savez(str(path), **arrays)
    return None


def tamper(folder: Path, others: Path, random: Random) -> str:
    """Changes a folder of a kind; says what, `forged` where the digests fit again."""
    place, forged, names = folder / "model.json", random.random() < 0.5, ["driver.py", "model.npz"]
    facts = json.loads(place.read_text())
    names += [
        path.name for path in folder.iterdir() if path.suffix in (".bit", ".hwh") or path.stem == "registers"
    ]
    what = ("facts", "text", "arrays", "arrays", "registers", "swap", "lost")[random.integers(7)]
    if what == "facts":
        change_facts(facts, random)
    elif what == "text":
        change_bytes(place, random)
        return what
    elif what == "arrays":
        change_arrays(folder / "model.npz", random)
        facts["files"]["model.npz"] = hashlib.sha256((folder / "model.npz").read_bytes()).hexdigest()
    elif what == "registers" and "registers.json" in names:
        registers = json.loads((folder / "registers.json").read_text())
        change_facts(registers, random)
        (folder / "registers.json").write_text(json.dumps(registers))
        facts["files"]["registers.json"] = hashlib.sha256(
            (folder / "registers.json").read_bytes()
        ).hexdigest()
    else:
        name = names[random.integers(len(names))]
        (folder / name).unlink()
        if what == "swap":
            source = [path for path in others.glob("*/*") if path.is_file()]
            shutil.copyfile(str(source[random.integers(len(source))]), str(folder / name))
        else:
            (folder / name).mkdir()
    if forged and isinstance(facts, dict):
        facts.pop("sha256", None)
        facts["sha256"] = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    place.write_text(json.dumps(facts))
    return f"{what}, forged" if forged else what


def outcome(driver: ModuleType, folder: Path, backend: str, expected: Any) -> str:
    """`refused`, `right` or `wrong`; anything but an AcceleratorError goes through."""
    try:
        with driver.Accelerator(folder, backend, batch=4, timeout=0.05) as accelerator:
            found = accelerator.logits(expected["frames"][:6])
            accelerator.predict(expected["frames"][:6])
            accelerator.selftest()
            accelerator.benchmark(5)
    except driver.AcceleratorError as error:
        assert "\n" not in str(error).split("; registers:")[0], error
        assert str(error).isprintable() or "registers:" in str(error)
        return "refused"
    wanted = expected["outputs"][:6]
    return "right" if found.shape == wanted.shape and (found == wanted).all() else "wrong"


def expire(*_: Any) -> None:
    raise TimeoutError(f"no answer in {SECONDS} s")


@pytest.fixture
def limited() -> Any:
    """Raises where one folder takes too long."""
    before = signal.signal(signal.SIGALRM, expire)
    yield lambda: signal.alarm(SECONDS)
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(
    "seeds", [range(EVERY_DAY), pytest.param(range(EVERY_DAY, FOLDERS), marks=pytest.mark.slow)], ids=len
)
def test_tampered_folders(
    seeds: Any,
    core: Core,
    driver: ModuleType,
    deployments: Path,
    expected: Any,
    tmp_path: Path,
    limited: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outcomes = {}
    for seed in seeds:
        random = np.random.default_rng(seed)
        kind = ("dma", "registers")[random.integers(2)]
        folder = Path(shutil.copytree(str(deployments / kind), str(tmp_path / str(seed) / kind)))
        model = driver.load_model(deployments / kind)
        board = Board(core, model.source.frame_bytes, model.sink.frame_bytes, deployments / kind)
        monkeypatch.setitem(sys.modules, "pynq", board.module())
        what = tamper(folder, deployments, random)
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
        limited()
        outcomes[seed, what] = outcome(driver, folder, "pynq", expected)
        assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
        assert not board.buffers
        shutil.rmtree(str(tmp_path / str(seed)))
    wrong = [where for where, found in outcomes.items() if found == "wrong" and "forged" not in where[1]]
    assert not wrong
    counts = {found: list(outcomes.values()).count(found) for found in ("refused", "right", "wrong")}
    print(counts)
    assert counts["refused"] > len(seeds) / 2


@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")
@pytest.mark.parametrize("backend", ["cpp", "numpy"])
@pytest.mark.parametrize("name", ["cpp/top.cpp", "cpp/gcc/ap_axi_sdata.h", "model.onnx", "options.json"])
@pytest.mark.parametrize("lost", [False, True], ids=["changed", "lost"])
def test_a_changed_simulation_is_not_run(
    backend: str, name: str, lost: bool, driver: ModuleType, copied: Callable[[str], Path]
) -> None:
    if backend == "numpy" and importlib.util.find_spec("bnn2fpga") is None:
        pytest.skip("bnn2fpga is not installed in this Python")
    path = copied("sim") / "simulation" / name
    if lost:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(driver.AcceleratorError, match=Path(name).name):
        driver.Accelerator(path.parents[name.count("/") + 1], backend)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([[1.0], [2.0, 3.0]], "frames"),
        (np.zeros((2, 1, 6, 6), complex), "frames of type complex128; legal: real numbers"),
        (np.full((2, 1, 6, 6), "a"), "frames of type <U1"),
        (np.full((2, 1, 6, 6), None), "frames of type object"),
        (np.full((2, 1, 6, 6), np.nan), r"a frame holds values that are no numbers \(nan\)"),
        (None, "frames of type object"),
    ],
)
def test_frames_that_are_no_numbers(
    frames: Any, message: str, driver: ModuleType, deployments: Path, board: Any
) -> None:
    board("dma")
    accelerator = driver.Accelerator(deployments / "dma", "pynq")
    with accelerator, pytest.raises(driver.AcceleratorError, match=message):
        accelerator.logits(frames)


@pytest.mark.parametrize(
    "arguments",
    [{"batch": "x"}, {"batch": 2.5}, {"batch": True}, {"timeout": float("nan")}, {"timeout": "1"}],
)
def test_arguments_of_another_type(arguments: Any, driver: ModuleType, deployments: Path) -> None:
    with pytest.raises(driver.AcceleratorError, match=next(iter(arguments))):
        driver.Accelerator(deployments / "dma", "pynq", **arguments)


@pytest.mark.parametrize("frames", [0, 2.5, "x", None])
def test_a_benchmark_of_another_number(
    frames: Any, driver: ModuleType, deployments: Path, board: Any
) -> None:
    board("dma")
    accelerator = driver.Accelerator(deployments / "dma", "pynq")
    with accelerator, pytest.raises(
        driver.AcceleratorError, match=r"benchmark of .*; legal: integers from 1"
    ):
        accelerator.benchmark(frames)
