"""A policy that somebody else installed routes a real worker's requests, by its name, headers and columns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rivals.serve.reconcile import Reconciler
from rivals.values import Use
from tests.serve.stage import ROW, Stage, table

POLICY = '''
from rivals.values import Choice

class Office:
    """The arm of the office that a header names, where its rows are red; the champion else."""

    headers = frozenset({"x-office"})

    def __init__(self, offices):
        self.offices = offices

    def choose(self, table, request, rng):
        red = set(request.columns.values["color"]) == {"red"}
        named = self.offices.get(request.headers.get("x-office")) if red else None
        arm = named or table.champion
        return Choice(arm, {**{one.variant: 0.0 for one in table.arms}, arm: 1.0})
'''


def installed(folder: Path) -> Path:
    """A distribution as pip leaves it: a module, and an entry point beside it."""
    described = folder / "office-1.0.dist-info"
    described.mkdir(parents=True)
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: office\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text("[rivals.policies]\noffice = office_policy:Office\n")
    (folder / "office_policy.py").write_text(POLICY)
    return folder


def published(made: Stage, **options: Any) -> None:
    arms = {"weak": (made.weak, 0.5), "strong": (made.strong, 0.5)}
    made.publish(table(arms, policy=Use("office", options)))


def test_a_policy_from_outside_routes(stage: Callable[..., Stage], tmp_path: Path) -> None:
    made = stage()
    published(made, offices={"north": "strong"})
    made.start(env={"PYTHONPATH": str(installed(tmp_path / "site"))})
    blue = {**ROW, "color": "blue"}
    asked: list[tuple[Any, dict[str, str]]] = [(ROW, {}), (ROW, {"X_Office": "north"}), (ROW, {"X_Office": "south"})]
    asked.append((blue, {"X_Office": "north"}))
    met = [made.infer(row, **headers)[1]["x-rivals-variant"] for row, headers in asked]
    assert met == ["weak", "strong", "weak", "weak"]


def test_where_it_is_not_installed_the_table_is_refused_by_a_sentence(stage: Callable[..., Stage]) -> None:
    made = stage()
    published(made, offices={})
    reconciler = Reconciler(made.run_dir, made.bundles, made.config)
    assert asyncio.run(reconciler.look()) is None
    assert "No policy is called 'office'" in reconciler.problem
