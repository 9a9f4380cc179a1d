"""Every strategy through the real loop: what is routed, what the ledger says, and that a restart changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from rivals.errors import RolloutError
from rivals.flows.begin import start_rollout
from rivals.flows.disagreement import report_of
from rivals.flows.operators import freeze, quarantine, roll_back_to
from rivals.flows.rollout import steer, tick
from rivals.flows.status import history_of
from rivals.flows.verify import verify_ledger
from rivals.values import Exposure, Feedback, Outcome, Phase, Rollout, RoutingTable
from tests.flows.conftest import Site

Sites = Callable[..., Site]


def weights(one: Site) -> dict[str, float]:
    return {arm.variant: round(arm.weight, 4) for arm in one.workspace.table().arms}


def shadows(one: Site) -> list[str]:
    return sorted(shadow.variant for shadow in one.workspace.table().shadows)


def table(one: Site) -> RoutingTable:
    return one.workspace.table()


def last(one: Site, strategy: str) -> Rollout:
    return next(each for each in reversed(one.workspace.store.rollouts("toy")) if each.strategy == strategy)


def start(one: Site, *names: str, strategy: str) -> Rollout:
    return start_rollout(one.workspace, *names, strategy=strategy, by="ann").rollout  # type: ignore[arg-type]


def good(one: Site, *names: str) -> None:
    """Proof for all of them, as shadows have it."""
    for name in names:
        one.good(name)


def test_blue_green_promotes_out_of_the_shadow_and_keeps_the_former_champion_warm(site: Sites) -> None:
    one = site()
    start(one, "new", strategy="bluegreen")
    one.good()
    assert one.judge().phase is Phase.PROMOTED
    assert (weights(one), shadows(one)) == ({"new": 1.0}, ["old"])
    watch = last(one, "watch")
    assert (watch.phase, watch.champion.variant, watch.deadline) == (Phase.WATCH, "old", 86_400.0)
    one.now += 86_400.0
    assert one.judge().phase is Phase.CONCLUDED
    assert (weights(one), shadows(one)) == ({"new": 1.0}, [])
    assert verify_ledger(one.workspace)["derived"] > 1


def test_harm_in_the_watch_gives_everything_back_to_the_former_champion(site: Sites) -> None:
    one = site()
    start(one, "new", strategy="bluegreen")
    one.good()
    one.judge()
    one.now += 60
    one.traffic("new", 300, failed=200)
    assert one.again().judge().phase is Phase.ROLLED_BACK  # as another process sees it
    assert weights(one) == {"old": 1.0}
    assert last(one, "watch").phase is Phase.ROLLED_BACK
    with pytest.raises(RolloutError, match="rests"):
        start(one, "new", strategy="canary")
    verify_ledger(one.workspace)


def test_a_watch_asks_nobody_for_leave_to_end(site: Sites) -> None:
    one = site()
    start(one, "new", strategy="bluegreen")
    one.good()
    one.judge()
    freeze(one.workspace, by="ann")
    one.now += 86_400.0
    assert one.judge().phase is Phase.CONCLUDED
    assert weights(one) == {"new": 1.0}


def test_the_next_rollout_ends_the_watch_of_the_last_one(site: Sites) -> None:
    one = site()
    one.start()
    steer(one.workspace, "promote")
    start(one, "third", strategy="canary")
    assert [each.phase for each in one.workspace.store.rollouts("toy")] == [
        Phase.PROMOTED,
        Phase.CONCLUDED,
        Phase.SHADOW,
    ]
    assert shadows(one) == ["third"]
    verify_ledger(one.workspace)


def test_a_shadow_trial_ends_with_an_answer_and_no_traffic(site: Sites) -> None:
    one = site()
    start(one, "new", strategy="shadow")
    one.good()
    assert one.judge().phase is Phase.CONCLUDED
    assert (weights(one), shadows(one)) == ({"old": 1.0}, [])
    assert {len(each.arms) for each in one.workspace.store.tables("toy")} == {1}
    verify_ledger(one.workspace)


def test_a_test_of_several_gives_each_its_share_and_promotes_one(site: Sites) -> None:
    one = site()
    start(one, "new", "third", strategy="ab")
    assert weights(one) == {"old": 0.3333, "new": 0.3333, "third": 0.3333}
    before = table(one).slots
    one.bad("third")
    one.judge()
    assert last(one, "ab").phase is Phase.ROLLED_BACK
    assert weights(one) == {"old": 0.6667, "new": 0.3333}
    moved = sum(a != b for a, b in zip(before, table(one).slots, strict=True))
    assert moved == sum(slot == 2 for slot in before)  # only its own units
    good(one, "new")
    assert one.judge().phase is Phase.PROMOTED
    assert (weights(one), shadows(one)) == ({"new": 1.0}, ["old"])
    verify_ledger(one.workspace)


def test_who_did_not_win_a_test_concedes(site: Sites) -> None:
    one = site()
    start(one, "new", "third", strategy="ab")
    one.good()
    for _ in range(3):
        one.judge()
    ends = {each.challenger.variant: each for each in one.workspace.store.rollouts("toy") if each.strategy == "ab"}
    assert (ends["new"].phase, ends["third"].phase) == (Phase.PROMOTED, Phase.CONCLUDED)
    assert "new was promoted" in ends["third"].reason
    verify_ledger(one.workspace)


def test_each_challenger_of_a_test_has_its_share_of_alpha(site: Sites) -> None:
    one = site()
    start(one, "new", "third", strategy="ab")
    started = [entry for entry in _entries(one) if entry["kind"] == "rollout.started"]
    assert [entry["body"]["judges"][0]["options"]["alpha"] for entry in started] == [0.025, 0.025]


def test_of_several_challengers_a_command_says_whose_and_a_rollback_may_mean_all(site: Sites) -> None:
    one = site()
    start(one, "new", "third", strategy="ab")
    with pytest.raises(RolloutError, match="which one is meant: new, third"):
        steer(one.workspace, "pause")
    steer(one.workspace, "pause", "new")
    assert weights(one) == {"old": 0.6667, "third": 0.3333}
    steer(one.workspace, "resume", "new")
    assert weights(one)["new"] == 0.3333
    with pytest.raises(RolloutError, match="No rollout of 'old'"):
        steer(one.workspace, "pause", "old")
    steer(one.workspace, "rollback")
    assert (weights(one), shadows(one)) == ({"old": 1.0}, [])
    assert one.workspace.store.active_rollouts("toy") == []
    verify_ledger(one.workspace)


def test_quarantine_and_going_back_end_what_they_must(site: Sites) -> None:
    one = site()
    start(one, "new", "third", strategy="ab")
    quarantine(one.workspace, "third", by="ann")
    assert weights(one) == {"old": 0.6667, "new": 0.3333}
    roll_back_to(one.workspace, 1, by="ann")
    assert one.workspace.store.active_rollouts("toy") == []
    verify_ledger(one.workspace)


def test_a_test_may_not_begin_where_nothing_may_grow(site: Sites) -> None:
    one = site()
    freeze(one.workspace, by="bob")
    with pytest.raises(RolloutError, match="frozen by bob"):
        start(one, "new", "third", strategy="ab")
    for names, said in ((("new", "new"), "twice"), (("new", "old"), "champion already")):
        with pytest.raises(RolloutError, match=said):
            start(one, *names, strategy="ab")
    with pytest.raises(RolloutError, match="Only a test"):
        start(one, "new", "third", strategy="canary")


def test_a_bounded_canary_takes_what_its_bound_allows_and_gives_it_back(site: Sites) -> None:
    one = site()
    with pytest.raises(RolloutError, match=r"endpoint\.rollout\.harm"):
        start(one, "new", strategy="bounded")
    wish = one.workspace.endpoint.rollout.model_copy(update={"harm": 5.0})
    spec = one.workspace.spec
    bounded = spec.endpoint.model_copy(update={"rollout": wish})  # type: ignore[union-attr]
    one.workspace = replace(one.workspace, spec=spec.model_copy(update={"endpoint": bounded}))
    one.preflight()
    start(one, "new", strategy="bounded")
    one.traffic("old", 6_000)
    assert one.judge().phase is Phase.CANARY
    share = weights(one)["new"]
    assert share == pytest.approx(5 / 6_000, abs=2e-4)  # a minute of its traffic is five requests
    units = {variant: f"{variant}-1" for variant in ("old", "new")}
    assert set(units) == set(weights(one))
    _split(one, share, many=40, failed=40)
    after = tick(one.workspace, one.now)
    assert after is not None
    assert after.phase in {Phase.SHADOW, Phase.ROLLED_BACK}
    assert weights(one) == {"old": 1.0}
    verify_ledger(one.workspace)


def _split(one: Site, share: float, *, many: int, failed: int) -> None:
    """Answers of the challenger by random assignment."""
    from rivals.values import Exposure, Outcome

    batch, odds = next(one.numbers), {"old": 1 - share, "new": share}
    ids = [f"toy-{batch}-{i}/0" for i in range(many)]
    opens = [Exposure(name, "new", False, "toy", 2, one.now, name, odds) for name in ids]
    closes = [(name, "new", Outcome.ERROR if i < failed else Outcome.OK, 100, ()) for i, name in enumerate(ids)]
    one.workspace.store.ship("split-toy", batch, opens, closes, [])


def _entries(one: Site) -> list[dict[str, dict[str, list[dict[str, dict[str, float]]]]]]:

    return history_of(one.workspace)


def test_a_trial_reports_where_the_two_differ(site: Sites) -> None:
    one = site()
    with pytest.raises(RolloutError, match="No rollout was ever started"):
        report_of(one.workspace)
    start(one, "new", strategy="shadow")
    with pytest.raises(RolloutError, match="answered by both"):
        report_of(one.workspace)
    ids = [f"toy-both-{i}/0" for i in range(3)]
    for variant, output in (("old", (0.6, 0.4)), ("new", (0.4, 0.6))):
        shadow = variant == "new"
        opens = [
            Exposure(name, variant, shadow, "toy", 2, one.now, name, {} if shadow else {"old": 1.0}) for name in ids
        ]
        closes = [(name, variant, Outcome.OK, 100, output) for name in ids]
        one.workspace.store.ship(f"both-{variant}", 1, opens, closes, [Feedback(ids[0], 1, time=one.now)])
    whole = report_of(one.workspace).parts[0]
    assert (whole.rows, whole.differ, whole.labelled, whole.challenger_right) == (3, 3, 1, 1)
