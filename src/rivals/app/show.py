"""Values as text for people: aligned columns, plain where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

if TYPE_CHECKING:
    from rivals.decide.audit import Audit
    from rivals.decide.compare import Leaderboard
    from rivals.decide.disagreement import Disagreement
    from rivals.flows.certify import Certificate
    from rivals.flows.events import BuildEvent, BuildReport
    from rivals.flows.replay import Replayed
    from rivals.flows.worth import Worth


class BuildDisplay:
    """What is being built right now: a live table on a terminal, a line per event elsewhere."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._console = Console(stderr=True)
        self._events: dict[str, tuple[str, float, str]] = {}
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if not self._quiet and self._console.is_terminal:
            self._live = Live(get_renderable=self._table, console=self._console, refresh_per_second=4)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def update(self, event: BuildEvent) -> None:
        """Show one event."""
        self._events[event.variant] = (event.state, time.monotonic(), event.message)
        if not self._quiet and self._live is None:
            self._console.print(
                f"{event.variant}: {event.state} {event.message}".rstrip(), highlight=False, markup=False
            )

    def _table(self) -> Table:
        table = Table("variant", "state", "seconds", "", box=None)
        for name, (state, since, message) in self._events.items():
            running = f"{time.monotonic() - since:.0f}" if state == "running" else ""
            table.add_row(name, state, running, message)
        return table


def columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows as aligned text; the first column leans left, the others right."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]

    def line(row: Sequence[str]) -> str:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        return "  ".join(cells).rstrip()

    return "\n".join([line(head), *(line(row) for row in rows)])


def built_table(report: BuildReport) -> str:
    """Every variant with its score, seconds and size; the failed ones with their reason."""
    names = list(next(iter(report.trained), None).scores.metrics) if report.trained else []  # type: ignore[union-attr]  # guarded
    rows = [
        [
            one.variant,
            *(f"{one.scores.metrics[name]:.4f}" for name in names),
            f"{one.fit_seconds:.1f} s",
            f"{one.predict_us:.0f} us",
            f"{one.bytes / 1024:.0f} kB",
            one.runtime,
            f"{one.parity:.0e}",
            "kept" if one.variant in report.kept else "built",
        ]
        for one in report.trained
    ]
    text = columns(["variant", *names, "fit", "one row", "size", "runtime", "parity", ""], rows) if rows else ""
    failed = "\n".join(f"{name}: failed: {why}" for name, why in report.failed.items())
    return "\n".join(filter(None, [text, failed, *report.notes]))


def leaderboard_table(board: Leaderboard) -> str:
    """Score, interval, tie group, verdict against the champion, and what it costs."""
    head = ["variant", board.metric, "95% interval", "tied", "against champion", "fit", "one row", "size"]
    rows = [
        [
            row.variant,
            f"{row.score:.5f}",
            f"[{row.low:.5f}, {row.high:.5f}]",
            "yes" if row.tied else "no",
            row.verdict,
            f"{row.fit_seconds:.1f} s",
            f"{row.predict_us:.0f} us",
            f"{row.bytes / 1024:.0f} kB",
        ]
        for row in board.rows
    ]
    return "\n".join([columns(head, rows), *board.apart])


def status_text(status: Mapping[str, Any]) -> str:
    """The endpoint in a few lines."""
    weights = ", ".join(f"{name} {weight:.0%}" for name, weight in status["weights"].items())
    lines = [f"{status['endpoint']}: revision {status['revision']}, champion {status['champion']} ({weights})"]
    if rollout := status["rollout"]:
        lines.append(
            f"rollout of {rollout['challenger']['variant']}: {rollout['phase']} {rollout['share']:.0%} "
            f"{rollout['reason']}".rstrip()
        )
        if rollout["verdict"]:
            lines.append(f"verdict: {rollout['verdict']['status']}: {rollout['verdict']['reason']}")
        lines += [
            f"beside it {one['challenger']['variant']}: {one['phase']} {one['share']:.0%} {one['reason']}".rstrip()
            for one in rollout["fellows"]
        ]
        if watch := rollout["watch"]:
            lines.append(f"watch of {watch['challenger']['variant']}: {watch['phase']} {watch['reason']}".rstrip())
    if learned := status["learned"]:
        shares = ", ".join(f"{name} {share:.1%}" for name, share in learned["weights"].items())
        figures = ", ".join(f"{name} {value:g}" for name, value in learned["figures"].items())
        lines.append(f"policy {learned['policy']}: {'; '.join(filter(None, [shares, figures]))}")
    if held := status["fences"]["holds"]:
        lines.append(held)
    for variant, counts in status["counts"].items():
        told = ", ".join(f"{name} {count}" for name, count in counts.items())
        scores = ", ".join(f"{name} {value:.4f}" for name, value in status["scores"].get(variant, {}).items())
        lines.append(f"{variant}: {told}{'; ' + scores if scores else ''}")
    return "\n".join(lines)


def replay_text(found: Sequence[Replayed]) -> str:
    """Each rollout with its steps; those of another policy beside them."""
    lines: list[str] = []
    for one in found:
        lines.append(f"{one.rollout}: {one.challenger} against {one.champion}. {_sentence(one.sentence)}".rstrip(". "))
        for who, steps in (("decided", one.decided), ("would", one.would)):
            for step in steps:
                beyond = " beyond the log" if step.beyond else ""
                lines.append(f"  {who:<7} {_when(step.time)}  {step.phase} {step.share:.0%}{beyond}: {step.reason}")
    return "\n".join(lines)


