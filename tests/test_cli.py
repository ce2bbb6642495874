"""The command line: what it prints, and how it refuses: one line, an exit code, nothing half-written."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from bnn2fpga import __version__
from bnn2fpga.backends import rtl, rtl_cells
from tests.conftest import Run
from tests.models import float_onnx, random_data, resize_onnx, small_onnx, text_file, truncated_onnx


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


def test_build_makes_numbered_steps_and_a_report(run: Run, tmp_path: Path) -> None:
    code, out, err = run("build", small_onnx(tmp_path), "--data", random_data(tmp_path), "-o", "out")
    assert (code, err) == (0, "")
    steps = [path.name for path in sorted(Path("out").iterdir()) if path.is_dir()]
    names = ("load", "streamline", "lower", "fold", "hls", "verify", "report", "deploy")
    assert steps == [f"{number:02}-{name}" for number, name in enumerate(names, 1)]
    facts = json.loads(Path("out/07-report/report.json").read_text())
    assert facts["ladder"]["equal"] and facts["ladder"]["accuracy"]["frames"] == 12
    assert facts["estimate"]["total"]["dsps"] == 0
    assert "frames/s at 100 MHz" in out and "C++" in out
    assert "| C++ | numpy | integers | 12 of 12 |" in Path("out/07-report/report.md").read_text()


def test_the_page_is_made_of_the_json_alone(run: Run, tmp_path: Path) -> None:
    _, out, _ = run("build", small_onnx(tmp_path), "--data", random_data(tmp_path), "-o", "out")
    assert "out/07-report/index.html" in out
    made = Path("out/07-report")
    facts = json.loads((made / "report.json").read_text())
    assert facts["digests"]["files"]["model"] == hashlib.sha256(Path("small.onnx").read_bytes()).hexdigest()
    steps = {path: json.loads((path / "stamp.json").read_text()) for path in Path("out").glob("0[1-6]-*")}
    assert facts["digests"]["steps"] == {stamp["step"]: stamp["outputs"] for stamp in steps.values()}
    assert facts["versions"]["numpy"] == np.__version__ and facts["versions"]["bnn2fpga"] == __version__
    before = {name: (made / name).read_bytes() for name in ("index.html", "report.md")}
    for name in before:
        (made / name).unlink()
    for where in ("out", "out/07-report"):
        assert run("report", where) == (0, "out/07-report/index.html\n", "")
        assert {name: (made / name).read_bytes() for name in before} == before
    assert run("build", "small.onnx", "--data", "data.npz", "-o", "out")[1].count("unchanged") == 8


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (None, "No such file"),
        ("{", "no report to read"),
        ("[]", "a report of format None, not 2"),
        ('{"format": 0}', "a report of format 0, not 2"),
        ('{"format": 2}', "is not whole (KeyError"),
    ],
)
def test_a_report_that_cannot_be_read(run: Run, text: str | None, complaint: str) -> None:
    if text is not None:
        Path("report.json").write_text(text)
    code, out, err = run("report", ".")
    assert (code, out) == (2, "") and complaint in err and err.count("\n") == 1
    assert not Path("index.html").exists()


def test_second_build_changes_nothing(run: Run, tmp_path: Path) -> None:
    model = small_onnx(tmp_path)
    run("build", model, "-o", "out")
    before = tree(Path("out"))
    code, out, _ = run("build", model, "-o", "out")
    assert code == 0 and out.count("unchanged") == 8
    assert tree(Path("out")) == before


def test_build_stops_at_a_step_and_goes_on(run: Run, tmp_path: Path) -> None:
    model = small_onnx(tmp_path)
    assert run("build", model, "-o", "out", "--to", "fold")[0] == 0
    assert not Path("out/05-hls").exists()
    code, out, _ = run("build", model, "-o", "out")
    assert code == 0 and out.count("unchanged") == 4


def test_saved_configuration_repeats_the_build(run: Run, tmp_path: Path) -> None:
    run("build", small_onnx(tmp_path), "--fps", 1000, "--clock", 125, "-o", "out")
    assert run("build", "out/01-load/build.toml", "-o", "again")[0] == 0
    first, second = tree(Path("out")), tree(Path("again"))
    assert first == second


def test_options_beside_a_configuration_replace_what_it_says(run: Run, tmp_path: Path) -> None:
    run("build", small_onnx(tmp_path), "--fps", 1000, "--clock", 125, "-o", "out", "--to", "load")
    code, _, err = run(
        "build",
        "out/01-load/build.toml",
        "--clock",
        100,
        "--board",
        "arty-z7-20",
        "-o",
        "again",
        "--to",
        "fold",
    )
    assert (code, err) == (0, "")
    kept = Path("again/01-load/build.toml").read_text()
    assert "clock_mhz = 100.0" in kept and 'board = "arty-z7-20"' in kept and "fps = 1000.0" in kept
    estimated = json.loads(Path("again/04-fold/estimate.json").read_text())
    assert (estimated["board"], estimated["clock_mhz"]) == ("arty-z7-20", 100)


def test_changed_model_is_built_again(run: Run, tmp_path: Path) -> None:
    model = small_onnx(tmp_path)
    run("build", model, "-o", "out", "--to", "lower")
    float_onnx(tmp_path).rename(model)
    code, _, err = run("build", model, "-o", "out", "--to", "lower")
    assert code == 1 and "float weights" in err
    assert not Path("out/03-lower").exists()


def test_changed_weights_reach_the_hardware(run: Run, tmp_path: Path) -> None:
    """Other weights in the same structure: the steps that only describe the structure must not hide them."""
    model = small_onnx(tmp_path)
    run("build", model, "-o", "out")
    before = tree(Path("out/05-hls"))
    small_onnx(tmp_path, seed=1)
    code, out, _ = run("build", model, "-o", "out")
    assert code == 0 and "✓ [5/8] hls" in out
    assert tree(Path("out/05-hls")) != before
    run("build", model, "-o", "fresh")
    assert tree(Path("out")) == tree(Path("fresh"))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (text_file, "not an ONNX file"),
        (truncated_onnx, "not an ONNX file"),
        (lambda folder: folder / "absent.onnx", "no such file"),
        (float_onnx, "Conv_0: float weights; quantize them to 1 to 8 bits"),
        (resize_onnx, "Resize is legal with mode nearest"),
    ],
)
def test_bad_model_is_one_line_and_leaves_no_step(
    run: Run, tmp_path: Path, make: Callable[[Path], Path], text: str
) -> None:
    code, _, err = run("build", make(tmp_path), "-o", "out")
    assert code == 1 and text in err
    assert err.startswith("error: ") and err.count("\n") == 1
    assert not [
        p for p in Path("out").glob("*") if p.name in ("03-lower", "05-hls") or p.name.startswith(".tmp")
    ]


def test_unknown_board(run: Run, tmp_path: Path) -> None:
    code, _, err = run("build", small_onnx(tmp_path), "--board", "pynq-z9", "-o", "out")
    assert code == 2 and err.startswith("error: unknown board 'pynq-z9'; known: arty-z7-20, ")
    assert not Path("out").exists()


def test_frame_rate_beyond_the_chip(run: Run, tmp_path: Path) -> None:
    code, _, err = run("estimate", small_onnx(tmp_path), "--fps", 1e8)
    assert code == 1
    assert "Conv_0_window takes" in err and "reachable: " in err and "fps on pynq-z2" in err


def test_data_of_another_shape(run: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "wrong.npy", np.zeros((5, 3, 7, 7), np.float32))
    for command in ("simulate", "verify"):
        code, _, err = run(command, small_onnx(tmp_path), "--data", tmp_path / "wrong.npy")
        assert code == 2
        assert "frames of shape (5, 3, 7, 7) do not fit the network; legal: (N, 1, 6, 6)" in err


def test_output_folder_that_cannot_be_written(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, err = run("build", small_onnx(tmp_path), "-o", "file/out")
    assert code == 2 and "is a file; choose another folder" in err


def test_output_folder_of_somebody_else(run: Run, tmp_path: Path) -> None:
    model = small_onnx(tmp_path)
    Path("mine").mkdir()
    Path("mine/thesis.txt").write_text("precious")
    code, _, err = run("build", model, "-o", "mine")
    assert code == 2 and "holds no build of bnn2fpga" in err
    assert tree(Path("mine")) == {"thesis.txt": b"precious"}


def test_without_gcc(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_onnx(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    code, _, err = run("build", model, "-o", "out")
    assert code == 3 and err.startswith("error: g++ is not on PATH")
    assert Path("out/04-fold").exists() and not Path("out/05-hls").exists()
    code, out, _ = run("doctor")
    assert code == 3 and "not found" in out


def test_doctor_ends_with_what_works_here(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    out = " ".join(run("doctor")[1].split())
    assert re.search(r"Works here: train, compile and simulate.*\. Not here: .*openXC7", out)
    monkeypatch.setenv("PATH", str(tmp_path))
    out = " ".join(run("doctor")[1].split())
    assert "Works here: train, compile and simulate. Not here: verify C++ and RTL (apt install g++," in out


@pytest.mark.parametrize("command", ["kernels", "boards"])
def test_lists_are_readable_at_80_columns(run: Run, command: str) -> None:
    """No word is broken, which the wide terminal does not do either."""
    lists = []
    for columns in ("80", "200"):
        done = subprocess.run(
            [sys.executable, "-m", "bnn2fpga", command],
            env=os.environ | {"COLUMNS": columns},
            capture_output=True,
            text=True,
            check=True,
        )
        assert max(map(len, done.stdout.splitlines())) <= int(columns)
        lists.append(done.stdout.split())
    assert lists[0] == lists[1]


def test_help_does_not_break_in_mid_sentence(run: Run) -> None:
    text = subprocess.run(
        [sys.executable, "-m", "bnn2fpga", "build", "--help"],
        env=os.environ | {"COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    (paragraph,) = (part for part in re.split(r"\n *\n", text) if "--flow vivado also" in part)
    lines = [line.strip() for line in paragraph.splitlines()]
    # a line ends where the next word would not fit
    for line, following in pairwise(lines):
        assert len(line) + 1 + len(following.split()[0]) > 77
    assert text.index("Examples:") < text.index("bnn2fpga build cnv.npz --to fold")


def test_levels_that_differ_are_exit_code_4(run: Run, tmp_path: Path) -> None:
    """A fake g++ that compiles another program: thresholds compare with > instead of >=."""
    model = small_onnx(tmp_path)
    fake = tmp_path / "bin"
    fake.mkdir()
    real = subprocess.run(["which", "g++"], capture_output=True, text=True, check=True).stdout.strip()
    (fake / "g++").write_text(
        "#!/bin/sh\nfor a; do case $a in\n"
        "  *top.cpp) sed -i 's/>= /> /' $(dirname $a)/kernels/Conv_0.hpp;; esac; done\n"
        f'exec {real} "$@"\n'
    )
    (fake / "g++").chmod(0o755)
    path = os.environ["PATH"]
    os.environ["PATH"] = f"{fake}:{path}"
    try:
        code, out, err = run("build", model, "-o", "out")
        assert code == 4 and "C++ differs from numpy in" in err and "first at frame" in err
        assert not Path("out/06-verify").exists()
        code, out, err = run("verify", model)
        assert code == 4 and "first difference" in out
    finally:
        os.environ["PATH"] = path


def test_rtl_that_differs_is_exit_code_4(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A popcount that counts the lanes that differ."""
    text = rtl_cells.popcount_text
    monkeypatch.setattr(rtl, "popcount_text", lambda *args: text(*args).replace("= ~(x ^ w)", "= (x ^ w)"))
    code, out, err = run("verify", small_onnx(tmp_path))
    assert code == 4 and "RTL differs from numpy" in err and out.count("first difference") == 1


