"""The entrance for settings: TOML files and arguments become a frozen value, or one line with every fault."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from bnn2fpga.errors import ConfigError

LARGEST = 1 << 20
"""Bytes of a file of settings."""


class Table(BaseModel):
    """Frozen settings that are a part of others; no infinity, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def replaced(self, **values: Any) -> Self:
        """The same with other values; a ConfigError lists every fault."""
        kept = {name: getattr(self, name) for name in self.model_fields_set}
        try:
            return type(self)(**kept | values)
        except ValidationError as error:
            raise ConfigError(faults(error)) from error


class Settings(Table):
    """All of what is asked for; a ConfigError lists every fault."""

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigError(faults(error)) from error

    @classmethod
    def from_json(cls, text: str, path: Path) -> Self:
        """What `model_dump_json` wrote, read from `path`."""
        try:
            values = json.loads(text)
            return cls(**values)
        except (ValueError, TypeError, RecursionError, ConfigError) as error:
            raise ConfigError(f"{path}: {error}") from error


Kind = TypeVar("Kind", bound=Settings)


def faults(error: ValidationError) -> str:
    """Every fault by name, on one line."""
    return "; ".join(
        ": ".join(filter(None, (".".join(map(str, fault["loc"])), fault["msg"]))) for fault in error.errors()
    )


def read_settings(path: Path, kind: type[Kind]) -> Kind:
    """The TOML file `path` as a `kind`; a ConfigError that lists every fault."""
    table = read_toml(path)
    try:
        return kind(**table)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file; a ConfigError if it is none."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise ConfigError(f"{path}: more than {LARGEST:,} bytes; it is no file of settings")
        return tomllib.loads(content.decode())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: byte {error.start} is no UTF-8") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: not valid TOML: nested too deeply") from error
    except ValueError as error:  # tomllib's own, and numbers of too many digits
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
