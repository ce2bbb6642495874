"""Generated files as one value."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


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

    def write(self, folder: Path) -> None:
        """Writes every file below `folder`, making folders as needed."""
        for name, text in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
