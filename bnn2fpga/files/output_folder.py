"""A folder that is ours to write: claimed, locked, and blamed where it cannot be written."""

import contextlib
import errno
import fcntl
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from bnn2fpga.errors import ConfigError

MARKER: Final = ".bnn2fpga"
"""An empty file that says: this folder is a build, its steps may be replaced."""
_LOCK: Final = ".lock"
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)


def claim(folder: Path) -> BinaryIO:
    """Makes the folder ours and locks it; closing what is given, or the end of the process, unlocks it."""
    with blaming(folder):
        there = next(path for path in (folder, *folder.parents) if path.exists())
        if not there.is_dir():
            raise ConfigError(f"output folder {folder}: {there} is a file; choose another folder")
        folder.mkdir(parents=True, exist_ok=True)
        names = {path.name for path in folder.iterdir()}
        if names and MARKER not in names:
            raise ConfigError(
                f"output folder {folder} is not empty and holds no build of bnn2fpga; "
                "choose a new or an empty folder"
            )
        (folder / MARKER).touch()
        lock = (folder / _LOCK).open("wb")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise ConfigError(
                f"output folder {folder} is in use by another build; let it end or choose another folder"
            ) from None
        return lock


@contextlib.contextmanager
def blaming(folder: Path, only: Collection[int] = ()) -> Iterator[None]:
    """Turns an OSError (of the given numbers, or any) into a ConfigError about the folder."""
    try:
        yield
    except OSError as problem:
        if only and problem.errno not in only:
            raise
        advice = "choose another folder"
        if problem.errno in _NO_ROOM:
            advice = "free some space and run it again, the finished steps are kept"
        raise ConfigError(f"output folder {folder}: {problem.strerror or problem}; {advice}") from problem
