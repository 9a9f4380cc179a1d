"""What is put into the store comes back, together or not at all."""

from __future__ import annotations

import math
import threading
from dataclasses import replace

import numpy as np
import pytest

from rivals.errors import Conflict
from rivals.registry.ledger import Ledger
from rivals.registry.store import Store
from rivals.values import Feedback, Outcome, Pair, Phase, Shadow, Use, Version

from .conftest import a_close, a_rollout, a_table, a_trained, an_exposure


def test_a_routing_table_comes_back_as_it_was(store: Store) -> None:
    table = replace(a_table(), shadows=(Shadow("new", "1" * 64, 0.5),), policy=Use("split", {"a": 1}), rollout="r1")
    assert store.table("e") is None
    with store.transaction() as tx:
        tx.put_table(table, expect=None)
    assert store.table("e") == table
    assert store.table_at("e", 1) == table
    assert store.table_at("e", 2) is None
    assert store.table("other") is None


@pytest.mark.parametrize(("revision", "expect"), [(3, None), (3, 1), (3, 3), (2, 2), (1, 2)])
def test_a_table_is_refused_unless_it_follows_the_latest(store: Store, revision: int, expect: int | None) -> None:
    with store.transaction() as tx:
        tx.put_table(a_table(1), expect=None)
        tx.put_table(a_table(2), expect=1)
    with pytest.raises(Conflict, match="revision 2"), store.transaction() as tx:
        tx.put_table(a_table(revision), expect=expect)
    assert [table.revision for table in store.tables("e")] == [1, 2]


def test_endpoints_have_revisions_of_their_own(store: Store) -> None:
    with store.transaction() as tx:
        tx.put_table(a_table(1), expect=None)
        tx.put_table(a_table(1, endpoint="f"), expect=None)
    assert len(store.tables("e")) == len(store.tables("f")) == 1


