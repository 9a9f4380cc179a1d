"""Where builds come from: the verbs ``reproduce``, ``diff`` and ``lineage``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rivals.app.verb import Call, verb

if TYPE_CHECKING:
    from rivals.flows.provenance import Difference, Rows
    from rivals.flows.reproduce import Reproduced

Run = Annotated[str, typer.Argument(help="A variant (its newest build), or digits of its wish, bundle or MLflow run.")]


def add_to(app: typer.Typer) -> None:
    """Give ``app`` these verbs."""
    for one in (reproduce, diff, lineage):
        verb(app)(one)


def reproduce(call: Call, run: Run) -> None:
    """Build a past run again, from its commit, and compare its predictions to the last bit. Exit 1: they differ."""
    from rivals.flows.reproduce import reproduce as again

    found = again(call.workspace, run)
    call.show(found, _reproduced(found))
    if not found.same:
        raise typer.Exit(1)


def diff(call: Call, first: Run, second: Run) -> None:
    """Say what two builds differ in: code, configuration, environment, data, metrics, and row by row."""
    from rivals.flows.provenance import differ

    found = differ(call.workspace, first, second)
    call.show(found, _difference(found))


def lineage(call: Call, variant: Annotated[str, typer.Argument(help="Only this one.")] = "") -> None:
    """Show for every build its run, commit, data version, rollouts and live score, side by side."""
    from rivals.flows.provenance import lineage_of

    found = lineage_of(call.workspace, variant)
    call.show(found, "\n".join(one.sentence for one in found) or "Nothing was built yet.")


def _reproduced(found: Reproduced) -> str:
    if found.same:
        return f"{found.build}: {found.rows.count:,} predictions, the same to the last bit ({found.hashes[0][:12]})."
    why = "".join(f"\n  {one}" for one in found.differs) or "\n  nothing that is written down; is all of it seeded?"
    return f"{found.build}: {_rows(found.rows)}\nwhat was not the same:{why}"


def _difference(found: Difference) -> str:
    lines = [f"{found.first} -> {found.second}"]
    for name in ("code", "config", "environment", "data"):
        part = getattr(found, name)
        lines += [f"{name}:" + ("" if part else " the same"), *(f"  {one}" for one in part)]
    lines.append("metrics:")
    lines += [f"  {name}: {_number(one)} -> {_number(other)}" for name, (one, other) in found.metrics.items()]
    lines.append(f"rows: {_rows(found.rows)}")
    for row in found.rows.top:
        lines.append(f"  {row.id}: {' '.join(map(_number, row.first))} -> {' '.join(map(_number, row.second))}")
    return "\n".join(lines)


def _rows(rows: Rows) -> str:
    said = (
        f"{rows.differ:,} of {rows.count:,} predictions differ, by {rows.mean:.3g} on average, {rows.most:.3g} at most"
    )
    if rows.flips:
        said += f"; {rows.flips:,} take another label"
    if any(rows.only):
        said += f"; {rows.only[0]:,} rows are in the first alone, {rows.only[1]:,} in the second"
    return said


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"
