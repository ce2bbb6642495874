"""Python packages, by their installed version."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def package_version(name: str) -> str:
    """Of an installed Python package; empty without it."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
