"""`bnn2fpga check`: budgets held and broken, baselines, changed models, wrong data, what CI servers read."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import onnx
import pytest

import bnn2fpga
from bnn2fpga.build.findings import of_figure
from bnn2fpga.build.ladder import Level
from tests.conftest import Run
from tests.models import SHAPE, small_onnx

FRAMES = 40


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A network, frames whose labels are its own but for four, and what it says of them."""
    model = small_onnx(tmp_path)
    frames = np.random.default_rng(0).random((FRAMES, *SHAPE)).astype(np.float32)
    own = bnn2fpga.compile(model).run(frames).argmax(1)
    np.savez(tmp_path / "data.npz", images=frames, labels=np.where(np.arange(FRAMES) < 4, own + 1, own) % 3)
    np.save(tmp_path / "own.npy", own)
    return tmp_path


SETTINGS = 'model = "{model}"\ndata = "data.npz"\nlabels = "own.npy"\nframes = 2\nfps = 10000\n'


def write(folder: Path, budget: str = "", top: str = "", may_move: str = "") -> Path:
    model = next(folder.glob("*.onnx")).name
    text = SETTINGS.format(model=model) + top
    text += f"[budget]\n{budget}\n[may_move]\n{may_move}\n"
    (folder / "bnn2fpga.toml").write_text(text)
    return folder / "bnn2fpga.toml"


def flip(folder: Path) -> None:
    """The signs of one row of the last layer's weights, as a bad merge would leave them."""
    path = next(folder.glob("*.onnx"))
    model = onnx.load(path)
    weights = [one for one in model.graph.initializer if len(one.dims) >= 2][-1]
    array = onnx.numpy_helper.to_array(weights).copy()
    array[..., 0] *= -1
    weights.CopyFrom(onnx.numpy_helper.from_array(array, weights.name))
    onnx.save(model, path)


def measured(folder: Path, run: Run) -> dict[str, float]:
    code, _, _ = run("check", write(folder), "--json", folder / "found.json")
    assert code == 0
    figures: dict[str, float] = json.loads((folder / "found.json").read_text())["measured"]["figures"]
    return figures


def test_every_budget_held_and_broken(folder: Path, run: Run) -> None:
    figures = measured(folder, run)
    assert figures["accuracy"] == 90 and figures["reference"] == 100
    names = ["accuracy", "fps", "luts", "bram36", "latency_us"]
    assert set(figures) == {*names, "reference"}
    held = "".join(f"{name} = {value}\n" for name, value in figures.items())
    assert run("check", write(folder, held))[0] == 0
    for name in names:
        worse = figures[name] * (1.01 if name in ("accuracy", "fps") else 0.99) - (figures[name] == 0)
        if worse < 0:  # no block RAM is used: none can be saved
            continue
        code, printed, error = run("check", write(folder, f"{name} = {worse}"))
        assert code == 4 and f"1 of 12 broke: {name}" in error, name
        assert f"the budget is {worse:,g} at {'least' if name in ('accuracy', 'fps') else 'most'}" in printed


def test_a_flipped_weight(folder: Path, run: Run) -> None:
    settings = write(folder, "reference = 99", 'baseline = "kept.json"\n')
    assert run("check", settings, "--update-baseline")[0] == 0
    flip(folder)
    code, printed, error = run("check", settings)
    assert code == 4 and "broke: accuracy, reference" in error
    assert "another file than the baseline's" in printed and "outputs differ from the baseline's" in printed


def test_figures_may_move_as_far_as_is_allowed(folder: Path, run: Run) -> None:
    settings = write(folder, top='baseline = "kept.json"\n')
    code, _, error = run("check", settings)
    assert code == 2 and "kept.json: no baseline yet; bnn2fpga check --update-baseline writes it" in error
    assert run("check", settings, "--update-baseline")[0] == 0
    assert run("check", settings)[0] == 0
    kept = json.loads((folder / "kept.json").read_text())
    kept["figures"]["luts"] = round(kept["figures"]["luts"] / 1.05)
    kept["figures"]["accuracy"] += 2
    (folder / "kept.json").write_text(json.dumps(kept))
    code, printed, error = run("check", settings)
    assert code == 4 and "broke: accuracy, luts" in error and "may get worse by 0 points at most" in printed
    allowed = write(folder, top='baseline = "kept.json"\n', may_move="luts = 6\naccuracy = 2")
    code, printed, _ = run("check", allowed)
    assert code == 0 and "was 92" in printed
    # better is never worse
    kept["figures"]["accuracy"] = 50
    (folder / "kept.json").write_text(json.dumps(kept))
    assert run("check", write(folder, top='baseline = "kept.json"\n', may_move="luts = 6"))[0] == 0


