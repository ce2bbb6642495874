"""The command for pipelines: check."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape
from rich.table import Table

from bnn2fpga.cli.terminal import command, out
from bnn2fpga.errors import ConfigError, MismatchError
from bnn2fpga.files.writing import check_writable, write_whole

if TYPE_CHECKING:
    from bnn2fpga.build.findings import Checked

MARKS = {"held": "[green]✓[/]", "moved": "[yellow]~[/]", "broke": "[bold red]✗[/]", "new": "[dim]·[/]"}


@command(
    "Look at a model",
    "bnn2fpga check",
    "bnn2fpga check --update-baseline",
    "bnn2fpga check tfc.toml --junit check.xml --annotate github",
)
def check(
    settings: Annotated[
        Path, typer.Argument(help="Model, data, budgets and baseline; paths in it are relative to it.")
    ] = Path("bnn2fpga.toml"),
    junit: Annotated[Path | None, typer.Option(help="Write JUnit's XML for the CI server.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write all findings as JSON.")] = None,
    update_baseline: Annotated[
        bool, typer.Option("--update-baseline", help="What is measured becomes the baseline.")
    ] = False,
    annotate: Annotated[
        Literal["github", "gitlab"] | None,
        typer.Option(help="Print what broke once more, in the form that this server marks."),
    ] = None,
) -> None:
    """Checks a model against its budgets and its baseline: exit code 0 if all held, 4 if not.

    Every level is compared on some frames; accuracy, agreement with a reference, frames a second, LUTs, block
    RAM and latency are measured, compared with what SETTINGS allow, and with the baseline. No hardware and no
    vendor tool is needed.
    """
    from bnn2fpga.build.check import CheckConfig
    from bnn2fpga.build.check import check as check_model
    from bnn2fpga.files.settings import read_settings

    for file in (junit, json):
        if file is not None:
            check_writable(file)
    if not settings.exists():
        raise ConfigError(
            f'{settings}: No such file or directory; write one: a line model = "model.onnx", then a table '
            "[budget] with fps = 1000 or another figure"
        )
    config = read_settings(settings, CheckConfig).beside(settings.parent)
    checked = check_model(config, update_baseline)
    out.print(_table(checked))
    if junit:
        write_whole(junit, checked.as_junit())
    if json:
        write_whole(json, checked.as_json())
    if update_baseline:
        kept = "written" if checked.exact else "not written, as levels differ"
        out.print(f"baseline {kept}: {config.baseline}")
    for finding in checked.broken if annotate else ():
        start = f"::error file={settings},title=bnn2fpga check::" if annotate == "github" else "ERROR: "
        out.print(f"{start}{finding.name}: {finding.said}", markup=False, soft_wrap=True)
    if not checked.ok:
        count, names = len(checked.broken), ", ".join(finding.name for finding in checked.broken)
        raise MismatchError(f"{checked.name}: {count} of {len(checked.findings)} broke: {names}")


def _table(checked: Checked) -> Table:
    table = Table("", "what", "found", box=None, header_style="bold", padding=(0, 1, 0, 0))
    for finding in checked.findings:
        table.add_row(MARKS[finding.verdict], finding.name, escape(finding.said))
    return table
