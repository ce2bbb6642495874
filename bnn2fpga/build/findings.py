"""What a check has found of a model: figures, levels and digests beside budgets and a baseline."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal
from xml.etree import ElementTree

from bnn2fpga.build.ladder import Level

Verdict = Literal["held", "moved", "broke", "new"]

MORE_IS_BETTER = {"accuracy", "reference", "fps"}
UNITS = {
    "accuracy": "%",
    "reference": "%",
    "fps": "frames/s",
    "luts": "LUT",
    "bram36": "block RAM",
    "latency_us": "us",
}
"""The figures, and what each counts."""


@dataclass(frozen=True)
class Finding:
    """One line of the result. `found`, `budget` and `baseline` are None where there is none."""

    name: str
    verdict: Verdict
    found: float | None
    budget: float | None
    baseline: float | None
    said: str

    @property
    def ok(self) -> bool:
        """Whether it does not fail the check."""
        return self.verdict != "broke"


@dataclass(frozen=True)
class Checked:
    """All findings; `measured` is what a baseline keeps, of a model whose levels are equal (`exact`)."""

    name: str
    findings: tuple[Finding, ...]
    measured: dict[str, Any]
    exact: bool

    @property
    def ok(self) -> bool:
        """Whether all held."""
        return all(finding.ok for finding in self.findings)

    @property
    def broken(self) -> tuple[Finding, ...]:
        """Those that did not hold."""
        return tuple(finding for finding in self.findings if not finding.ok)

    def as_json(self) -> str:
        """For other programs."""
        findings = [asdict(finding) for finding in self.findings]
        return json.dumps({"ok": self.ok, "findings": findings, "measured": self.measured}, indent=1) + "\n"

    def as_junit(self) -> str:
        """JUnit's XML, as CI servers show it: a test case a finding."""
        counts = {"tests": str(len(self.findings)), "failures": str(len(self.broken))}
        suite = ElementTree.Element("testsuite", {"name": f"bnn2fpga check {self.name}", **counts})
        for finding in self.findings:
            case = ElementTree.SubElement(
                suite, "testcase", {"classname": f"bnn2fpga.{self.name}", "name": finding.name}
            )
            if not finding.ok:
                ElementTree.SubElement(case, "failure", {"message": finding.said})
            else:
                ElementTree.SubElement(case, "system-out").text = finding.said
        ElementTree.indent(suite)
        return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def of_level(level: Level) -> Finding:
    """Of a level of the ladder."""
    said = f"{level.equal:,} of {level.frames:,} frames equal ({level.compared})"
    if level.difference and not level.ok:
        said += f"; first difference: {level.difference}"
    return Finding(
        f"{level.name} = {level.reference}", "held" if level.ok else "broke", level.equal, None, None, said
    )


def _number(value: float) -> str:
    """In digits, never as a power of ten."""
    return f"{value:,.0f}" if abs(value) >= 1e6 else f"{value:,g}"


def of_figure(
    name: str, found: float, budget: float | None, before: float | None, may_move: float
) -> Finding:
    """Of a measured figure; `before` is the baseline's, `may_move` in points, or in per cent of it."""
    more, unit = 1 if name in MORE_IS_BETTER else -1, UNITS[name]
    verdict: Verdict = "new" if budget is None and before is None else "held"
    said = f"{_number(found)} {unit}"
    if before is not None and found != before:
        points = unit == "%"
        room = may_move if points else may_move * before / 100
        verdict, said = "moved", f"{said}, was {_number(before)}"
        if more * (before - found) > room:
            verdict = "broke"
            said += f"; may get worse by {room:,.4g} {'points' if points else unit} at most"
    if budget is not None and more * (found - budget) < 0:
        verdict = "broke"
        said += f"; the budget is {_number(budget)} at {'least' if more > 0 else 'most'}"
    return Finding(name, verdict, found, budget, before, said)


def of_digests(measured: Mapping[str, Any], kept: Mapping[str, Any]) -> Iterator[Finding]:
    """Whether it is the same model, and whether the same model computes the same."""
    same = measured["model"] == kept["model"]
    said = "the file of the baseline" if same else "another file than the baseline's"
    yield Finding("model", "held" if same else "moved", None, None, None, said)
    if kept["outputs"] and "outputs" in measured:
        equal = measured["outputs"] == kept["outputs"]
        said = "every output as in the baseline" if equal else "outputs differ from the baseline's"
        verdict: Verdict = "held" if equal else "broke" if same else "moved"
        if verdict == "broke":
            said += ", though the model is the same; are the data the same?"
        yield Finding("outputs", verdict, None, None, None, said)