def worth_text(found: Worth) -> str:
    """A sentence, and every estimate beside what the log earned."""
    said = found.estimates
    rows = [[one.name, f"{one.value:.5g}", f"[{one.low:.5g}, {one.high:.5g}]"] for one in (said.logged, *said.found)]
    about = (
        f"{said.rows:,} units by {found.how}; effective {said.effective:,.0f}, "
        f"mean weight {said.weight:.3f}, largest {said.largest:,.1f}"
    )
    return "\n".join([found.sentence, columns(["", "value", "95% interval"], rows), about])


def disagreement_text(found: Disagreement) -> str:
    """A line for all rows and one for each slice."""
    head = ["where", "rows", "differ", "mean", "largest", f"{found.champion} right", f"{found.challenger} right"]
    rows = [
        [
            one.where,
            f"{one.rows}",
            f"{one.share:.1%}",
            f"{one.mean:.4f}",
            f"{one.largest:.4f}",
            f"{one.champion_right} of {one.labelled}",
            f"{one.challenger_right} of {one.labelled}",
        ]
        for one in found.parts
    ]
    return columns(head, rows)


def history_text(entries: Sequence[Mapping[str, Any]]) -> str:
    """One line per ledger entry."""
    lines = []
    for entry in entries:
        body = entry["body"]
        day = _when(entry["time"])
        what = " ".join(str(body[key]) for key in ("challenger", "phase") if body.get(key))
        why = body.get("reason") or (body.get("verdict") or {}).get("reason", "")
        by = f"by {body['by']}" if body.get("by") else ""
        told = "  ".join(filter(None, [entry["kind"], what, by, why]))
        lines.append(f"{entry['seq']:>5}  {day}  {told}")
    return "\n".join(lines) or "Nothing was decided yet."


def explain_text(why: Mapping[str, Any]) -> str:
    """Why one request went where it went, in sentences."""
    table = why["table"]
    lines = [
        f"{why['id']} was answered by {why['answered_by']} ({why['outcome']}, {why['latency_us']} us): {why['output']}"
    ]
    if table:
        weights = ", ".join(f"{name} {weight:.0%}" for name, weight in table["weights"].items())
        lines.append(
            f"revision {table['revision']} ({table['policy']}: {weights}); the unit {why['unit']!r} under salt "
            f"{table['salt']} falls on slot {table['slot']} of {table['slots']}"
        )
    odds = ", ".join(f"{name} {share:.2%}" for name, share in why["propensity"].items())
    lines.append(f"propensities at that moment: {odds}")
    lines.extend(f"asked in its shadow: {one['variant']}: {one['output']}" for one in why["shadows"])
    lines.append("its label has not come" if why["label"] is None else f"its label: {why['label']}")
    return "\n".join(lines)


def audit_text(audits: Sequence[Audit]) -> str:
    """One paragraph per rollout, the verdict first."""
    return "\n\n".join("\n".join(_audit_lines(one)) for one in audits)


def _audit_lines(one: Audit) -> list[str]:
    lines = [f"{one.rollout}: {one.challenger} against {one.champion}: {one.status.value}. {_sentence(one.told)}"]
    if one.decided:
        lines.append(f"  it was decided to {one.decided}: {one.decision}")
    lines.append(
        f"  requests {one.requests[0]:,} and {one.requests[1]:,}; units judged {one.units[0]:,} and {one.units[1]:,}"
    )
    findings = {"split": one.split, "failures": one.failures, "quality": one.quality}
    for name, found in findings.items():
        if found:
            lines.append(f"  {name}: {found.status.value}; {found.told}{_log_e(found.figures)}")
    lines += [f"  trap, {trap.name}: {trap.told}" for trap in one.traps]
    return lines


EVIDENCE = ("mismatch", "harm", "noninferior", "better", "worse")  # of an audit's figures


def _log_e(figures: Mapping[str, float]) -> str:
    shown = [f"{name} {figures[name]:.1f}" for name in EVIDENCE if name in figures]
    return f" (log e: {', '.join(shown)})" if shown else ""


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def certificate_text(found: Certificate) -> str:
    """One line per kind of traffic, then whether all is as it should be."""
    lines = [f"{'traffic':29}{'requests':>10}{'times':>7}{'rolled back':>13}{'promoted':>10}{'found':>8}{'right':>8}"]
    lines += [
        f"{one.traffic:29}{one.requests:>10,}{one.ratio:>7.1f}{one.false_rollback:>13.1%}{one.false_promotion:>10.1%}"
        f"{one.power:>8.1%}{one.right:>8.1%}"
        for one in found.cells
    ]
    lines.append(
        f"{found.rollouts:,} rollouts each, alpha {found.alpha:.0%}. Rolled back: equals. Promoted: at the margin, "
        f"failing {1 + found.margin:g} times as often.\nFound: the harm of failing so many times as often; right: "
        "of the decisions then."
    )
    lines.append(f"{found.looks:,} looks retraced through the evidence and the judge of rollouts.")
    return "\n".join([*lines, *(found.faults or ["Every cell is within its bounds."])])


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds))
