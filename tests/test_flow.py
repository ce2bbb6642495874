"""Stopping, failing, killing and resuming a build, and refusing folders that are not ours."""

import errno
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bnn2fpga.build.step_runner import STAMP, Step, StepEvent, needed, run_flow
from bnn2fpga.errors import ConfigError, ModelError
from bnn2fpga.files.output_folder import MARKER

Tree = dict[str, bytes | None]


def tree(folder: Path) -> Tree:
    """Every entry by its path; bytes of a file, None of a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


class Recipe:
    """Three steps in a row and one on its own, whose actions note that they ran."""

    def __init__(self) -> None:
        self.source = b"five"
        self.fold = "2"
        self.ran: list[str] = []
        self.states: list[tuple[str, str]] = []

    def _load(self, out: Path) -> None:
        self.ran.append("load")
        (out / "model.bin").write_bytes(self.source.strip())

    def _lower(self, out: Path) -> None:
        self.ran.append("lower")
        (out / "deep" / "er").mkdir(parents=True)
        (out / "empty").mkdir()
        (out / "deep" / "er" / "ir.bin").write_bytes(
            b"ir of " + (needed(out, "load") / "model.bin").read_bytes()
        )

    def _emit(self, out: Path) -> None:
        self.ran.append("emit")
        (out / "top.v").write_bytes(
            (needed(out, "lower") / "deep/er/ir.bin").read_bytes() + self.fold.encode()
        )

    def _board(self, out: Path) -> None:
        self.ran.append("board")
        (out / "board.toml").write_text("x = 1\n")

    def steps(self) -> tuple[Step, ...]:
        return (
            Step("load", self._load, key=self.source.decode()),
            Step("lower", self._lower, needs=("load",)),
            Step("board", self._board),
            Step("emit", self._emit, needs=("lower", "board"), key=self.fold),
        )

    def note(self, event: StepEvent) -> None:
        self.states.append((event.name, event.state))

    def run(self, folder: Path, to: str | None = None) -> list[str]:
        """The names of the steps whose actions ran this time."""
        self.ran, self.states = [], []
        run_flow(folder, self.steps(), to, self.note)
        return self.ran


def refusal(folder: Path, steps: tuple[Step, ...] | None = None, to: str | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        run_flow(folder, Recipe().steps() if steps is None else steps, to)
    text = str(caught.value)
    assert "\n" not in text
    return text


def failing(problem: BaseException) -> Step:
    """A step that fails after half of its output."""

    def action(out: Path) -> None:
        (out / "half.bin").write_bytes(b"half")
        raise problem

    return Step("emit", action, needs=("load",))


# --- what is built, skipped, built again


def test_folders_are_numbered_and_stamped(tmp_path: Path) -> None:
    folders = run_flow(tmp_path / "new" / "build", Recipe().steps())
    assert {name: path.name for name, path in folders.items()} == {
        "load": "01-load",
        "lower": "02-lower",
        "board": "03-board",
        "emit": "04-emit",
    }
    assert all((path / STAMP).is_file() for path in folders.values())
    assert (folders["emit"] / "top.v").read_bytes() == b"ir of five2"


def test_an_action_gets_an_empty_folder_inside_the_build_folder(tmp_path: Path) -> None:
    seen: list[tuple[Path, list[Path]]] = []
    run_flow(tmp_path, [Step("load", lambda out: seen.append((out.parent, list(out.iterdir()))))])
    assert seen == [(tmp_path, [])]


def test_relative_folder_reaches_the_action_as_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    seen: list[Path] = []
    run_flow(Path("build"), [Step("load", lambda out: seen.append(out.parent))])
    assert seen == [tmp_path / "build"]


def test_same_request_gives_the_same_bytes_in_any_folder(tmp_path: Path) -> None:
    Recipe().run(tmp_path / "a")
    time.sleep(0.01)
    Recipe().run(tmp_path / "elsewhere" / "b")
    assert tree(tmp_path / "a") == tree(tmp_path / "elsewhere" / "b")


def test_second_run_does_nothing(tmp_path: Path) -> None:
    recipe = Recipe()
    assert recipe.run(tmp_path) == ["load", "lower", "board", "emit"]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/**/*")}
    assert recipe.run(tmp_path) == []
    assert recipe.states == [(name, "skipped") for name in ("load", "lower", "board", "emit")]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/**/*")} == before


def test_events_tell_position_and_time(tmp_path: Path) -> None:
    events: list[StepEvent] = []
    begin = time.monotonic()
    run_flow(tmp_path, [Step("nap", lambda out: time.sleep(0.05))], on_event=events.append)
    took = time.monotonic() - begin
    running, done = events
    assert running == StepEvent("nap", 1, 1, "running", 0.0)
    assert (done.name, done.index, done.total, done.state) == ("nap", 1, 1, "done")
    assert 0.05 <= done.seconds <= took


def test_changed_key_runs_the_step_and_what_depends_on_it(tmp_path: Path) -> None:
    recipe = Recipe()
    recipe.run(tmp_path / "a")
    recipe.fold = "4"
    assert recipe.run(tmp_path / "a") == ["emit"]
    recipe.source = b"six"
    assert recipe.run(tmp_path / "a") == ["load", "lower", "emit"]
    recipe.run(tmp_path / "b")
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_same_output_after_a_changed_key_stops_there(tmp_path: Path) -> None:
    recipe = Recipe()
    recipe.run(tmp_path)
    recipe.source = b"five "  # the key differs, the stripped output does not
    assert recipe.run(tmp_path) == ["load"]


def damage_truncate(step: Path) -> None:
    (step / "deep/er/ir.bin").write_bytes(b"ir o")


def damage_edit(step: Path) -> None:
    (step / "deep/er/ir.bin").write_bytes(b"ir of nine")


def damage_remove(step: Path) -> None:
    (step / "deep/er/ir.bin").unlink()


def damage_rename(step: Path) -> None:
    (step / "deep/er/ir.bin").rename(step / "deep/er/ri.bin")


def damage_add(step: Path) -> None:
    (step / "extra").write_bytes(b"")


def damage_empty_folder(step: Path) -> None:
    (step / "empty").rmdir()


def damage_link(step: Path) -> None:
    (step / "deep/er/ir.bin").rename(step.parent / "kept")
    (step / "deep/er/ir.bin").symlink_to(step.parent / "kept")


def damage_stamp(step: Path) -> None:
    (step / STAMP).write_bytes((step / STAMP).read_bytes()[:20])


def damage_no_stamp(step: Path) -> None:
    (step / STAMP).unlink()


def damage_into_file(step: Path) -> None:
    for path in sorted(step.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    step.rmdir()
    step.write_text("not a folder")


@pytest.mark.parametrize(
    "damage",
    [
        damage_truncate,
        damage_edit,
        damage_remove,
        damage_rename,
        damage_add,
        damage_empty_folder,
        damage_link,
        damage_stamp,
        damage_no_stamp,
        damage_into_file,
    ],
)
def test_damaged_step_is_run_again_and_only_it(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    recipe = Recipe()
    recipe.run(tmp_path)
    before = tree(tmp_path)
    damage(tmp_path / "02-lower")
    assert tree(tmp_path) != before
    assert recipe.run(tmp_path) == ["lower"]
    (tmp_path / "kept").unlink(missing_ok=True)
    assert tree(tmp_path) == before


def test_to_stops_early_and_the_rest_follows_later(tmp_path: Path) -> None:
    recipe = Recipe()
    assert recipe.run(tmp_path / "a", to="lower") == ["load", "lower"]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        MARKER,
        ".lock",
        "01-load",
        "02-lower",
    ]
    assert recipe.run(tmp_path / "a") == ["board", "emit"]
    recipe.run(tmp_path / "b")
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_to_keeps_later_steps_and_judges_them_when_reached(tmp_path: Path) -> None:
    recipe = Recipe()
    recipe.run(tmp_path)
    recipe.source = b"six"
    assert recipe.run(tmp_path, to="lower") == ["load", "lower"]
    assert (tmp_path / "04-emit" / "top.v").read_bytes() == b"ir of five2"
    assert recipe.run(tmp_path) == ["emit"]
    assert (tmp_path / "04-emit" / "top.v").read_bytes() == b"ir of six2"


def test_total_counts_only_the_steps_of_this_run(tmp_path: Path) -> None:
    events: list[StepEvent] = []
    folders = run_flow(tmp_path, Recipe().steps(), "lower", events.append)
    assert {(event.index, event.total) for event in events} == {(1, 2), (2, 2)}
    assert list(folders) == ["load", "lower"]


def test_steps_of_an_earlier_list_are_removed(tmp_path: Path) -> None:
    first, second, third, last = Recipe().steps()
    run_flow(tmp_path / "a", [third, first, second, last])
    Recipe().run(tmp_path / "a")
    Recipe().run(tmp_path / "b")
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_notes_of_the_user_in_a_build_folder_stay(tmp_path: Path) -> None:
    recipe = Recipe()
    recipe.run(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "09-own").mkdir()
    recipe.fold = "8"
    recipe.run(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert (tmp_path / "09-own").is_dir()


def test_needed_knows_only_what_was_run(tmp_path: Path) -> None:
    def action(out: Path) -> None:
        needed(out, "lower")

    with pytest.raises(ValueError, match=r"^no step 'lower' was run before 01-load$"):
        run_flow(tmp_path, [Step("load", action)])


@pytest.mark.parametrize(
    ("steps", "text"),
    [
        ([Step("a", print), Step("a", print)], "step name 'a' is illegal or used twice"),
        ([Step("../a", print)], "step name '../a' is illegal or used twice"),
        (
            [Step("a", print, ("b",)), Step("b", print)],
            "step 'a' needs ('b',), not all of which come before it",
        ),
    ],
)
def test_wrong_lists_of_steps(tmp_path: Path, steps: list[Step], text: str) -> None:
    with pytest.raises(ValueError) as caught:
        run_flow(tmp_path / "build", steps)
    assert str(caught.value) == text
    assert not (tmp_path / "build").exists()


# --- failing and being killed


@pytest.mark.parametrize(
    "problem",
    [ModelError("Conv_3: no"), KeyboardInterrupt(), ZeroDivisionError("bug"), OSError(errno.EACCES, "no")],
)
def test_failing_action_leaves_nothing_and_is_not_disguised(tmp_path: Path, problem: BaseException) -> None:
    recipe = Recipe()
    load = recipe.steps()[0]
    events: list[StepEvent] = []
    with pytest.raises(type(problem)) as caught:
        run_flow(tmp_path / "a", [load, failing(problem)], on_event=events.append)
    assert caught.value is problem
    assert [event.state for event in events] == ["running", "done", "running", "failed"]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [MARKER, ".lock", "01-load"]

    whole = Step("emit", lambda out: None, needs=("load",))
    run_flow(tmp_path / "a", [load, whole])
    assert recipe.ran == ["load"]
    run_flow(tmp_path / "b", [load, whole])
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_failing_again_removes_the_older_result(tmp_path: Path) -> None:
    load = Recipe().steps()[0]
    run_flow(tmp_path, [load, Step("emit", lambda out: None, needs=("load",), key="old")])
    with pytest.raises(ModelError):
        run_flow(tmp_path, [load, failing(ModelError("no"))])
    assert sorted(path.name for path in tmp_path.iterdir()) == [MARKER, ".lock", "01-load"]


HANGING = textwrap.dedent(
    """
    import sys, time
    from pathlib import Path
    from bnn2fpga.build.step_runner import Step, needed, run_flow

    build, log, hang = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])

    def note(name):
        with log.open("a") as file:
            file.write(name + "\\n")

    def load(out):
        note("load")
        (out / "model.bin").write_bytes(bytes(100_000))

    def lower(out):
        note("lower")
        (out / "ir.bin").write_bytes(bytes(5))
        if hang.exists():
            hang.unlink()
            time.sleep(600)
        (out / "ir.bin").write_bytes((needed(out, "load") / "model.bin").read_bytes())

    def emit(out):
        note("emit")
        (out / "top.v").write_text("module top; endmodule\\n")

    run_flow(build, [Step("load", load), Step("lower", lower, ("load",)), Step("emit", emit, ("lower",))])
    """
)


def test_killed_build_goes_on_where_it_was(tmp_path: Path) -> None:
    build, log, hang = tmp_path / "build", tmp_path / "log", tmp_path / "hang"
    command = [sys.executable, "-c", HANGING, str(build), str(log), str(hang)]
    hang.touch()
    process = subprocess.Popen(command)
    try:
        while hang.exists() and process.poll() is None:
            time.sleep(0.01)
        assert not hang.exists()
        assert refusal(build).startswith(f"output folder {build} is in use by another build; ")
    finally:
        process.kill()
        process.wait()
    names = sorted(path.name for path in build.iterdir())
    assert names == [MARKER, ".lock", ".tmp-02-lower", "01-load"]

    subprocess.run(command, check=True)
    assert log.read_text().split() == ["load", "lower", "lower", "emit"]
    subprocess.run([*command[:3], str(tmp_path / "whole"), *command[4:]], check=True)
    assert tree(build) == tree(tmp_path / "whole")


EVERYWHERE = textwrap.dedent(
    """
    import os, shutil, signal, sys
    from itertools import count
    from pathlib import Path
    from bnn2fpga.build.step_runner import Step, needed, run_flow

    root = Path(sys.argv[1])
    TOUCHES = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "fcntl.flock"}

    def steps(key):
        def load(out):
            (out / "sub").mkdir()
            (out / "sub" / "model.bin").write_bytes(key * 1000)

        def lower(out):
            (out / "ir.bin").write_bytes((needed(out, "load") / "sub/model.bin").read_bytes() + b"!")

        return [Step("load", load, key=key.hex()), Step("lower", lower, ("load",))]

    def tree(folder):
        return {str(p.relative_to(folder)): p.is_file() and p.read_bytes() for p in folder.rglob("*")}

    def killed(folder, after):
        '''Runs in a child that dies when it has touched the disk `after` times; whether it died.'''
        child = os.fork()
        if child:
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            assert code in (0, -signal.SIGKILL), code
            return code != 0
        left = count(after, -1)

        def hook(event, args):
            if event in TOUCHES and next(left) == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        run_flow(folder, steps(b"new"))
        os._exit(0)

    def died_at(start, after):
        '''Kills a build that starts from `start`, checks what is left, resumes it; whether it died.'''
        folder = root / "victim"
        shutil.rmtree(folder, ignore_errors=True)
        if start is not None:
            shutil.copytree(start, folder)
        died = killed(folder, after)
        for step in folder.glob("0*"):
            assert tree(step) in (tree(root / "old" / step.name), tree(root / "new" / step.name)), after
        run_flow(folder, steps(b"new"))
        assert tree(folder) == new, after
        return died

    run_flow(root / "old", steps(b"old"))
    run_flow(root / "new", steps(b"new"))
    new = tree(root / "new")
    for start in (None, root / "old"):
        points = 0
        while died_at(start, points):
            points += 1
        print(points)
    """
)


def test_killed_at_any_touch_of_the_disk(tmp_path: Path) -> None:
    run = subprocess.run([sys.executable, "-c", EVERYWHERE, str(tmp_path)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    fresh, rebuilt = (int(line) for line in run.stdout.split())
    assert fresh >= 12
    assert rebuilt > fresh


# --- folders that cannot be used


def test_unknown_step_makes_no_folder(tmp_path: Path) -> None:
    text = refusal(tmp_path / "build", to="lowr")
    assert text == "unknown step 'lowr'; steps: load, lower, board, emit"
    assert not (tmp_path / "build").exists()


def test_folder_of_somebody_else(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years")
    assert refusal(tmp_path) == (
        f"output folder {tmp_path} is not empty and holds no build of bnn2fpga; "
        "choose a new or an empty folder"
    )
    assert tree(tmp_path) == {"thesis.tex": b"years"}


def test_empty_folder_is_taken(tmp_path: Path) -> None:
    assert Recipe().run(tmp_path) == ["load", "lower", "board", "emit"]


@pytest.mark.parametrize("below", ["", "build", "deep/build"])
def test_file_in_the_way(tmp_path: Path, below: str) -> None:
    file = tmp_path / "file"
    file.write_text("keep")
    folder = file / below
    assert refusal(folder) == f"output folder {folder}: {file} is a file; choose another folder"
    assert file.read_text() == "keep"


def test_name_too_long(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 300)
    assert refusal(folder) == f"output folder {folder}: File name too long; choose another folder"


def test_link_to_nowhere(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    assert refusal(tmp_path / "link") == (
        f"output folder {tmp_path / 'link'}: File exists; choose another folder"
    )


@pytest.mark.parametrize(
    ("method", "number", "reason"),
    [
        ("mkdir", errno.EACCES, "Permission denied; choose another folder"),
        ("mkdir", errno.EROFS, "Read-only file system; choose another folder"),
        (
            "write_bytes",
            errno.ENOSPC,
            "No space left on device; free some space and run it again, the finished steps are kept",
        ),
        (
            "rename",
            errno.EDQUOT,
            "Disk quota exceeded; free some space and run it again, the finished steps are kept",
        ),
    ],
)
def test_disk_that_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, number: int, reason: str
) -> None:
    def refuse(self: Path, *args: object, **options: object) -> None:
        raise OSError(number, os.strerror(number), str(self))

    folder = tmp_path / "build"
    steps = (Step("load", lambda out: None),)
    with monkeypatch.context() as patched:
        patched.setattr(Path, method, refuse)
        assert refusal(folder, steps) == f"output folder {folder}: {reason}"
    assert not list(folder.glob(".tmp-*"))
    assert not list(folder.glob("01-load"))
    assert run_flow(folder, steps) == {"load": folder / "01-load"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_disk_that_fills_up_under_an_action(tmp_path: Path) -> None:
    load = Recipe().steps()[0]

    def action(out: Path) -> None:
        (out / "big.bin").symlink_to("/dev/full")
        (out / "big.bin").write_bytes(bytes(100_000))

    assert refusal(tmp_path, (load, Step("emit", action, ("load",)))) == (
        f"output folder {tmp_path}: No space left on device; free some space and run it again, "
        "the finished steps are kept"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [MARKER, ".lock", "01-load"]


def test_two_builds_at_once(tmp_path: Path) -> None:
    texts: list[str] = []
    run_flow(tmp_path, [Step("load", lambda out: texts.append(refusal(tmp_path)))])
    assert texts == [
        f"output folder {tmp_path} is in use by another build; let it end or choose another folder"
    ]
    assert Recipe().run(tmp_path) == ["load", "lower", "board", "emit"]


def test_failed_build_unlocks_the_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        run_flow(tmp_path, [Step("load", failing(ModelError("no")).action)])
    assert Recipe().run(tmp_path) == ["load", "lower", "board", "emit"]
