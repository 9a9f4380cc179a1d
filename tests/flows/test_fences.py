"""A rollout may go on by itself only inside every fence; a rollback needs no leave."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from rivals.build import bank
from rivals.errors import Conflict, RolloutError, SpecError
from rivals.flows import fences
from rivals.flows.operators import approve, freeze, pin, quarantine
from rivals.flows.rollout import steer
from rivals.flows.status import status_of
from rivals.registry.ledger import Ledger
from rivals.statistics.fdr import Budget
from rivals.values import Phase

from .conftest import MONDAY, Site

DAY = 86_400.0
Sites = Callable[..., Site]


def grown(one: Site) -> Phase:
    """A good challenger after four rounds: canary, dwell, and promoted if nothing holds it."""
    if one.workspace.store.active_rollout(one.name) is None:
        one.start()
    one.good()
    for _ in range(4):
        found = one.judge()
        if found.phase.final:
            break
    return found.phase


def test_act_promotes_after_a_preflight_and_only_recommends_without(site: Sites) -> None:
    one = site(preflight=False)
    one.start()
    one.good()
    held = one.judge()
    assert (held.phase, held.share, held.autonomy) == (Phase.SHADOW, 0.0, "act")
    assert "`rivals rollout promote`" in held.reason
    assert "no preflight was done yet" in status_of(one.workspace)["fences"]["holds"]
    one.preflight(passed=False)
    assert one.judge().phase is Phase.SHADOW
    one.preflight()
    assert grown(one) is Phase.PROMOTED
    assert one.workspace.table().champion == "new"


def test_a_preflight_ends_with_time_and_with_another_configuration(site: Sites) -> None:
    one = site()
    assert fences.preflight_lacks(one.workspace, one.now) == ""
    assert "more than 30 d before" in fences.preflight_lacks(one.workspace, one.now + 31 * DAY)
    other = site("  unit: header:user", preflight=False)
    assert "configuration changed" in fences.preflight_lacks(other.workspace, one.now)
    windows = site('  windows: ["mon 09:00-10:00"]\n  cooldown: 2h', preflight=False)
    assert fences.preflight_lacks(windows.workspace, one.now) == ""


def test_a_freeze_holds_growth_and_promotions_and_no_rollback(site: Sites) -> None:
    one = site()
    one.start()
    freeze(one.workspace, by="ann")
    assert grown(one) is Phase.SHADOW
    held = one.workspace.store.active_rollout("toy")
    assert held is not None
    assert held.reason.startswith("held: frozen by ann")
    assert status_of(one.workspace)["fences"]["holds"] == held.reason
    with pytest.raises(RolloutError, match="frozen by ann"):
        steer(one.workspace, "promote", by="bob")
    one.bad()
    assert one.judge().phase is Phase.ROLLED_BACK
    freeze(one.workspace, off=True, by="ann")
    with pytest.raises(RolloutError, match="Nothing is frozen"):
        freeze(one.workspace, off=True)
    assert [kind for kind in one.kinds() if kind.startswith("fences")] == ["fences.frozen", "fences.thawed"]


def test_a_freeze_that_comes_while_the_judge_decides_wins(site: Sites) -> None:
    one = site()
    before = one.start()
    freeze(one.workspace, by="ann")
    with one.workspace.store.transaction() as tx, pytest.raises(Conflict, match="frozen by ann"):
        fences.settle(tx, one.workspace, before, replace(before, phase=Phase.PROMOTED), by_person=False)


def test_growth_waits_for_its_window_on_the_zones_own_clock(site: Sites) -> None:
    one = site('  windows: ["mon-thu 10:00-16:00 Europe/Berlin"]')  # 09:00 UTC in winter
    one.start()
    one.good()
    held = one.judge()
    assert "outside the change windows (mon-thu 10:00-16:00 Europe/Berlin)" in held.reason
    one.now = MONDAY + 3600.0
    one.good()
    assert one.judge().phase is Phase.CANARY
    one.now = MONDAY + 9 * 3600.0
    one.bad()
    assert one.judge().phase is Phase.ROLLED_BACK


def test_what_is_held_ends_at_its_deadline(site: Sites) -> None:
    one = site('  windows: ["tue 03:00-03:01"]')
    one.start()
    one.now += 30 * DAY
    one.preflight()
    one.good()
    ended = one.judge()
    assert ended.phase is Phase.HELD
    assert ended.reason == "at the deadline still held: now is outside the change windows (tue 03:00-03:01)"


def test_promotions_are_capped(site: Sites) -> None:
    one = site("  promotions: {per: 7d, most: 1}")
    assert grown(one) is Phase.PROMOTED
    one.start("third")
    one.good("third")
    for _ in range(3):
        held = one.judge()
    assert held.phase is Phase.CANARY
    assert "1 promotions in 7 d" in held.reason


def test_a_promotion_waits_for_the_approver_whom_the_ledger_names(site: Sites) -> None:
    one = site("  approval: promote")
    with pytest.raises(RolloutError, match="No promotion waits"):
        approve(one.workspace, by="ann")
    assert grown(one) is Phase.CANARY
    assert "`rivals rollout approve`" in status_of(one.workspace)["fences"]["holds"]
    approve(one.workspace, by="ann")
    with pytest.raises(RolloutError, match="approved already, by ann"):
        approve(one.workspace, by="bob")
    assert one.judge().phase is Phase.PROMOTED
    entry = next(one for one in Ledger(one.workspace.store).entries("toy") if one.kind == "fences.approved")
    assert entry.body["by"] == "ann"
    Ledger(one.workspace.store).verify()


def test_a_variant_that_was_rolled_back_rests_unless_a_person_forces_it(site: Sites) -> None:
    one = site()
    one.start()
    one.bad()
    assert one.judge().phase is Phase.ROLLED_BACK
    with pytest.raises(RolloutError, match="rests for another"):
        one.start()
    assert one.workspace.table().rollout == ""
    assert one.start("third").challenger.variant == "third"
    steer(one.workspace, "rollback")
    one.start(force=True)
    entry = Ledger(one.workspace.store).entries("toy")[-1]
    assert (entry.kind, entry.body["by"], entry.body["forced"]) == ("rollout.started", "ann", True)


def test_a_variant_in_quarantine_gets_no_rollout_and_no_traffic(site: Sites) -> None:
    one = site("  shadows: [third]")
    assert {shadow.variant for shadow in one.workspace.table().shadows} == {"third"}
    quarantine(one.workspace, "third", by="ann")
    assert one.workspace.table().shadows == ()
    one.start()
    quarantine(one.workspace, "new", by="ann")
    ended = one.workspace.store.rollouts("toy")[-1]
    assert (ended.phase, ended.reason) == (Phase.ROLLED_BACK, "quarantined by ann")
    assert {*(arm.variant for arm in one.workspace.table().arms), *one.workspace.table().shadows} == {"old"}
    for name in ("new", "third"):
        with pytest.raises(RolloutError, match="in quarantine since ann"):
            one.start(name, force=True)
    with pytest.raises(RolloutError, match="is the champion"):
        quarantine(one.workspace, "old")
    with pytest.raises(RolloutError, match="already, by ann"):
        quarantine(one.workspace, "new")
    quarantine(one.workspace, "third", off=True)
    assert one.start("third").challenger.variant == "third"


def test_a_promoted_challenger_is_not_rolled_back_to_one_in_quarantine(site: Sites) -> None:
    one = site()
    assert grown(one) is Phase.PROMOTED
    quarantine(one.workspace, "old", by="ann")
    with pytest.raises(RolloutError, match="'old' is in quarantine"):
        steer(one.workspace, "rollback")
    quarantine(one.workspace, "old", off=True)
    assert steer(one.workspace, "rollback").phase is Phase.ROLLED_BACK
    assert one.workspace.table().champion == "old"


def test_rollbacks_on_three_endpoints_hold_every_rollout_of_the_store(site: Sites) -> None:
    sites = [site(name=name) for name in ("a", "b", "c", "d")]
    for one in sites:
        one.start()
    for one in sites[:3]:
        one.bad()
        assert one.judge().phase is Phase.ROLLED_BACK
    last = sites[3]
    assert grown(last) is Phase.SHADOW
    assert "3 endpoints (a, b, c) rolled back within 10 min" in status_of(last.workspace)["fences"]["holds"]
    assert "fences.shared_cause" in sites[2].kinds()
    last.bad()
    assert last.judge().phase is Phase.ROLLED_BACK  # rollbacks still run
    freeze(last.workspace, off=True)
    assert status_of(last.workspace)["fences"]["shared_cause"] == ""


def test_every_rollout_gets_its_level_from_the_budgets_of_its_endpoint_and_of_all(site: Sites) -> None:
    one, other = site(name="a"), site(name="b")
    first = one.start()
    assert first.alpha == Budget().level(0.05)
    assert Ledger(one.workspace.store).entries("a")[-1].body["alpha"] == first.alpha
    second = other.start()
    assert second.alpha == Budget(1).level(0.05)  # the first of its endpoint, the second of all
    assert grown(one) is Phase.PROMOTED
    third = one.start("third")
    assert third.alpha == Budget(2, 1).level(0.05)


def test_a_promotion_needs_proof_at_the_budgets_level(site: Sites) -> None:
    one = site()
    with one.workspace.store.transaction() as tx:
        fences._put(tx, fences._budget_key("toy"), Budget(500))
    started = one.start()
    assert started.alpha is not None
    assert started.alpha < 1e-5
    one.traffic("new", 700, shadow=True)
    for _ in range(3):
        held = one.judge()
    assert held.phase is Phase.CANARY
    assert "the error budget over all rollouts asks for proof at 0.000%" in held.reason
    one.good(many=4000)
    assert one.judge().phase is Phase.PROMOTED


def banks(one: Site, worse: dict[str, float]) -> None:
    rng = np.random.default_rng(2)
    chance = rng.beta(2, 3, 20_000)
    target = (rng.random(20_000) < chance).astype(np.int64)
    for name, much in worse.items():
        told = np.clip(chance + np.sqrt(much), 0, 1)
        said = bank.Bank(
            np.arange(20_000), np.full(20_000, -1), target, np.column_stack([1 - told, told]), "binary", (0, 1),
            time=MONDAY + np.arange(20_000) * 60 * DAY / 20_000,
        )  # fmt: skip
        bank.write(one.workspace.state / "bank" / f"wish-{name}", said)


def test_a_challenger_worse_than_the_pinned_reference_is_not_promoted(site: Sites) -> None:
    one = site()
    banks(one, {"old": 0.0, "new": 0.01, "third": 0.0005})
    pin(one.workspace, "old", by="ann")
    assert status_of(one.workspace)["fences"]["reference"] == "old"
    assert grown(one) is Phase.CANARY
    held = one.workspace.store.active_rollout("toy")
    assert held is not None
    assert "worse than that of the reference old" in held.reason
    steer(one.workspace, "rollback")
    one.start("third")
    one.good("third")
    assert [one.judge().phase for _ in range(2)][-1] is Phase.PROMOTED


def test_a_reference_without_predictions_holds_with_a_sentence(site: Sites) -> None:
    one = site("  reference: old")
    assert grown(one) is Phase.CANARY
    assert "cannot be compared with the reference old" in status_of(one.workspace)["fences"]["holds"]


def test_acting_alone_is_refused_where_labels_depend_on_the_decision(site: Sites) -> None:
    one = site()
    text = one.workspace.file.read_text().replace("label_delay: 1h", "label_delay: 1h, labels_depend_on_decision: true")
    one.workspace.file.write_text(text)
    with pytest.raises(SpecError, match="exploration is not built yet"):
        one.again()
    one.workspace.file.write_text(text.replace("autonomy: act", "autonomy: recommend"))
    assert one.again().workspace.endpoint.autonomy == "recommend"