def test_of_two_who_saw_the_same_revision_one_wins(store: Store) -> None:
    with store.transaction() as tx:
        tx.put_table(a_table(1), expect=None)
    wins, lock = [], threading.Barrier(8)

    def put(name: str) -> None:
        lock.wait()
        try:
            with store.transaction() as tx:
                tx.put_table(a_table(2, champion=name), expect=1)
            wins.append(name)
        except Conflict:
            pass

    threads = [threading.Thread(target=put, args=(f"v{i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    table = store.table("e")
    assert table is not None
    assert wins == [table.champion]


def test_a_transaction_that_fails_keeps_nothing(store: Store) -> None:
    def all_of_it() -> None:
        with store.transaction() as tx:
            Ledger(store).append(tx, "e", "rollout.judged", 1.0, {"a": 1})
            tx.put_state("evidence", b"x")
            tx.put_rollout(a_rollout())
            tx.put_trained(a_trained(), Version("old", "0" * 64))
            tx.put_table(a_table(1), expect=7)

    with pytest.raises(Conflict):
        all_of_it()
    assert store.state("evidence") is None
    assert store.rollouts("e") == []
    assert store.trained_all() == []
    assert Ledger(store).entries() == []
    Ledger(store).verify()


def test_readers_do_not_wait_for_a_writer_and_do_not_see_its_half(store: Store) -> None:
    with store.transaction() as tx:
        tx.put_state("key", b"new")
        assert store.state("key") is None
    assert store.state("key") == b"new"


def test_state_is_bytes_under_a_name_and_the_last_ones_count(store: Store) -> None:
    for raw in (b"\x00\xff", b"", b"last"):
        with store.transaction() as tx:
            tx.put_state("key", raw)
        assert store.state("key") == raw


def test_a_rollout_is_active_until_its_phase_is_final(store: Store) -> None:
    first, second = a_rollout("r1"), a_rollout("r2", phase=Phase.CANARY, step=1, resume=Phase.SHADOW)
    with store.transaction() as tx:
        tx.put_rollout(first)
    assert store.active_rollout("e") == store.rollout("r1") == first
    with store.transaction() as tx:
        tx.put_rollout(replace(first, phase=Phase.ROLLED_BACK), before=first)
    assert store.active_rollout("e") is None
    with store.transaction() as tx:
        tx.put_rollout(second)
    assert store.active_rollout("e") == second
    assert [one.id for one in store.rollouts("e")] == ["r1", "r2"]
    assert store.active_rollout("f") is None


def test_a_rollout_changed_by_somebody_else_is_not_overwritten(store: Store) -> None:
    seen = a_rollout()
    paused = replace(seen, phase=Phase.PAUSED)
    with store.transaction() as tx:
        tx.put_rollout(seen)
    with store.transaction() as tx:
        tx.put_rollout(paused, before=seen)
    with pytest.raises(Conflict, match="somebody else"), store.transaction() as tx:
        tx.put_rollout(replace(seen, phase=Phase.CANARY), before=seen)
    assert store.rollout("r1") == paused


def test_what_was_built_last_counts_and_every_wish_is_known(store: Store) -> None:
    first, again = a_trained("a", wish="w1"), a_trained("a", wish="w2", digest="2" * 64)
    other = a_trained("b", wish="w3")
    with store.transaction() as tx:
        tx.put_trained(other, Version("b", other.digest))
        tx.put_trained(first, Version("a", first.digest, "run", 3), {"rank": 1})
        tx.put_trained(again, Version("a", again.digest, "run2", 4), {"rank": 2})
    assert store.trained("a") == again
    assert store.version("a") == Version("a", again.digest, "run2", 4)
    assert store.trained_extras("a") == {"rank": 2}
    assert store.trained_all() == [again, other]
    assert store.known_wishes() == {"w1": first, "w2": again, "w3": other}
    assert sorted(one.wish for one in store.runs()) == sorted(store.known_wishes())
    assert store.runs().index(again) < store.runs().index(first)
    assert store.trained("c") is store.version("c") is None
    assert store.trained_extras("c") == {}


def test_a_score_that_is_not_a_number_comes_back_as_one(store: Store) -> None:
    odd = a_trained(parity=math.inf)
    odd = replace(odd, scores=replace(odd.scores, metrics={"roc_auc": math.nan}))
    with store.transaction() as tx:
        tx.put_trained(odd, Version("old", odd.digest))
    found = store.trained("old")
    assert found is not None
    assert math.isnan(found.scores.metrics["roc_auc"])
    assert found.parity == math.inf
    (listed,) = store.runs()
    assert math.isnan(listed.scores.metrics["roc_auc"])


def answered(store: Store) -> None:
    """Three rows both answered, one a shadow failed, one still open, one outside the time."""
    opens = [an_exposure(f"r{i}/0", time=float(i)) for i in range(6)]
    opens += [an_exposure(f"r{i}/0", "new", time=float(i), shadow=True) for i in range(6)]
    closes = [a_close(f"r{i}/0", output=(i / 10, 1 - i / 10)) for i in range(6) if i != 4]
    closes += [a_close(f"r{i}/0", "new", Outcome.ERROR if i == 3 else Outcome.OK) for i in range(6)]
    labels = [Feedback("r0/0", 1, time=9.0), Feedback("r1/0", "a", reward=0.5), Feedback("r3/0", 0), Feedback("?/0", 1)]
    store.ship("j", 1, opens, closes, labels)


def test_pairs_know_the_slices_they_fall_into_and_latencies_come_latest_first(store: Store) -> None:
    slices = ("carrier=UA", "origin=(none)")
    opens = [an_exposure("a/0", slices=slices), an_exposure("a/0", "new", shadow=True, slices=slices)]
    opens += [an_exposure("b/0"), an_exposure("c/0"), an_exposure("d/0", outcome=Outcome.SHED)]
    closes = [a_close("a/0"), a_close("a/0", "new"), a_close("b/0", outcome=Outcome.ERROR)]
    store.ship("j", 1, opens, [*closes, ("c/0", "old", Outcome.OK, 900, (1.0,))], [])
    assert [pair.slices for pair in store.pairs("e", "old", "new", 0.0, 9.0)] == [slices]
    assert store.latencies("e", "old", 10) == [900, 120]
    assert store.latencies("e", "old", 1) == [900]


def test_pairs_are_rows_both_answered_in_the_time_with_their_label(store: Store) -> None:
    answered(store)
    pairs = store.pairs("e", "old", "new", 1.0, 6.0)
    assert pairs == [
        Pair("r1/0", 1.0, (0.1, 0.9), (0.25, 0.75), "a"),
        Pair("r2/0", 2.0, (0.2, 0.8), (0.25, 0.75), None),
        Pair("r5/0", 5.0, (0.5, 0.5), (0.25, 0.75), None),
    ]
    assert [pair.id for pair in store.pairs("e", "new", "old", 0.0, 1.0)] == ["r0/0"]
    assert store.pairs("f", "old", "new", 0.0, 9.0) == []


def test_live_scores_are_on_what_clients_got(store: Store) -> None:
    answered(store)
    outputs, labels = store.labelled("e", "old", 0.0, 1.5)
    assert outputs.dtype == np.float64
    assert outputs.tolist() == [[0.0, 1.0], [0.1, 0.9]]
    assert labels.tolist() == ["1", "a"]  # numpy's one type for both
    outputs, labels = store.labelled("e", "old", 2.0)
    assert (outputs.tolist(), labels.tolist()) == ([[0.3, 0.7]], [0])
    assert len(store.labelled("e", "new")[1]) == 0  # it answered in the shadow only


def test_counts_tell_requests_failures_and_shadows_apart(store: Store) -> None:
    answered(store)
    assert store.counts("e") == {
        "old": {"requests": 5, "failures": 0, "shadows": 0, "shadow_failures": 0},
        "new": {"requests": 0, "failures": 0, "shadows": 6, "shadow_failures": 1, "shadow_error": 1},
    }
    assert store.expected("e") == {"old": 5 * 0.75, "new": 5 * 0.25}
    assert store.answered("e") == 5
    assert store.answered("f") == 0


def test_an_exposure_is_found_by_its_request_and_by_its_own_id(store: Store) -> None:
    rows = [an_exposure(f"a/{i}") for i in range(700)] + [
        an_exposure("a%/0"),
        an_exposure("ab/0"),
        an_exposure("a/b/0"),
    ]
    shadow = an_exposure("a/5", "new", shadow=True)
    store.ship("j", 1, [*rows, shadow], [a_close("a/5")], [])
    assert [one.id for one in store.exposure("a")] == [one.id for one in [*rows[:700], shadow]]
    assert [(one.variant, one.outcome) for one in store.exposure("a/5")] == [("old", "ok"), ("new", "open")]
    assert [one.id for one in store.exposure("a%")] == ["a%/0"]
    assert store.exposure("nobody") == []


def test_the_newest_time_is_that_of_an_exposure(store: Store) -> None:
    assert store.latest_time("e") is None
    store.ship(
        "j", 1, [an_exposure("a/0", time=5.0), an_exposure("b/0", time=3.0)], [], [Feedback("a/0", 1, time=99.0)]
    )
    assert store.latest_time("e") == 5.0
