"""What a build is asked for, as build.toml keeps it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import Field

from bnn2fpga.build.choices import Source
from bnn2fpga.build.compiler import Options
from bnn2fpga.tools.amd import Vivado
from bnn2fpga.tools.openxc7 import OpenXC7

HOW = {"flow", "source", "vivado", "openxc7"}
"""Settings that change nothing before the flow's own steps, but that openxc7 has limits for the step fold."""


class BuildConfig(Options):
    """A build as it is kept in build.toml: `bnn2fpga build build.toml` repeats it.

    `data` are frames (and labels) to verify with, each divided by `divide`; without it, `frames`
    random ones are used. `source` is a choice within the flow vivado. The tables [vivado] and [openxc7] say
    where the tools of the flows of these names lie.
    """

    model: Path
    data: Path | None = None
    divide: float = 1.0
    frames: int = Field(default=64, ge=1)
    source: Source = "hls"
    vivado: Vivado = Vivado()
    openxc7: OpenXC7 = OpenXC7()

    def to_toml(self, whole: bool = False) -> str:
        """The configuration as TOML; values that are None are left out.

        Flow, source and tools are there only in the `whole`: another seed of the placer is no reason to
        verify again, so what the first step writes must not name them.
        """
        values = self.model_dump(mode="json", exclude_none=True, exclude=HOW)
        if not whole:
            return _lines(values)
        tables = (("vivado", self.vivado), ("openxc7", self.openxc7))
        return _lines(values | {"flow": self.flow, "source": self.source}) + "".join(
            f"[{name}]\n{_lines(tools.model_dump(mode='json', exclude_none=True))}" for name, tools in tables
        )


def _lines(values: dict[str, Any]) -> str:
    """A table of TOML; JSON writes strings, numbers and truth values the same."""
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())
