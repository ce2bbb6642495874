"""Files that are whole or not there."""

from __future__ import annotations

from pathlib import Path

from bnn2fpga.errors import ConfigError
from bnn2fpga.files.output_folder import blaming


def write_whole(path: Path, content: bytes | str) -> None:
    """Writes aside, then moves into place, text as UTF-8; a ConfigError if it cannot, nothing left aside."""
    _check_kind(path)
    aside = _aside(path)
    with blaming(path, what="file"):
        try:
            aside.write_bytes(content.encode() if isinstance(content, str) else content)
            aside.replace(path)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise


def check_writable(path: Path) -> None:
    """A ConfigError where a file cannot be written that something else will write later."""
    _check_kind(path)
    with blaming(path, what="file"):
        _aside(path).touch()
        _aside(path).unlink()


def _check_kind(path: Path) -> None:
    """A device or a pipe is not replaced by a file."""
    if path.exists() and not path.is_file():
        reason = "Is a directory" if path.is_dir() else "Is no regular file"
        raise ConfigError(f"output file {path}: {reason}; choose another file")


def _aside(path: Path) -> Path:
    return path.with_name(f".tmp-{path.name}")
