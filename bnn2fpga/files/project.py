"""Generated files as one value."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bnn2fpga.errors import BuildError


@dataclass(frozen=True)
class Project:
    """Texts by relative path; equal projects have equal digests, whatever the machine or the day."""

    files: Mapping[str, str]

    @property
    def digest(self) -> str:
        """SHA-256 over names and contents, in hexadecimal."""
        digest = hashlib.sha256()
        for name, text in sorted(self.files.items()):
            for part in (name, text):
                data = part.encode()
                digest.update(len(data).to_bytes(8, "little") + data)
        return digest.hexdigest()

    def write_new(self, folder: Path) -> Path:
        """Writes into `folder`, which must be new or empty: all files or, on any failure, none."""
        aside = folder.with_name(f".{folder.name}.tmp")
        try:
            if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
                raise BuildError(f"{folder} is in use; choose a new or an empty folder")
            folder.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir()
            self.write(aside)
            aside.replace(folder)
        except OSError as error:
            shutil.rmtree(aside, ignore_errors=True)
            raise BuildError(f"{folder}: {error.strerror or error}; choose another folder") from error
        return folder

    def write(self, folder: Path) -> None:
        """Writes every file below `folder`, making folders as needed."""
        for name, text in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
