"""The gate's verdicts for the screen, for people who read Markdown and machines that read JUnit."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

if TYPE_CHECKING:
    from rivals.flows.gated import GateReport


def plain(report: GateReport) -> str:
    """A line per judge, and what it came to."""
    lines = [f"{one.judge}: {one.status.value}: {one.reason}" for one in report.verdicts]
    return "\n".join([*lines, f"{report.variant}: {report.status.value}"])


def markdown(report: GateReport) -> str:
    """A heading, a table with a line per judge, and the figures."""
    against = f" against {report.champion}" if report.champion else ""
    lines = [
        f"# Gate: {report.variant}{against}: {report.status.value}",
        "",
        "| judge | verdict | why |",
        "|---|---|---|",
    ]
    lines += [f"| {one.judge} | {one.status.value} | {_cell(one.reason)} |" for one in report.verdicts]
    figures = [
        f"| {one.judge} | {_cell(name)} | {value:.6g} |"
        for one in report.verdicts
        for name, value in one.figures.items()
    ]
    if figures:
        lines += ["", "| judge | figure | value |", "|---|---|---:|", *figures]
    return "\n".join(lines) + "\n"


def junit(report: GateReport) -> str:
    """One test case per judge, as CI systems show them: FAIL is a failure, ERROR an error, INCONCLUSIVE skipped."""
    kinds = {"fail": "failure", "error": "error", "inconclusive": "skipped"}
    told = [kinds.get(one.status.value, "") for one in report.verdicts]
    counts = " ".join(
        f'{name}="{told.count(kind)}"'
        for name, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped"))
    )
    lines = ['<?xml version="1.0" encoding="UTF-8"?>']
    lines.append(f'<testsuite name={quoteattr(f"rivals gate {report.variant}")} tests="{len(told)}" {counts}>')
    for one, kind in zip(report.verdicts, told, strict=True):
        lines.append(f"  <testcase classname={quoteattr(f'gate.{report.variant}')} name={quoteattr(one.judge)}>")
        if kind:
            lines.append(f"    <{kind} message={quoteattr(one.reason)}/>")
        else:
            lines.append(f"    <system-out>{escape(one.reason)}</system-out>")
        lines.append("  </testcase>")
    return "\n".join([*lines, "</testsuite>"]) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