def test_other_outputs_of_the_same_model(folder: Path, run: Run) -> None:
    settings = write(folder, top='baseline = "kept.json"\n')
    assert run("check", settings, "--update-baseline")[0] == 0
    data = dict(np.load(folder / "data.npz"))
    np.savez(folder / "data.npz", images=1 - data["images"], labels=data["labels"])
    code, printed, _ = run("check", settings)
    assert code == 4 and "though the model is the same; are the data the same?" in " ".join(printed.split())


def test_no_baseline_of_levels_that_differ(folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    level = Level("numpy", "qonnx", "scores", 8, 7)
    monkeypatch.setattr("bnn2fpga.build.check.climb", lambda *_: [level])
    code, printed, _ = run("check", write(folder, top='baseline = "kept.json"\n'), "--update-baseline")
    assert code == 4 and "not written, as levels differ" in printed and not (folder / "kept.json").exists()


def test_what_servers_read(folder: Path, run: Run) -> None:
    settings = write(folder, "accuracy = 95")
    code, printed, _ = run("check", settings, "--junit", folder / "junit.xml", "--annotate", "github")
    message = "accuracy: 90 %; the budget is 95 at least"
    assert code == 4 and f"::error file={settings},title=bnn2fpga check::{message}" in printed
    suite = ElementTree.parse(folder / "junit.xml").getroot()
    failed = [case for case in suite if case.find("failure") is not None]
    assert (suite.get("tests"), suite.get("failures")) == ("12", "1")
    assert [case.get("name") for case in failed] == ["accuracy"]
    assert f"ERROR: {message}" in run("check", settings, "--annotate", "gitlab")[1]


WRONG = {
    "a key": ('[budgets]\nluts = 3\nmodel = "m.onnx"', "budgets: Extra inputs are not permitted"),
    "a figure": ('model = "m.onnx"\n[budget]\nlut = 3', "budget.lut: Extra inputs are not permitted"),
    "a number": ('model = "m.onnx"\n[budget]\naccuracy = 101', "less than or equal to 100"),
    "no model": ("frames = 3", "model: Field required"),
    "no data": ('model = "{model}"\n[budget]\naccuracy = 5', "budget of labels without data"),
    "data": ('model = "{model}"\ndata = "absent.npz"', "absent.npz: no such file"),
    "no frames": ('model = "{model}"\ndata = "none.npy"', "none.npy: holds no frames"),
    "labels": (
        'model = "{model}"\ndata = "data.npz"\nlabels = "few.npy"',
        "legal: a label, or scores, for each of 40",
    ),
    "a baseline": ('model = "{model}"\nbaseline = "few.npy"', "few.npy: no baseline"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_settings_are_one_line(name: str, folder: Path, run: Run) -> None:
    text, message = WRONG[name]
    np.save(folder / "few.npy", np.zeros(3))
    np.save(folder / "none.npy", np.zeros((0, *SHAPE)))
    settings = folder / "bnn2fpga.toml"
    settings.write_text(text.replace("{model}", next(folder.glob("*.onnx")).name))
    code, printed, error = run("check", settings)
    assert code == 2 and message in error and error.count("\n") == 1 and not printed


def test_millions_are_written_in_digits() -> None:
    finding = of_figure("fps", 1_041_666.7, 2e6, None, 0)
    assert finding.said == "1,041,667 frames/s; the budget is 2,000,000 at least"


def test_nothing_is_checked_without_settings(run: Run) -> None:
    code, _, error = run("check")
    assert code == 2 and "bnn2fpga.toml: No such file" in error
    code, _, error = run("check", "--update-baseline", "x.toml")
    assert code == 2
