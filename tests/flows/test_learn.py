"""What a policy learns depends on what was decided and told: not on order, delay, doubles, batches or deaths."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import msgspec
import pytest
import sqlalchemy as sa

from rivals.errors import LedgerError, SpecError
from rivals.flows.forget import forget_unit
from rivals.flows.learn import Learned, learn, learned_of
from rivals.flows.operators import freeze, quarantine
from rivals.flows.serve import first_table
from rivals.flows.status import status_of
from rivals.flows.verify import verify_ledger
from rivals.registry import schema
from rivals.serve.exposition import shares
from rivals.values import Exposure, Feedback, Outcome, Scores, Trained, Version
from tests.serve.stage import bundle

from .conftest import MONDAY, Site

Sites = Callable[..., Site]
BLOCK, HOUR = 600.0, 3600.0
THOMPSON = "  policy: {use: thompson, with: {variants: [old, new], half_life: 500, every: 10m}}"
HEDGE = "  policy: {use: hedge, with: {variants: [old, new], every: 10m}}"
BEST = "  policy: {use: best, with: {variants: [old, new], every: 10m, dwell: 10}}"
LINUCB = "  policy: {use: linucb, with: {variants: [old, new], every: 10m, context: {a: [0, 1]}}}"
CAPTURE = "  capture: {features: all}"
EVEN = {"old": 0.5, "new": 0.5}

Decided = tuple[Exposure, tuple[str, str, Outcome, int, tuple[float, ...]], Feedback | None, bytes]


def day(name: str, count: int = 240, seed: int = 1) -> list[Decided]:
    """Decisions over four hours: ``new`` earns and answers better; some fail, some are never told of."""
    rng, found = Random(seed), []
    for i in range(count):
        variant, one = rng.choice(["old", "new"]), f"{name}-d{i}/0"
        at = MONDAY + i * 4 * HOUR / count
        failed = rng.random() < 0.03
        good = rng.random() < (0.8 if variant == "new" else 0.4)
        opened = Exposure(one, variant, False, name, 1, at, f"{name}-d{i}", EVEN)
        said = () if failed else ((0.2, 0.8) if good else (0.8, 0.2))
        closed = (one, variant, Outcome.ERROR if failed else Outcome.OK, 90, said)
        told = Feedback(one, 1, float(good) if i % 2 else None, time=at + 60) if rng.random() < 0.8 else None
        found.append((opened, closed, told, msgspec.json.encode({"a": rng.random(), "b": None, "color": "red"})))
    return found


def ship(one: Site, decided: list[Decided], feedback: list[Feedback], batch: int = 1) -> None:
    one.workspace.store.ship(
        f"{one.name}-day-{batch}", 1, [row[0] for row in decided], [row[1] for row in decided], feedback,
        [(row[0].id, row[3]) for row in decided],
    )  # fmt: skip


def told_of(decided: list[Decided]) -> list[Feedback]:
    return [row[2] for row in decided if row[2] is not None]


def known(one: Site) -> Learned:
    found = learned_of(one.workspace)
    assert found is not None
    return found


def lived(one: Site, later: float = 6 * HOUR) -> Site:
    """All of the day at once, learned from in one go."""
    decided = day(one.name)
    ship(one, decided, told_of(decided))
    one.now = MONDAY + later
    learn(one.workspace, one.now)
    return one


@pytest.mark.parametrize("policy", [THOMPSON, HEDGE, BEST, f"{LINUCB}\n{CAPTURE}"])
def test_late_shuffled_and_doubled_feedback_in_other_batches_gives_the_same_state(site: Sites, policy: str) -> None:
    whole = lived(site(policy))
    other, rng = site(policy, name="other"), Random(3)
    decided = day(other.name)
    told = [*told_of(decided), *told_of(decided)[::3]]
    rng.shuffle(told)
    for start in range(0, len(decided), 24):  # as it comes: blocks are learned from while later ones are not there yet
        some = decided[start : start + 24]
        rng.shuffle(some)
        ship(other, some, [], batch=start)
        ids = {row[0].id for row in some}
        late = [one for one in told if one.id in ids]
        other.workspace.store.take(late[: len(late) // 2])
        learn(other.workspace, decided[start][0].time)
        other.workspace.store.take(late[len(late) // 2 :] + late[:5])
    for later in range(4, 8):
        learn(other.workspace, MONDAY + later * HOUR)
    assert msgspec.json.encode(known(other).state) == msgspec.json.encode(known(whole).state)
    assert known(other).next_block == known(whole).next_block
    for one in (whole, other):
        assert verify_ledger(one.workspace)["learned"] >= 1


def test_the_better_variant_gets_the_traffic_in_one_new_table(site: Sites) -> None:
    one = site(THOMPSON)
    before = one.workspace.table()
    assert before.state["weights"] == EVEN
    after = lived(one).workspace.table()
    assert after.revision == before.revision + 1
    assert after.state["weights"]["new"] > 0.9
    assert after.state == known(one).state
    assert shares(after)["new"] == after.state["weights"]["new"]
    told = status_of(one.workspace)["learned"]
    assert (told["policy"], told["weights"]) == ("thompson", after.state["weights"])
    assert "policy.learned" in one.kinds()
    assert learn(one.workspace, one.now) is None  # nothing is learned twice


def test_a_block_waits_for_its_labels(site: Sites) -> None:
    one = site(THOMPSON)
    decided = day(one.name)
    ship(one, decided, told_of(decided))
    begun = MONDAY // BLOCK * BLOCK
    learn(one.workspace, begun + BLOCK + HOUR - 1)
    assert known(one).next_block is None
    learn(one.workspace, begun + BLOCK + HOUR)
    assert known(one).next_block == begun + BLOCK


def test_what_moves_little_makes_no_table_and_is_kept(site: Sites) -> None:
    one = lived(site(BEST))
    found, table = known(one), one.workspace.table()
    assert found.state["switcher"]["rounds"] > 100
    assert found.blocks == () or table.state["weights"] == found.state["weights"]
    assert verify_ledger(one.workspace)["entries"] >= 2


def test_a_frozen_endpoint_learns_and_moves_nothing(site: Sites) -> None:
    one = site(THOMPSON)
    freeze(one.workspace, by="ann")
    lived(one)
    assert one.workspace.table().state["weights"] == EVEN
    assert known(one).state["weights"]["new"] > 0.9
    verify_ledger(one.workspace)


def test_hedge_learns_from_whoever_was_asked_in_the_shadow(site: Sites) -> None:
    one = site(f"{HEDGE}\n  shadows: [new]")
    opens, closes, labels = [], [], []
    for i in range(300):
        at, name = MONDAY + i * 10, f"p{i}/0"
        opens += [
            Exposure(name, "old", False, one.name, 1, at, f"p{i}", EVEN),
            Exposure(name, "new", True, one.name, 1, at, f"p{i}", {}),
        ]
        closes += [(name, "old", Outcome.OK, 90, (0.6, 0.4)), (name, "new", Outcome.OK, 90, (0.1, 0.9))]
        labels.append(Feedback(name, 1, time=at))
    one.workspace.store.ship("pairs", 1, opens, closes, labels)
    learn(one.workspace, MONDAY + 3 * HOUR)
    found = known(one).state
    assert found["hedge"]["rounds"] == 300
    assert found["hedge"]["losses"] == pytest.approx({"old": 300 * 0.36, "new": 300 * 0.01})
    assert found["weights"]["new"] > 0.9
    assert found["figures"]["regret"] <= found["figures"]["bound"]


# -- what changes ------------------------------------------------------------------------------------------


def built_anew(one: Site, variant: str) -> None:
    digest = bundle(one.workspace.blobs.folder, 0.7)
    trained = Trained(variant, digest, f"wish-{variant}-2", Scores({}), 1.0, 10.0, 100, "native", 0.0)
    with one.workspace.store.transaction() as tx:
        tx.put_trained(trained, Version(variant, digest))


def test_a_variant_that_was_built_anew_is_forgotten_and_the_others_are_not(site: Sites) -> None:
    one = lived(site(THOMPSON))
    before = known(one).state["arms"]
    built_anew(one, "new")
    table = first_table(one.workspace)
    assert table.state["arms"] == {"old": before["old"], "new": [0.0, 0.0]}
    assert first_table(one.workspace) == table
    assert verify_ledger(one.workspace)["learned"] == 3


def test_another_policy_begins_anew_and_one_that_does_not_learn_has_no_state(site: Sites) -> None:
    one = lived(site(THOMPSON))
    file = one.workspace.file
    file.write_text(file.read_text().replace("half_life: 500", "half_life: 50"))
    table = first_table(one.again().workspace)
    assert table.state["weights"] == EVEN
    file.write_text(file.read_text().replace(THOMPSON.replace("500", "50"), ""))
    assert first_table(one.again().workspace).state == {}
    assert learn(one.again().workspace, one.now + HOUR) is None
    assert status_of(one.again().workspace)["learned"] == {}
    assert verify_ledger(one.workspace)["learned"] == 3


def test_quarantine_takes_a_variant_out_at_once(site: Sites) -> None:
    one = site(THOMPSON)
    quarantine(one.workspace, "new", by="ann")
    assert [arm.variant for arm in one.workspace.table().named] == ["old"]
    quarantine(one.workspace, "new", off=True, by="ann")
    assert [arm.variant for arm in one.workspace.table().named] == ["old", "new"]


def test_what_cannot_be_learned_from_is_refused_before_anything_is_served(site: Sites) -> None:
    with pytest.raises(SpecError, match=r"endpoint.capture: \{features: all\}"):
        site(LINUCB)
    with pytest.raises(SpecError, match="'a' is redacted"):
        site(f"{LINUCB}\n  capture: {{features: all, redact: [a]}}", name="hidden")
    one = site(THOMPSON, name="hasty")
    data = one.workspace.spec.data.model_copy(update={"label_delay": 0.0})
    hasty = replace(one.workspace, spec=one.workspace.spec.model_copy(update={"data": data}))
    with pytest.raises(SpecError, match=r"say data.label_delay"):
        first_table(hasty)


# -- the ledger -----------------------------------------------------------------------------------------------


def changed(one: Site, statement: sa.Update | sa.Delete) -> None:
    with one.workspace.store.transaction() as tx:
        assert tx.connection.execute(statement).rowcount


def test_a_changed_answer_label_or_state_is_named(site: Sites) -> None:
    feedback, exposures, state = schema.feedback, schema.exposures, schema.state
    one = lived(site(THOMPSON))
    verify_ledger(one.workspace)
    told = told_of(day(one.name))[7].id
    changed(one, sa.update(exposures).where(exposures.c.id == told).values(propensity='{"old":0.4,"new":0.6}'))
    with pytest.raises(LedgerError, match="the decisions its policy learned from"):
        verify_ledger(one.workspace)
    one = lived(site(THOMPSON, name="second"))
    told = told_of(day(one.name))[9].id
    changed(one, sa.update(feedback).where(feedback.c.id == told).values(reward=0.25, label=None))
    verify_ledger(one.workspace)  # told otherwise later: what was learned then stands
    key = f"learned/{one.name}"
    raw = one.workspace.store.state(key)
    assert raw is not None
    changed(
        one,
        sa.update(state)
        .where(state.c.key == key)
        .values(raw=raw.replace(b'"weights":{"old":0.0', b'"weights":{"old":0.9')),
    )
    with pytest.raises(LedgerError, match="does not follow from entry"):
        verify_ledger(one.workspace)


def test_a_unit_that_was_erased_takes_its_derivation_along_and_no_more(site: Sites) -> None:
    one = lived(site(f"{THOMPSON}\n{CAPTURE}"))
    before = verify_ledger(one.workspace)["learned"]
    forget_unit(one.workspace, told_of(day(one.name))[9].id.removesuffix("/0"))
    assert verify_ledger(one.workspace)["learned"] == before - 1


# -- deaths ---------------------------------------------------------------------------------------------------

LEARNER = """
import sys
from pathlib import Path
from rivals.flows import learn as flow
from rivals.flows.workspace import open_workspace
flow.AT_ONCE = 1
workspace = open_workspace(Path(sys.argv[1]))
print("up", flush=True)
while True:
    before = flow.learned_of(workspace)
    flow.learn(workspace, float(sys.argv[2]))
    if flow.learned_of(workspace) == before:
        break
