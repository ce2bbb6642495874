"""report.json: what the pages of a report are made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bnn2fpga.errors import ConfigError
from bnn2fpga.files.templates import render

REPORT = "report.json"
"""What the pages of a report are made of."""
FORMAT = 2
"""Of report.json; a page is only rendered from the format that it was written for."""


def read_report(path: Path) -> dict[str, Any]:
    """The facts in a report.json, or a ConfigError."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path}: no report to read ({reason}); build the model first") from error
    found = facts.get("format") if isinstance(facts, dict) else None
    if found != FORMAT:
        raise ConfigError(
            f"{path}: a report of format {found!r}, not {FORMAT}, as another version of bnn2fpga writes it; "
            "build again, steps that did not change are kept"
        )
    return facts


def markdown(facts: Mapping[str, Any]) -> str:
    """The report as a page to read."""
    return render("report.md.j2", **facts)
