"""Runs a build as a list of steps, one folder each, so that it can be stopped or killed and go on later.

A step is filled aside (`.tmp-03-lower`), stamped, then renamed to `03-lower`, so a folder of that name is
always whole. The stamp holds a digest of what the step depends on (its name, its key, the files that the
steps it needs produced) and a digest of the files that it produced. A step runs again when either differs
from what is found; one that produces the same files as before leaves the steps after it valid.

No time, host or path enters a stamp: the same request gives the same bytes in any folder.
"""

import hashlib
import json
import re
import shutil
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from bnn2fpga.errors import ConfigError
from bnn2fpga.files.output_folder import _NO_ROOM, blaming, claim

STAMP: Final = "stamp.json"
"""Written into each finished step folder; an action must not use this name."""
ASIDE: Final = ".tmp-"
"""Before the name of a folder that its step still fills."""


@dataclass(frozen=True)
class Step:
    """One part of a build; `action` fills the fresh empty folder that it is given.

    `key` is a text that changes whenever the step must run again although the steps in `needs` produced the
    same files: its options, a digest of the files it reads from elsewhere, versions of tools.
    """

    name: str
    action: Callable[[Path], None]
    needs: tuple[str, ...] = ()
    key: str = ""


@dataclass(frozen=True)
class StepEvent:
    """Progress: step `index` (from 1) of `total`; `seconds` is what the action took, 0 before it ended."""

    name: str
    index: int
    total: int
    state: Literal["running", "done", "skipped", "failed"]
    seconds: float = 0.0


def run_flow(
    folder: Path,
    steps: Sequence[Step],
    to: str | None = None,
    on_event: Callable[[StepEvent], None] | None = None,
) -> dict[str, Path]:
    """Brings the steps up to date in order, up to and with `to`; gives their folders by name.

    Folders of steps after `to`, or after one that failed, are left as they are and judged when reached.
    Numbered folders that an earlier list of steps left behind are removed.
    """
    _check(steps)
    names = [step.name for step in steps]
    if to is not None and to not in names:
        raise ConfigError(f"unknown step {to!r}; steps: {', '.join(names)}")
    folder = folder.absolute()
    places = {name: folder / f"{number:02}-{name}" for number, name in enumerate(names, 1)}
    total = len(steps) if to is None else names.index(to) + 1
    say = on_event or (lambda event: None)
    outputs: dict[str, str] = {}
    with claim(folder):
        _clean(folder, places.values())
        for index, step in enumerate(steps[:total], 1):
            inputs = _digest([step.name, step.key, [[need, outputs[need]] for need in step.needs]])
            event = StepEvent(step.name, index, total, "running")
            outputs[step.name] = _bring_up(step, places[step.name], inputs, event, say)
    return {name: places[name] for name in outputs}


def needed(own: Path, name: str) -> Path:
    """The folder of the earlier step `name`, seen from the folder that an action fills."""
    found = [path for path in own.parent.iterdir() if re.fullmatch(rf"\d+-{re.escape(name)}", path.name)]
    if len(found) != 1:
        raise ValueError(f"no step {name!r} was run before {own.name.removeprefix(ASIDE)}")
    return found[0]


def _bring_up(
    step: Step, place: Path, inputs: str, event: StepEvent, say: Callable[[StepEvent], None]
) -> str:
    """Skips or runs one step; gives the digest of its files."""
    outputs = _valid_outputs(step, place, inputs)
    if outputs is not None:
        say(replace(event, state="skipped"))
        return outputs
    say(event)
    start = time.monotonic()
    try:
        outputs = _fill(step, place, inputs)
    except BaseException:
        say(replace(event, state="failed", seconds=time.monotonic() - start))
        raise
    say(replace(event, state="done", seconds=time.monotonic() - start))
    return outputs


def _fill(step: Step, place: Path, inputs: str) -> str:
    folder, aside = place.parent, place.with_name(ASIDE + place.name)
    try:
        with blaming(folder):
            if place.exists() or place.is_symlink():
                _remove(place)
            aside.mkdir()
        with blaming(folder, only=_NO_ROOM):
            step.action(aside)
        with blaming(folder):
            outputs = _digest_of_files(aside)
            (aside / STAMP).write_bytes(_stamp(step, inputs, outputs))
            aside.rename(place)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    return outputs


def _valid_outputs(step: Step, place: Path, inputs: str) -> str | None:
    """The digest of the files that the step produced, if they are those its stamp was made for."""
    try:
        stamp = (place / STAMP).read_bytes()
        outputs = _digest_of_files(place)
    except OSError:
        return None
    return outputs if stamp == _stamp(step, inputs, outputs) else None


def _stamp(step: Step, inputs: str, outputs: str) -> bytes:
    return json.dumps({"step": step.name, "inputs": inputs, "outputs": outputs}, indent=1).encode() + b"\n"


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _digest_of_files(folder: Path) -> str:
    """Over the name, kind and content of everything in the folder but its stamp."""
    entries: list[tuple[str, str, str]] = []
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            entries.append((name, "link", str(path.readlink())))
        elif path.is_dir():
            entries.append((name, "folder", ""))
        elif name != STAMP:
            with path.open("rb") as file:
                entries.append((name, "file", hashlib.file_digest(file, "sha256").hexdigest()))
    return _digest(sorted(entries))


def _check(steps: Sequence[Step]) -> None:
    seen: set[str] = set()
    for step in steps:
        if not re.fullmatch(r"[a-z][a-z0-9_-]*", step.name) or step.name in seen:
            raise ValueError(f"step name {step.name!r} is illegal or used twice")
        if not seen.issuperset(step.needs):
            raise ValueError(f"step {step.name!r} needs {step.needs}, not all of which come before it")
        seen.add(step.name)


def _clean(folder: Path, places: Collection[Path]) -> None:
    """Removes what a killed run left aside, and stamped steps that are no longer in the list."""
    with blaming(folder):
        for path in list(folder.iterdir()):
            stale = re.match(r"\d+-", path.name) and path not in places and (path / STAMP).exists()
            if path.name.startswith(ASIDE) or stale:
                _remove(path)


def _remove(path: Path) -> None:
    """Renames before deleting, so that a kill midway leaves no half of a step under its name."""
    if not path.name.startswith(ASIDE):
        path = path.rename(path.with_name(f"{ASIDE}old-{path.name}"))
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
