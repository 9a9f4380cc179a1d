"""Whom a policy that asks for costs may choose from: the champion's tie group, as the prediction bank has it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from rivals.build import bank
from rivals.build.bank import Bank
from rivals.errors import DataError
from rivals.flows.gated import GateReport, gate_key
from rivals.flows.operators import quarantine
from rivals.flows.serve import first_table
from rivals.flows.workspace import open_workspace
from rivals.values import Status, Use, Verdict, Version
from tests.flows.conftest import Site

Sites = Callable[..., Site]
ROWS = 3_000
NOISE = {"old": 0.10, "new": 0.10, "third": 0.10}
SPENT = {"old": 30.0, "new": 20.0, "third": 10.0}
CHEAPEST = "  policy: cheapest\n"


def banked(site: Site, noise: Mapping[str, float] = NOISE, spent: Mapping[str, float] = SPENT) -> Site:
    """The same site with a bank of as many answers, each variant with noise of its own, and with timings."""
    rng = np.random.default_rng(0)
    target, time = np.arange(ROWS) % 2, np.arange(ROWS) * 3_600.0
    for name, wide in noise.items():
        sure = np.clip(np.where(target == 1, 0.7, 0.3) + rng.normal(0, wide, ROWS), 0.01, 0.99)
        outputs = np.column_stack([1 - sure, sure])
        said = Bank(np.arange(ROWS).astype(str), np.full(ROWS, -1), target, outputs, "binary", (0, 1), time=time)
        bank.write(site.workspace.state / "bank" / f"wish-{name}", said)
        trained = replace(site.workspace.trained(name), predict_us=spent[name])
        with site.workspace.store.transaction() as tx:
            tx.put_trained(trained, Version(name, trained.digest))
    return site


def restarted(site: Site, more: str) -> Site:
    """`rivals serve` again, with more keys in the project file."""
    file = site.workspace.file
    file.write_text(file.read_text() + more)
    again = Site(open_workspace(file), site.now, site.numbers)
    first_table(again.workspace)
    return again


def costs(site: Site) -> dict[str, float]:
    return dict(site.workspace.table().policy.options.get("cost", {}))


def test_the_tied_and_what_they_cost_are_found_and_kept_in_the_table(site: Sites) -> None:
    one = restarted(banked(site()), CHEAPEST)
    assert costs(one) == SPENT
    assert {arm.variant for arm in one.workspace.table().named} == set(SPENT)
    before = one.workspace.table()
    assert first_table(one.workspace) == before  # the same evidence makes no new revision


def test_who_is_worse_than_the_best_is_no_choice_however_cheap(site: Sites) -> None:
    one = restarted(banked(site(), {**NOISE, "third": 0.6}), CHEAPEST)
    assert costs(one) == {"old": 30.0, "new": 20.0}


def test_where_the_champion_is_not_among_the_tied_it_answers_alone(site: Sites) -> None:
    one = restarted(banked(site(), {**NOISE, "old": 0.6}), CHEAPEST)
    assert one.workspace.table().policy == Use("cheapest")
    assert not one.workspace.table().named


def test_who_was_not_timed_or_was_refused_by_the_gate_is_no_choice(site: Sites) -> None:
    made = banked(site(), spent={**SPENT, "new": 0.0})
    no = Verdict("threshold", Status.FAIL, "too slow")
    report = GateReport("third", "old", Status.FAIL, (no,), made.workspace.trained("third").digest)
    with made.workspace.store.transaction() as tx:
        tx.put_state(gate_key("third"), msgspec.json.encode(report))
    gate = "gate: [{use: noninferior, with: {metric: log_loss, margin: 1}}]\n"
    assert costs(restarted(made, CHEAPEST + gate)) == {"old": 30.0}


def test_costs_in_the_project_file_go_before_the_evidence(site: Sites) -> None:
    one = restarted(banked(site()), "  policy: {use: cheapest, with: {cost: {new: 3}}}\n")
    assert costs(one) == {"new": 3}


def test_without_predictions_there_is_a_sentence_and_the_table_stays(site: Sites) -> None:
    one = site()
    before = one.workspace.table()
    with pytest.raises(DataError):
        restarted(one, CHEAPEST)
    assert one.workspace.table() == before


def test_who_is_let_out_of_quarantine_is_a_choice_again(site: Sites) -> None:
    one = restarted(banked(site()), CHEAPEST)
    quarantine(one.workspace, "third", by="ann")
    assert "third" not in {arm.variant for arm in one.workspace.table().named}
    quarantine(one.workspace, "third", by="ann", off=True)
    assert "third" in {arm.variant for arm in one.workspace.table().named}
