"""Pipelines of a project: their files, and what they say on the merge request."""

from __future__ import annotations

import math
import os
import shutil
import subprocess

from rivals import plugins
from rivals.ci.comments import comment, place_of
from rivals.ci.workflows import render
from rivals.decide.judges.slices import Slices
from rivals.errors import SpecError
from rivals.flows import deploy, images
from rivals.flows.asked import ask
from rivals.flows.pipeline import candidate, pipeline_of
from rivals.flows.workspace import Workspace
from rivals.protocols import Judge

WORST = 10  # slices that are shown


def init_pipeline(workspace: Workspace, provider: str) -> str:
    """Write the pipeline file beside the project file; where. Raises ``SpecError`` over one that is there."""
    name, text = render(provider, [one.name for one in workspace.spec.variants])
    file = workspace.folder / name
    if file.exists():
        raise SpecError(f"{file} is there already; remove it first.")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SpecError(f"{file} cannot be written: {error.strerror}.") from error
    return name


def build_image(workspace: Workspace, pipeline: str) -> str:
    """Build the image of what passed the gate; a sentence, which says SKIPPED where nothing here can build one."""
    variant = candidate(workspace, pipeline)
    if not variant:
        return "The change affects no variant: no image."
    if not _composes():
        return "SKIPPED: no image was built, for `docker compose` is not installed here."
    folder, use = workspace.state / "image" / pipeline, deploy.use_of("docker", ())
    deployment = deploy.deployment_of(workspace, variant)
    deploy.render(deployment, use, folder)
    images.fill(workspace, deployment, folder)
    deploy.apply(use, folder)
    return f"The image of {variant} is built, from {folder}."


def _composes() -> bool:
    """Whether images can be built; an engine that is there and does not answer is a fault, not a reason to skip."""
    words = ("docker", "compose", "version")
    return shutil.which(words[0]) is not None and not subprocess.run(words, capture_output=True, check=False).returncode  # noqa: S603 -- our own words


def report_pipeline(workspace: Workspace, pipeline: str) -> str:
    """What a pipeline found, as Markdown: leaderboard, verdicts, slices, cost."""
    known = pipeline_of(workspace, pipeline)
    asked = ask(workspace)
    board = asked.board().board
    lines = [
        f"## rivals: {workspace.spec.project}",
        "",
        f"Built anew: {', '.join(known.affected) or 'nothing'}. Recommended: {board.recommended}: {board.reason}",
        "",
        f"| variant | {board.metric} | interval | against {board.champion or 'nobody'} | fit | a row | size |",
        "|---|---:|---|---|---:|---:|---:|",
    ]
    for row in board.rows:
        told = f"{row.score:.5g} | {row.low:.5g} to {row.high:.5g} | {row.verdict}"
        cost = f"{row.fit_seconds:.1f} s | {row.predict_us:.0f} µs | {row.bytes / 1000:.0f} kB"
        lines.append(f"| {cell(row.variant)} | {told} | {cost} |")
    report = known.gate
    if report is None:
        return "\n".join([*lines, "", "The gate was not asked."]) + "\n"
    lines += [
        "",
        f"### Gate: {report.variant}: {report.status.value}",
        "",
        "| judge | verdict | why |",
        "|---|---|---|",
    ]
    lines += [f"| {one.judge} | {one.status.value} | {cell(one.reason)} |" for one in report.verdicts]
    return "\n".join([*lines, *_slices(workspace, report.variant)]) + "\n"


def comment_pipeline(markdown: str) -> str:
    """Put the report on the merge request that this pipeline runs for; a sentence."""
    place = place_of(os.environ)
    return "No merge request: no comment." if place is None else f"The comment is {comment(place, markdown)}."


def cell(text: str) -> str:
    """A text that stays in its cell."""
    return text.replace("|", "\\|").replace("\n", " ")


def _slices(workspace: Workspace, variant: str) -> list[str]:
    """The slices where the candidate is worst against the champion, of the columns that the gate judges."""
    judges = [plugins.make(Judge, use) for use in workspace.spec.gate if use.name == "slices"]
    asked, found = ask(workspace), []
    sign = 1.0 if asked.metric().lower_is_better else -1.0
    for column in [name for judge in judges if isinstance(judge, Slices) for name in judge.columns]:
        for one in asked.sliced(column):
            if one.variant == variant and not math.isnan(one.difference):
                line = f"| {cell(f'{column}={one.value}')} | {one.rows} | {one.difference:+.5f} | {one.verdict} |"
                found.append((-sign * one.difference, line))
    if not found:
        return []
    head = ["", "### Slices, the worst first", "", "| slice | rows | difference | verdict |", "|---|---:|---:|---|"]
    return [*head, *(line for _, line in sorted(found)[:WORST])]
