"""Compiled files that are kept between runs, found by a digest of all that they were made from."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from platformdirs import user_cache_path

LIMIT = 1 << 30
"""Bytes that are kept; what was not used for longest goes first."""


def kept_folder() -> Path:
    """Where they lie: in the user's cache folder, such as ~/.cache/bnn2fpga."""
    return user_cache_path("bnn2fpga") / "compiled"


def make_or_copy(target: Path, parts: Iterable[bytes], make: Callable[[], None]) -> None:
    """`target` as `make` writes it; a copy where it was made before from the same `parts`.

    The parts are all that decides on the content: sources, the tool with its version, its flags. Where the
    folder cannot be written nothing is kept. Several processes may do this at once: a file is whole or not
    there.
    """
    digest = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()
    kept = kept_folder() / digest
    try:
        shutil.copy(kept, target)
        os.utime(kept)
        return
    except OSError:
        pass
    make()
    aside = kept.with_name(f"{digest}.{os.getpid()}")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(target, aside)
        aside.replace(kept)
        _forget(LIMIT)
    except OSError:
        with suppress(OSError):
            aside.unlink()


def kept_bytes() -> int:
    """What they take."""
    return sum(size for _, size, _ in _entries())


def clear_kept() -> int:
    """Removes all; the bytes that they took."""
    before = kept_bytes()
    shutil.rmtree(kept_folder(), ignore_errors=True)
    return before - kept_bytes()


def _forget(limit: int) -> None:
    """Removes those that were not used for longest until the others take `limit` bytes at most."""
    entries = sorted(_entries())
    total = sum(size for _, size, _ in entries)
    for _, size, path in entries:
        if total <= limit:
            return
        path.unlink(missing_ok=True)
        total -= size


def _entries() -> list[tuple[float, int, Path]]:
    """When they were last used, their bytes, where they are."""
    found = []
    for path in kept_folder().glob("*"):
        try:
            status = path.stat()
        except FileNotFoundError:  # another process has removed it
            continue
        found.append((status.st_mtime, status.st_size, path))
    return found


def folder_parts(folder: Path) -> list[bytes]:
    """Names and contents of a folder's files."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    names = [path.relative_to(folder).as_posix().encode() for path in files]
    return [*names, *(path.read_bytes() for path in files)]
