"""Where the data files that go with the package lie: inside it once installed, beside it in a checkout."""

import hashlib
from pathlib import Path
from typing import Final, Literal

from bnn2fpga.errors import BuildError

DataKind = Literal["boards", "hls_templates"]

_INSTALLED_NAME: Final[dict[DataKind, str]] = {"boards": "boards_data", "hls_templates": "hls_templates"}


def data_folder(kind: DataKind) -> Path:
    """The folder of the board files or of the templates; the one inside the package wins."""
    package = Path(__file__).resolve().parents[1]
    candidates = (package / _INSTALLED_NAME[kind], package.parent / kind)
    for folder in candidates:
        if folder.is_dir():
            return folder
    raise BuildError(
        f"the {kind} of bnn2fpga are missing, looked in {candidates[0]} and {candidates[1]}; install it again"
    )


def package_digest() -> str:
    """SHA-256 over the package's own sources and templates, so that a new version reuses no old result."""
    digest = hashlib.sha256()
    package = Path(__file__).parents[1]
    for root, pattern in ((package, "*.py"), (package, "*.cpp"), (data_folder("hls_templates"), "*.j2")):
        for path in sorted(root.rglob(pattern)):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