print("done", flush=True)
"""


def test_a_learner_that_is_killed_again_and_again_knows_the_same(site: Sites, tmp_path: Path) -> None:
    whole, other = lived(site(THOMPSON)), site(THOMPSON, name="other")
    decided = day(other.name)
    ship(other, decided, told_of(decided))
    (tmp_path / "learner.py").write_text(LEARNER)
    words = [sys.executable, str(tmp_path / "learner.py"), str(other.workspace.file), str(MONDAY + 6 * HOUR)]
    rng, said, kills = Random(5), "", 0
    while said != "done":
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == "up"
            if kills < 3:
                time.sleep(rng.uniform(0, 0.04))
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
            said = process.stdout.read().strip()
    assert msgspec.json.encode(known(other).state) == msgspec.json.encode(known(whole).state)
    assert verify_ledger(other.workspace)["learned"] >= 2


def test_a_replay_of_the_log_in_another_store_gives_the_same_state(site: Sites, tmp_path: Path) -> None:
    one, other = lived(site(THOMPSON)), site(THOMPSON, name="again")
    opens, closes, feedback = [], [], []
    for _, exposure, label, reward, _ in one.workspace.store.closed(one.name, MONDAY, MONDAY + 5 * HOUR)[::-1]:
        if exposure.propensity == EVEN:
            name = exposure.id.replace("toy-", "again-")
            opens.append(replace(exposure, endpoint=other.name, id=name))
            closes.append((name, exposure.variant, exposure.outcome, exposure.latency_us, exposure.output))
            feedback.append(Feedback(name, label, reward))
    other.workspace.store.ship("log", 1, opens, closes, feedback)
    learn(other.workspace, one.now)
    assert msgspec.json.encode(known(other).state) == msgspec.json.encode(known(one).state)
