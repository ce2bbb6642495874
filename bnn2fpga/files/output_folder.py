"""A folder that is ours to write: claimed, locked, and blamed where it cannot be written."""

import contextlib
import errno
import fcntl
import os
import shutil
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
        _own_file(folder / MARKER).close()
        lock = _own_file(folder / _LOCK)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise ConfigError(
                f"output folder {folder} is in use by another build; let it end or choose another folder"
            ) from None
        return lock


def _own_file(path: Path) -> BinaryIO:
    """Opens a file of ours, made if need be and never emptied; an OSError where a link stands instead."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666), "r+b")


@contextlib.contextmanager
def blaming(output: Path, only: Collection[int] = (), what: str = "folder") -> Iterator[None]:
    """Turns an OSError (of the given numbers, or any) into a ConfigError about an output folder or file."""
    try:
        yield
    except OSError as problem:
        number = problem.errno
        if isinstance(problem, shutil.Error):  # of a folder that was copied: all that went wrong, in words
            number = next((code for code in _NO_ROOM if f"[Errno {code}]" in str(problem)), None)
        if only and number not in only:
            raise
        advice = f"choose another {what}"
        if number in _NO_ROOM:
            advice = "free some space and run it again, the finished steps are kept"
        if number == errno.ELOOP:
            advice = f"{problem.filename} is a link, remove it"
        reason = problem.strerror or (os.strerror(number) if number else problem)
        raise ConfigError(f"output {what} {output}: {reason}; {advice}") from problem
