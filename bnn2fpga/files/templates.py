"""Fills in the templates of hls_templates/; knows values, not designs."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError

from bnn2fpga.errors import BuildError
from bnn2fpga.files.package_data import data_folder

COPY_LOADS = 32
"""Inputs that a register of the SystemVerilog drives before it gets a copy: more make for a slow wire."""


def _table(values: Any, *shape: int) -> str:
    """A C initializer of nested braces; `shape` folds a flat array first."""
    nested = np.asarray(values).reshape(shape).tolist() if shape else values

    def braces(value: Any) -> str:
        if isinstance(value, list):
            return "{" + ",".join(map(braces, value)) + "}"
        return f"{value}ULL" if value >= 1 << 63 else f"{value}"

    return braces(nested)


def _native(bits: int) -> str:
    """The unsigned C integer of 8, 16, 32 or 64 bits."""
    return {8: "unsigned char", 16: "unsigned short", 32: "unsigned", 64: "unsigned long long"}[bits]


def _c_int(*things: Any) -> str:
    """The signed C integer that holds all `things`: numbers, arrays of them, types with `low` and `high`."""
    ends = [
        end
        for thing in things
        for end in ((thing.low, thing.high) if hasattr(thing, "low") else np.ravel(thing).tolist())
    ]
    return "int" if all(-(1 << 31) <= end < 1 << 31 for end in ends) else "long long"


def _index_bits(count: int) -> int:
    """Bits of a counter from 0 to count - 1."""
    return max(1, (count - 1).bit_length())


def _copies(loads: int) -> int:
    """Registers of one bit for so many inputs; each drives COPY_LOADS of them at most."""
    return max(1, -(-loads // COPY_LOADS))


def _literal(value: int, bits: int) -> str:
    """A sized hexadecimal constant of SystemVerilog, two's complement."""
    return f"{bits}'h{value & ((1 << bits) - 1):x}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(data_folder("hls_templates")),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=lambda name: (name or "").endswith((".html.j2", ".svg.j2")),
    )
    environment.filters |= {
        "table": _table,
        "native": _native,
        "c_int": _c_int,
        "index_bits": _index_bits,
        "copies": _copies,
        "literal": _literal,
    }
    return environment


def render(template: str, **values: object) -> str:
    """`template` of hls_templates/ filled in; a BuildError names the template and the missing value."""
    try:
        return _environment().get_template(template).render(values)
    except TemplateError as error:
        raise BuildError(f"template {template}: {error}") from error
