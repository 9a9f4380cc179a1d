"""What was decided, told again; what another policy would have decided from the same log; and why a request went there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from rivals.errors import LedgerError, RivalsError, RolloutError, SpecError
from rivals.flows.explain import explain_request
from rivals.flows.forget import forget_unit
from rivals.flows.replay import replay
from rivals.flows.verify import verify_ledger
from rivals.registry import schema
from rivals.values import Exposure, Feedback, Outcome, Phase
from tests.flows.conftest import Site

Sites = Callable[..., Site]


def promoted(site: Sites) -> Site:
    """A rollout through one step of 50 % to the top."""
    one = site()
    one.start()
    one.good()
    while one.judge().phase is not Phase.PROMOTED:
        pass
    return one


def policy(folder: Path, text: str) -> Path:
    file = folder / "policy.yaml"
    file.write_text(text)
    return file


def phases(steps: tuple[object, ...]) -> list[tuple[str, float]]:
    return [(step.phase, step.share) for step in steps]  # type: ignore[attr-defined]


def test_what_was_decided_is_told_again_step_by_step(site: Sites) -> None:
    found = replay(promoted(site).workspace)
    assert [one.rollout.endswith("watch") for one in found] == [False, True]
    assert phases(found[0].decided) == [("shadow", 0.0), ("canary", 0.5), ("promoted", 0.0)]
    assert found[0].would == ()


def test_the_same_policy_decides_the_same(site: Sites, tmp_path: Path) -> None:
    one = promoted(site)
    (found,) = replay(one.workspace, policy(tmp_path, "rollout: {steps: [50%]}"), "new")[:1]
    assert [phase for phase, _ in phases(found.would)] == ["shadow", "canary", "promoted"]
    assert not any(step.beyond for step in found.would)
    assert found.sentence.endswith("promoted, the same")


def test_what_rests_on_traffic_that_was_never_sent_is_marked(site: Sites, tmp_path: Path) -> None:
    one = promoted(site)
    found = replay(one.workspace, policy(tmp_path, "steps: [10%, 20%, 30%]"), "new")[0]
    shares = [share for _, share in phases(found.would)]
    assert 0.1 in shares
    assert found.would[-1].beyond
    assert "beyond the log" in found.sentence


def test_a_policy_that_asks_for_more_would_still_wait(site: Sites, tmp_path: Path) -> None:
    one = promoted(site)
    found = replay(one.workspace, policy(tmp_path, "{every: 30d, risk: {alpha: 0.000001}}"), "new")[0]
    assert found.would[-1].phase in {"shadow", "canary"}
    assert found.would[-1].reason == "the log ends here"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("steps: [50%, 10%]", "steps rise"),
        ("stepz: [10%]", "stepz"),
        ("[1, 2]", "has keys of"),
        ("a: [", "cannot be read"),
    ],
)
def test_what_is_no_policy_is_refused_with_the_key(site: Sites, tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        replay(promoted(site).workspace, policy(tmp_path, text))


def test_what_was_never_rolled_out_cannot_be_replayed(site: Sites) -> None:
    one = site()
    with pytest.raises(RolloutError, match="No rollout was ever started"):
        replay(one.workspace)
    one.start()
    with pytest.raises(RolloutError, match="'third' is in the ledger"):
        replay(one.workspace, rollout="third")


def test_a_log_that_was_changed_is_not_replayed(site: Sites) -> None:
    one = promoted(site)
    with one.workspace.store.transaction() as tx:
        tx.connection.execute(
            sa.update(schema.exposures).values(latency_us=7).where(schema.exposures.c.variant == "new")
        )
    with pytest.raises(LedgerError, match="not what they were"):
        replay(one.workspace)


# -- one request --------------------------------------------------------------------------------------------


def asked(one: Site, name: str = "r1", unit: str = "ann") -> None:
    table = one.workspace.table()
    odds = {arm.variant: arm.weight for arm in table.arms}
    opened = Exposure(f"{name}/0", "new", False, "toy", table.revision, one.now, unit, odds)
    closed = (f"{name}/0", "new", Outcome.OK, 100, (0.5, 0.5))
    one.workspace.store.ship(f"asked-{name}", 1, [opened], [closed], [Feedback(f"{name}/0", 1, time=one.now)])


def test_a_request_is_explained_with_what_the_judges_had_said_then(site: Sites, tmp_path: Path) -> None:
    one = site()
    one.start()
    one.good()
    one.judge()
    one.now += 1
    asked(one)
    why = explain_request(one.workspace, "r1", policy(tmp_path, "steps: [1%, 50%]"))
    assert (why["answered_by"], why["label"], why["kept"]) == ("new", 1, "store")
    assert why["table"]["rule"] == "by slot"
    assert why["verdict"]["status"] == "pass"
    assert (why["other_policy"]["share"], why["other_policy"]["phase"]) == (0.01, "canary")
    assert why["other_policy"]["variant"] in {"old", "new"}


def test_an_erased_request_is_said_to_be_erased(site: Sites) -> None:
    one = site()
    asked(one)
    forget_unit(one.workspace, "ann")
    with pytest.raises(RivalsError, match="was erased with its unit"):
        explain_request(one.workspace, "r1")
    with pytest.raises(RivalsError, match="No request"):
        explain_request(one.workspace, "r2")


def test_a_request_in_the_archive_is_found_there(site: Sites) -> None:
    from rivals.flows.archive import archive_of

    one = site("  capture: {features: all}")
    asked(one)
    one.now += 40 * 86_400.0
    one.traffic("old", 1)
    archive = archive_of(one.workspace)
    while archive.move(one.now - 86_400.0):
        pass
    assert one.workspace.store.exposure("r1") == []
    why = explain_request(one.workspace, "r1")
    assert (why["kept"], why["answered_by"], why["label"]) == ("archive", "new", 1)


# -- labels that are gone ------------------------------------------------------------------------------------


def test_a_label_that_was_deleted_after_it_was_judged_is_named(site: Sites) -> None:
    one = site(judges="failures, quality")
    one.start()
    names = [f"pair-{i}/0" for i in range(40)]
    for variant, output in (("old", (0.6, 0.4)), ("new", (0.4, 0.6))):
        odds = {"old": 1.0} if variant == "old" else {}
        opens = [Exposure(name, variant, variant == "new", "toy", 1, one.now, name, odds) for name in names]
        closes = [(name, variant, Outcome.OK, 100, output) for name in names]
        labels = [Feedback(name, 1, time=one.now) for name in names]
        one.workspace.store.ship(f"pairs-{variant}", 1, opens, closes, labels)
    one.judge(2 * 86_400.0)
    verify_ledger(one.workspace)
    one.workspace.store.ship("late", 1, [], [], [Feedback(names[0], 0, time=one.now)])  # contradicts: void, not deleted
    verify_ledger(one.workspace)
    with one.workspace.store.transaction() as tx:
        tx.connection.execute(sa.delete(schema.feedback).where(schema.feedback.c.id == names[1]))
    with pytest.raises(LedgerError, match=r"pair-1/0 was 1 when it was judged, and was deleted since"):
        verify_ledger(one.workspace)
