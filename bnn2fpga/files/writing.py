"""Files that are whole or not there."""

from __future__ import annotations

from pathlib import Path

from bnn2fpga.files.output_folder import blaming


def write_whole(path: Path, content: bytes | str) -> None:
    """Writes aside, then moves into place, text as UTF-8; a ConfigError if it cannot, nothing left aside."""
    aside = path.with_name(f".tmp-{path.name}")
    with blaming(path, what="file"):
        try:
            aside.write_bytes(content.encode() if isinstance(content, str) else content)
            aside.replace(path)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
