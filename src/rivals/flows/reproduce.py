"""Build a past run again, from its commit, and prove that it says the same of every row.

The project is checked out as it was, in a worktree that is gone afterwards, with a state and a registry of its own; the
building is done by a process of its own, for this one has imported the code as it is now.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rivals.build import bank
from rivals.build.plan import causes, search_key
from rivals.errors import RivalsError
from rivals.flows.provenance import Rows, compared, find, folder, hashed, kept
from rivals.flows.reading import anchored
from rivals.flows.train import plan_asked, train_project
from rivals.flows.workspace import Workspace, open_workspace
from rivals.registry.lineage import checked_out, lineage, root_of

SECONDS = 24 * 3600.0  # for the building process


@dataclass(frozen=True, slots=True)
class Reproduced:
    """What came of it: the same predictions to the last bit, or how far off and what was not the same."""

    build: str
    same: bool
    hashes: tuple[str, str]  # of the predictions: then, and now
    rows: Rows
    differs: tuple[str, ...]  # in words
    commit: str


def reproduce(workspace: Workspace, name: str) -> Reproduced:
    """Build it again. Raises ``RivalsError`` where the data is not what it was, or the building fails."""
    build = find(workspace, name)
    told, before = kept(workspace, build), bank.read(folder(workspace, build))
    with _tree(workspace, told) as place, tempfile.TemporaryDirectory(prefix="rivals-reproduce-") as home:
        asked = {"asked": build.extras.get("asked", {}), "variant": build.trained.variant}
        order = Path(home) / "order.json"
        order.write_text(json.dumps(asked | {"tuned": str(workspace.state / "tuning")}))
        answer = _run(place, order, _settings(workspace, told))
        after = bank.read(Path(answer["bank"]))
    now, rows = lineage(workspace.folder), compared(before, after)
    differs = list(answer["causes"])
    if told["python"] != now.python:
        differs.append(f"python was {told['python']}, is {now.python}")
    hashes = (hashed(before), hashed(after))
    if told["packages_digest"] != now.packages_digest and hashes[0] != hashes[1]:
        differs.append("other versions of packages are installed: `rivals diff` names them after a new build")
    return Reproduced(build.name, hashes[0] == hashes[1], hashes, rows, tuple(differs), told["commit"])


@contextmanager
def _tree(workspace: Workspace, told: dict[str, Any]) -> Iterator[Path]:
    """The project file as it was, in a folder with no state; without a commit, as it is now."""
    root = root_of(workspace.folder)
    with ExitStack() as stack:
        if told["commit"] and root:
            place = stack.enter_context(checked_out(root, told["commit"], told["diff"])) / told["file"]
            if not place.is_file():
                raise RivalsError(
                    f"{told['file']} is not in commit {told['commit'][:12]}, nor in what differed from it."
                )
        else:
            place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rivals-copy-"))) / "project"
            shutil.copytree(workspace.folder, place, ignore=shutil.ignore_patterns(".rivals", ".git", ".venv"))
            place = place / workspace.file.name
        yield place


def _settings(workspace: Workspace, told: dict[str, Any]) -> list[str]:
    """The settings it was built under; data that lies beside the project is read where it lies."""
    found = list(told["overlay"])
    sources = {"data.source": workspace.spec.data.source}
    sources |= {f"data.sets.{name}": use for name, use in workspace.spec.data.sets.items()}
    for key, use in sources.items():
        if "path" in use.options:
            found.append(f"{key}.with.path={anchored(workspace, use).options['path']}")
    return found


def _run(file: Path, order: Path, settings: list[str]) -> dict[str, Any]:
    paths = os.pathsep.join([str(file.parent), *(one for one in sys.path if one)])
    answer = order.with_name("answer.json")
    command = [sys.executable, "-m", "rivals.flows.reproduce", str(file), str(order), str(answer), *settings]
    done = subprocess.run(  # noqa: S603 -- ourselves
        command, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    if not answer.exists():
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise RivalsError(f"It cannot be built again: {last}")
    found: dict[str, Any] = json.loads(answer.read_bytes())
    if found.get("refused"):
        raise RivalsError(found["refused"])
    return found


def main(file: str, order: str, answer: str, *settings: str) -> None:
    """Be the process: ``python -m rivals.flows.reproduce FILE ORDER ANSWER SETTING...``."""
    wanted = json.loads(Path(order).read_bytes())
    aside = Path(order).parent
    # Whatever the project keeps elsewhere, this is kept apart from it.
    tracking, store = (
        {key: f"sqlite:///{aside / f'{name}.db'}"} for key, name in (("uri", "mlflow"), ("url", "store"))
    )
    scratch = (f"tracking={json.dumps(tracking)}", f"store={json.dumps(store)}")
    try:
        found = _again(Path(file), wanted, (*settings, *scratch), aside)
    except RivalsError as error:
        found = {"refused": f"It cannot be built again: {error}"}
    Path(answer).write_text(json.dumps(found))


def _again(file: Path, wanted: dict[str, Any], settings: tuple[str, ...], aside: Path) -> dict[str, Any]:
    variant, before = wanted["variant"], wanted["asked"]
    workspace = open_workspace(file, settings)
    asked = plan_asked(workspace, [variant])
    told = causes(before, asked[variant])
    if changed := [one for one in told if one.startswith("column ")]:
        raise RivalsError(
            f"the data of source {workspace.spec.data.source.name!r} is not what it was ({'; '.join(changed[:5])}); "
            "bring back the rows it was built from"
        )
    for name, one in asked.items():  # what was searched is found again, not searched again
        trials = Path(wanted["tuned"]) / search_key(before if name == variant else one)
        if workspace.spec.variant(name).tune and trials.is_dir():
            shutil.copytree(trials, workspace.state / "tuning" / search_key(one), dirs_exist_ok=True)
    report = train_project(workspace, [variant])
    if report.failed:
        raise RivalsError("; ".join(f"{name}: {why}" for name, why in report.failed.items()))
    place = _kept_aside(workspace, variant, aside)
    workspace.store.close()
    return {"causes": told, "bank": str(place)}


def _kept_aside(workspace: Workspace, variant: str, into: Path) -> Path:
    """The predictions, where they outlive the worktree's state."""
    source = workspace.state / "bank" / workspace.trained(variant).wish
    return Path(shutil.copytree(source, into / "bank"))


if __name__ == "__main__":
    main(*sys.argv[1:])