@pytest.mark.slow
def test_verify_writes_waveforms(run: Run, tmp_path: Path) -> None:
    model = small_onnx(tmp_path)
    code, out, _ = run("verify", model, "--rtl-frames", 1, "--trace", "waves.vcd")
    assert code == 0 and "RTL" in out and "1 of 1 frames equal" in out
    waves = Path("waves.vcd").read_text()
    assert "$enddefinitions" in waves and "m_axis0_tvalid" in waves and "\n#100\n" in waves
    code, _, err = run("verify", model, "--trace", "absent/waves.vcd")
    assert code == 2
    assert "absent/waves.vcd: No such file or directory; choose another file" in err


def test_simulate_writes_outputs_and_accuracy(run: Run, tmp_path: Path) -> None:
    code, out, _ = run(
        "simulate", small_onnx(tmp_path), "--data", random_data(tmp_path), "--frames", 10, "--output", "y.npy"
    )
    assert code == 0 and "accuracy" in out and "of 10)" in out
    assert np.load("y.npy").shape == (10, 4)


def test_explain_shows_every_region(run: Run, tmp_path: Path) -> None:
    code, out, err = run("explain", small_onnx(tmp_path), "--trunk-bits", 4)
    assert (code, err) == (0, "")
    for part in ("small: 5 kernels", "the host computes it", "fused into Conv_0", "thresholds read"):
        assert part in out
    assert "refused" not in out


