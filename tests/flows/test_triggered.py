"""Whether a training is due, from what stands in the ledger and the store."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from rivals.errors import SpecError
from rivals.flows.retrain import without_harm
from rivals.flows.triggered import EXPLAINED, asked_of, carried_out, due, past_of, settle
from rivals.flows.workspace import open_workspace
from rivals.registry.ledger import Ledger
from rivals.values import Cause, Phase, Trouble
from tests.flows.conftest import MONDAY, Site

DAY = 86_400.0
RETRAIN = "  retrain: {on: [quality], cooldown: 10d, budget: {most: 1, per: 100d}}"
WORSE = Cause(Trouble.WORLD, "every variant got worse", ("old",))
Made = Callable[..., Site]


def explained(site: Site, cause: Cause, time: float) -> None:
    body = {**msgspec.to_builtins(cause), "remedy": cause.remedy.value, "window": [time - DAY, time]}
    with site.workspace.store.transaction() as tx:
        Ledger(site.workspace.store).append(tx, site.name, EXPLAINED, time, body)


def test_nothing_is_due_where_the_project_asks_for_no_retraining(site: Made) -> None:
    quiet = site()
    explained(quiet, WORSE, MONDAY)
    assert not due(quiet.workspace, MONDAY)


def test_a_cause_that_calls_for_it_is_due_until_it_was_carried_out(site: Made) -> None:
    busy = site(more=RETRAIN)
    assert not due(busy.workspace, MONDAY)
    explained(busy, WORSE, MONDAY)
    assert due(busy.workspace, MONDAY)
    asked = asked_of(busy.workspace)
    assert asked is not None
    assert asked.why == "quality"
    assert due(busy.again().workspace, MONDAY + 1)  # who carried it out did not live to end it
    carried_out(busy.workspace)
    assert not due(busy.workspace, MONDAY + 2)
    assert [one.kind for one in Ledger(busy.workspace.store).entries(busy.name)].count("retrain.started") == 1


def test_what_was_explained_before_the_last_training_asks_for_no_other(site: Made) -> None:
    busy = site(more=RETRAIN)
    explained(busy, WORSE, MONDAY)
    assert due(busy.workspace, MONDAY)
    carried_out(busy.workspace)
    assert not due(busy.workspace, MONDAY + 50 * DAY)
    assert Ledger(busy.workspace.store).entries(busy.name)[-1].kind == "retrain.started"
    explained(busy, WORSE, MONDAY + 60 * DAY)
    assert not due(busy.workspace, MONDAY + 60 * DAY)
    notice = Ledger(busy.workspace.store).entries(busy.name)[-1]
    assert "budget of 1 in 100 days" in notice.body["message"]


def test_only_what_a_training_made_counts_as_its_success_or_failure(site: Made) -> None:
    busy = site(more=RETRAIN)
    busy.start("new")
    busy.bad()
    assert busy.judge().phase is Phase.ROLLED_BACK
    settle(busy.workspace)
    with busy.workspace.store.transaction() as tx:
        assert past_of(busy.workspace, tx).failed == 0


def test_a_challenger_that_need_not_prove_itself_is_asked_for_no_harm(site: Made) -> None:
    busy = site(judges="failures, quality")
    judges = without_harm(busy.workspace).endpoint.rollout.judges
    assert [(one.name, dict(one.options)) for one in judges] == [("failures", {}), ("quality", {"need": "no_harm"})]


@pytest.mark.parametrize("wrong", ["{on: [schedule]}", "{every: 30d}", "{on: [sundays]}", "{former: 100%}", "[moods]"])
def test_a_wish_that_cannot_be_is_refused_with_its_key(site: Made, wrong: str) -> None:
    busy = site()
    file = busy.workspace.file
    file.write_text(file.read_text() + f"\n  retrain: {wrong}\n")
    with pytest.raises(SpecError, match="retrain"):
        open_workspace(file)
