"""Batches may be cut anywhere, come twice and from many; what is kept is the same."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from threading import Thread
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rivals.registry.ledger import Ledger
from rivals.registry.store import Store
from rivals.values import Exposure, Feedback, Outcome

from .conftest import a_close, an_exposure


def kept(store: Store, name: str) -> list[Exposure]:
    return store.exposure(name)


def test_a_close_finds_its_open_in_the_same_batch_and_in_an_earlier_one(store: Store) -> None:
    store.ship("j", 1, [an_exposure("a/0")], [], [])
    store.ship("j", 2, [an_exposure("b/0")], [a_close("a/0"), a_close("b/0", outcome=Outcome.LOST)], [])
    (first,), (second,) = store.exposure("a"), store.exposure("b")
    assert (first.outcome, first.output, first.latency_us) == (Outcome.OK, (0.25, 0.75), 120)
    assert (second.outcome, second.output) == (Outcome.LOST, ())


def test_a_batch_that_comes_again_changes_nothing(store: Store) -> None:
    batch = ([an_exposure("a/0")], [a_close("a/0")], [Feedback("a/0", 1)])
    store.ship("j", 7, *batch)
    before = (store.exposure("a"), store.counts("e"), store.cursors(), store.feedback_counts())
    for seq in (7, 6):
        store.ship("j", seq, *batch)
    store.ship("other", 1, *batch)  # and where only the source is another one, everything is known already
    assert (store.exposure("a"), store.counts("e"), {"j": 7}, store.feedback_counts()) == before
    assert store.cursors() == {"j": 7, "other": 1}


def test_an_exposure_closes_once(store: Store) -> None:
    store.ship("j", 1, [an_exposure("a/0")], [a_close("a/0")], [])
    store.ship("j", 2, [an_exposure("a/0", time=9.0)], [a_close("a/0", outcome=Outcome.ERROR)], [])
    (found,) = store.exposure("a")
    assert (found.outcome, found.time) == (Outcome.OK, 1.0)
    assert store.counts("e")["old"] == {"requests": 1, "failures": 0, "shadows": 0, "shadow_failures": 0}


def test_an_exposure_told_again_in_the_next_file_is_closed_there(store: Store) -> None:
    store.ship("0-exposures-1.db", 1, [an_exposure("a/0")], [], [])
    store.ship("0-exposures-2.db", 1, [an_exposure("a/0")], [a_close("a/0")], [])
    assert [one.outcome for one in store.exposure("a")] == [Outcome.OK]
    assert store.answered("e") == 1


def test_what_was_never_asked_is_closed_from_the_start(store: Store) -> None:
    store.ship("j", 1, [an_exposure("a/0", "new", shadow=True, outcome=Outcome.SHED)], [], [])
    assert [one.outcome for _, one in store.exposures_since("e", 0, 9, ["new"])] == [Outcome.SHED]
    assert store.counts("e")["new"]["shadow_shed"] == 1


def test_a_cursor_passes_over_no_late_close(store: Store) -> None:
    store.ship("j", 1, [an_exposure("slow/0"), an_exposure("quick/0")], [a_close("quick/0")], [])
    ((seq, quick),) = store.exposures_since("e", 0, 9, ["old"])
    store.ship("j", 2, [an_exposure("next/0")], [a_close("next/0"), a_close("slow/0")], [])
    later = store.exposures_since("e", seq, 9, ["old"])
    assert quick.id == "quick/0"
    assert [one.id for _, one in later] == ["next/0", "slow/0"]
    assert [one.id for _, one in store.exposures_since("e", seq, 1, ["old"])] == ["next/0"]
    assert store.exposures_since("e", seq, 9, ["new"]) == store.exposures_since("f", 0, 9, ["old"]) == []


# -- any journal, cut anywhere ------------------------------------------------------------------------------

Entry = tuple[str, str, str]  # open or close, id, variant
names = st.tuples(st.sampled_from(["a", "b", "c"]), st.sampled_from(["old", "new"]))
journals = st.lists(st.tuples(st.sampled_from(["open", "close", "close"]), names), max_size=24)
outcomes = st.sampled_from([Outcome.OK, Outcome.ERROR, Outcome.DEADLINE])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(journal=journals, data=st.data())
def test_a_journal_gives_the_same_exposures_however_it_is_cut(shared: Store, journal: list[Any], data: Any) -> None:
    prefix = str(next(SERIAL))
    entries, seen = [], set()
    for kind, (name, variant) in journal:  # a close comes after its open
        if kind == "open" or (name, variant) in seen:
            seen.add((name, variant))
            entries.append((kind, name, variant, data.draw(outcomes), float(len(entries))))
    cuts = data.draw(st.lists(st.integers(0, len(entries)), max_size=4))
    ship(shared, f"{prefix}-single", entries, range(len(entries) + 1))
    ship(shared, f"{prefix}-cut", entries, [0, *sorted(cuts), len(entries)])
    one_by_one, at_once = seen_as(shared, f"{prefix}-single"), seen_as(shared, f"{prefix}-cut")
    assert at_once == one_by_one
    assert len(at_once[0]) == len(seen)


SERIAL = itertools.count()


def ship(store: Store, endpoint: str, entries: Sequence[Any], cuts: Sequence[int]) -> None:
    """Ship the entries between the cuts, every batch twice, reading after each."""
    for seq, (start, end) in enumerate(itertools.pairwise(cuts), start=1):
        opens, closes = [], []
        for kind, name, variant, outcome, when in entries[start:end]:
            of = f"{endpoint}-{name}/0"
            if kind == "open":
                opens.append(an_exposure(of, variant, endpoint=endpoint, time=when, shadow=variant == "new"))
            else:
                closes.append(a_close(of, variant, outcome))
        for _ in range(2):
            store.ship(endpoint, seq, opens, closes, [])


def seen_as(store: Store, endpoint: str) -> tuple[Any, ...]:
    """What is kept of an endpoint: exposures without its name, read with a cursor in small steps, and the counts."""
    exposures = [one for name in "abc" for one in store.exposure(f"{endpoint}-{name}")]
    by_key = {(one.id.removeprefix(endpoint), one.variant): (one.outcome, one.time, one.output) for one in exposures}
    cursor, walked = 0, Counter[tuple[str, str]]()
    while some := store.exposures_since(endpoint, cursor, 2, ["old", "new"]):
        walked.update((one.id.removeprefix(endpoint), one.variant) for _, one in some)
        cursor = some[-1][0]
    closed = {key for key, (outcome, *_) in by_key.items() if outcome is not Outcome.OPEN}
    assert walked == Counter(closed)  # each closed one once, whatever came in between
    counts = store.counts(endpoint)
    assert sum(one["requests"] + one["shadows"] for one in counts.values()) == len(closed)
    return by_key, counts, store.expected(endpoint)


# -- many writers -------------------------------------------------------------------------------------------------


def write(url: str, writer: int, rounds: int) -> None:
    """What a control process does, quickly: ship, append to the ledger, put state."""
    store = Store(url)
    for seq in range(1, rounds + 1):
        ids = [f"{writer}-{seq}-{i}/0" for i in range(20)]
        store.ship(f"j{writer}", seq, [an_exposure(one) for one in ids], [a_close(one) for one in ids], [])
        with store.transaction() as tx:
            Ledger(store).append(tx, "e", "test", float(seq), {"writer": writer})
            tx.put_state(f"writer/{writer}", str(seq).encode())
        store.exposures_since("e", 0, 5, ["old"])
    store.close()


def write_in_two_threads(url: str, process: int, rounds: int) -> list[str]:
    errors: list[str] = []

    def run(writer: int) -> None:
        try:
            write(url, writer, rounds)
        except Exception as error:  # noqa: BLE001 -- it is the test's question whether there is any
            errors.append(repr(error))

    threads = [Thread(target=run, args=(2 * process + i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def test_eight_writers_in_four_processes_all_get_their_turn(url: str) -> None:
    rounds = 15
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:  # all of them meet an empty database
        errors = list(pool.map(write_in_two_threads, [url] * 4, range(4), [rounds] * 4))
    assert errors == [[]] * 4
    store = Store(url)
    assert store.answered("e") == 8 * rounds * 20
    assert store.cursors() == {f"j{writer}": rounds for writer in range(8)}
    assert [store.state(f"writer/{writer}") for writer in range(8)] == [str(rounds).encode()] * 8
    Ledger(store).verify()
    assert len(Ledger(store).entries("e")) == 8 * rounds
    seqs = [seq for seq, _ in store.exposures_since("e", 0, 10_000, ["old"])]
    assert len(set(seqs)) == 8 * rounds * 20
    store.close()


@pytest.mark.slow
def test_a_day_of_pairs_among_half_a_million_exposures_takes_under_100_ms(store: Store) -> None:
    spent = 0.0
    for batch in range(25):
        rows = range(batch * 10_000, (batch + 1) * 10_000)
        ids = [f"{row * 0x9E3779B97F4A7C15 % 2**64:016x}/0" for row in rows]
        opens = [an_exposure(one, time=row * 216.0) for one, row in zip(ids, rows, strict=True)]
        opens += [an_exposure(one, "new", time=row * 216.0, shadow=True) for one, row in zip(ids, rows, strict=True)]
        closes = [a_close(one.id, one.variant) for one in opens]
        started = time.perf_counter()
        store.ship("j", batch + 1, opens, closes, [])
        spent += time.perf_counter() - started
    taken = []
    for day in range(5):
        started = time.perf_counter()
        pairs = store.pairs("e", "old", "new", day * 86_400.0, (day + 1) * 86_400.0)
        taken.append(time.perf_counter() - started)
        assert len(pairs) == 400
    print(f"{500_000 / spent:.0f} exposures/s shipped; a day of pairs in {min(taken) * 1e3:.1f} ms")
    assert min(taken) < 0.1  # others on the machine can only add