def test_explain_as_json(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("explain", small_onnx(tmp_path), "--json")
    facts = json.loads(out)
    assert code == 0 and facts["name"] == "small" and facts["refusal"] is None
    conv = next(region for region in facts["regions"] if region["nodes"][-1]["name"] == "Conv_0")
    assert conv["kernels"][-1] == {"name": "Conv_0", "kind": "IntegerMvu"}
    assert conv["integers"]["low"] >= -9 * 31 and conv["integers"]["high"] <= 9 * 31


def test_explain_says_why_a_model_is_refused(run: Run, tmp_path: Path) -> None:
    code, out, err = run("explain", resize_onnx(tmp_path))
    assert (code, err) == (1, "")
    for part in ("Resize_0, Resize", "(1, 1, 6, 6)", "bipolar, -1 … 1", "Resize is legal with mode nearest"):
        assert part in out
    code, out, _ = run("explain", float_onnx(tmp_path), "--json")
    facts = json.loads(out)
    assert code == 1 and facts["refusal"]["node"] == {"name": "Conv_0", "op_type": "Conv"}
    assert "float weights; quantize them" in facts["refusal"]["reason"]


def test_explain_of_what_is_no_model(run: Run, tmp_path: Path) -> None:
    code, out, err = run("explain", text_file(tmp_path))
    assert (code, out) == (1, "") and err.startswith("error: ") and "not an ONNX file" in err
    code, out, err = run("explain", small_onnx(tmp_path), "--trunk-bits", 13)
    assert (code, out, err) == (2, "", "error: trunk_bits=13; legal: 0 to 12\n")


def test_lists(run: Run) -> None:
    assert "xc7z020clg400-1" in run("boards")[1]
    names = run("kernels")[1]
    for kernel in (
        "XnorMvu",
        "IntegerMvu",
        "SlidingWindow",
        "Threshold",
        "MaxPool",
        "WidthConverter",
        "StreamFork",
    ):
        assert kernel in names
    assert run("doctor")[0] == 0
    assert run("--version")[1].startswith("bnn2fpga ")


@pytest.mark.parametrize(
    "command", ["demo", "build", "decode", "simulate", "verify", "estimate", "explore", "explain"]
)
def test_help_has_an_example(run: Run, command: str) -> None:
    code, out, _ = run(command, "--help")
    assert code == 0 and "Example" in out


def test_usage_error(run: Run) -> None:
    assert run("build")[0] == 2
    assert run("build", "a.onnx", "--frames", 0)[0] == 2


def test_killed_build_resumes_to_the_same_result(tmp_path: Path) -> None:
    model = small_onnx(tmp_path)
    command = [sys.executable, "-c", "from bnn2fpga.cli.main import main; main()", "build", str(model)]
    whole = subprocess.run(
        [*command, "-o", "whole"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "✓ [8/8] deploy" in whole.stdout
    # a compiler that never ends, so that the build is not over when it is killed
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/g++").write_text("#!/bin/sh\nexec sleep 600\n")
    (tmp_path / "bin/g++").chmod(0o755)
    victim = subprocess.Popen(
        [*command, "-o", "killed"],
        cwd=tmp_path,
        env=os.environ | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    while not (tmp_path / "killed/04-fold").exists():
        assert victim.poll() is None
        time.sleep(0.005)
    os.killpg(victim.pid, signal.SIGKILL)
    victim.wait()
    assert not (tmp_path / "killed/07-report").exists()
    again = subprocess.run(
        [*command, "-o", "killed"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert again.stdout.count("unchanged") == 4
    assert tree(tmp_path / "killed") == tree(tmp_path / "whole")


@pytest.mark.parametrize("arguments", ["--help", "build --help", "explore --help", "boards --help"])
def test_help_waits_for_nothing_heavy(arguments: str) -> None:
    heavy = {"numpy", "dask", "onnx", "torch", "scipy", "matplotlib"}
    code = f"import sys; from bnn2fpga.cli.main import main; sys.argv[1:] = {arguments.split()}\n"
    code += f"try: main()\nexcept SystemExit: print('loaded:', sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("loaded: []\n") and "Usage" in done.stdout
